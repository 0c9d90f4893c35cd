// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/harness"
)

// interleavingChecks is how many interleavings are tried unless -rapid.checks says otherwise: each takes a second.
const interleavingChecks = 30

// TestAnyInterleavingKeepsTheStore lets the webhook commit, tasks be released and come to their end, time pass,
// somebody delete slices by hand, and two leaders at once compact, remove what is over, purge and count anew, one API
// request at a time in any order, and kills leaders between any two requests, or after a request whose answer they
// never see. Whatever happens:
//
//   - what is stored adds up to what was committed, at any moment, for every task that nothing may be removed of;
//   - of a task of which something may be removed, what arrived later than that stays all the same;
//   - no rejected notification is lost, but those that were deleted by hand;
//   - a leader that has caught up with its watch counts what is stored, no more and no less;
//   - in the end, one leader alone leaves few slices, and nothing that may go.
func TestAnyInterleavingKeepsTheStore(t *testing.T) {
	fewerChecks(t, interleavingChecks)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		defer w.close()
		rt.Repeat(map[string]func(*rapid.T){
			"commit":         w.commit,
			"finish":         w.finish,
			"release":        w.release,
			"purge":          w.purge,
			"delete by hand": w.deleteByHand,
			"time passes":    func(*rapid.T) { w.age() },
			"compact":        w.compact,
			"retain":         w.retain,
			"relist":         w.relist,
			"proceed":        w.proceed,
			"go on":          w.proceed, // twice as often as anything else
			"catch up":       w.catchUp,
			"kill":           w.kill,
			"":               w.check,
		})
		w.settle(rt)
	})
}

// fewerChecks has rapid do so many checks, unless the command line says how many.
func fewerChecks(t *testing.T, checks int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	given := f.Value.String()
	if given != f.DefValue {
		return
	}
	if err := f.Value.Set(strconv.Itoa(checks)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(given) }) // it was set to that before
}

// world is a namespace with a webhook and two leaders.
type world struct {
	t         *testing.T
	namespace string
	clock     *clocktesting.FakeClock
	leaders   [2]*interleavedLeader
	// committed are the results that the webhook stored, rejected the bodies of the rejected notifications that nobody
	// deleted by hand.
	committed []result.Result
	rejected  map[string]bool
	slices    int
	// finished are the tasks whose results need not be kept any more, with since when.
	finished   map[result.Task]time.Time
	finishedMu sync.Mutex
	// removable is until when, in microseconds since 1970, results of a task may have arrived that may be removed.
	removable map[result.Task]int64
	// aged says that the results of all tasks are due to be removed.
	aged bool
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, namespace: harness.NewNamespace(t, k8s), clock: clocktesting.NewFakeClock(first),
		rejected: map[string]bool{}, finished: map[result.Task]time.Time{}, removable: map[result.Task]int64{},
	}
	for i := range w.leaders {
		w.leaders[i] = newInterleavedLeader(w)
	}
	return w
}

func (w *world) close() {
	for _, l := range w.leaders {
		l.kill()
	}
}

// keepUntil says until when results are kept: those of a finished task until then, others a day.
func (w *world) keepUntil(task result.Task, last time.Time) time.Time {
	w.finishedMu.Lock()
	defer w.finishedMu.Unlock()
	if at, finished := w.finished[task]; finished && !last.After(at) {
		return first
	}
	return last.Add(24 * time.Hour)
}

// commit stores a slice of a few results, received now or in the first seconds.
func (w *world) commit(t *rapid.T) {
	w.slices++
	now := first
	if rapid.Bool().Draw(t, "fresh") {
		now = w.clock.Now()
	}
	var results []result.Result
	for range rapid.IntRange(1, 4).Draw(t, "results") {
		at := now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "second")) * time.Second)
		r := failure(rapid.IntRange(0, 3).Draw(t, "device"), at, "Invalid URI")
		r.Task = anyTask(t)
		r.State = rapid.SampledFrom([]storage.State{
			storage.StateDownloading, storage.StateFailed, storage.StateSucceeded,
		}).Draw(t, "state")
		r.Normalize()
		results = append(results, r)
	}
	slice := sliceOf(results...)
	if rapid.IntRange(0, 9).Draw(t, "rejected") == 0 {
		slice.Rejected = rejectedSlice(first).Rejected
		slice.Rejected[0].Body = fmt.Sprintf("body %d", w.slices)
		w.rejected[slice.Rejected[0].Body] = true
	}
	slice.Namespace, slice.Name = w.namespace, fmt.Sprintf("r-%04d", w.slices)
	if err := k8s.Create(w.t.Context(), slice); err != nil {
		w.t.Fatal(err)
	}
	w.committed = append(w.committed, results...)
}

func anyTask(t *rapid.T) result.Task { return taskNumber(rapid.IntRange(0, 2).Draw(t, "task")) }

// finish ends a task, so that its results may go.
func (w *world) finish(t *rapid.T) {
	task := anyTask(t)
	at := w.clock.Now().Add(10 * time.Second)
	w.mayRemove(task, at)
	w.finishedMu.Lock()
	defer w.finishedMu.Unlock()
	w.finished[task] = at
}

// mayRemove says that what arrived of a task until a time may be removed.
func (w *world) mayRemove(task result.Task, until time.Time) {
	w.removable[task] = max(w.removable[task], until.UnixMicro())
}

// purge has an idle leader purge a task.
func (w *world) purge(t *rapid.T) {
	l := w.idle(t)
	task := anyTask(t)
	until := w.clock.Now().Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "until")) * time.Second)
	w.mayRemove(task, until)
	l.begin(func(ctx context.Context) error {
		_, err := l.store.Purge(ctx, task, until)
		return err
	})
}

// deleteByHand deletes any slice.
func (w *world) deleteByHand(t *rapid.T) {
	stored := w.leaders[0].store.stored()
	if len(stored) == 0 {
		t.Skip("nothing is stored")
	}
	slice := &stored[rapid.IntRange(0, len(stored)-1).Draw(t, "slice")]
	info, _ := newStoredSlice(slice)
	for _, of := range info.tasks {
		w.mayRemove(of.Task, time.UnixMicro(of.received.Last))
	}
	for _, r := range slice.Rejected {
		delete(w.rejected, r.Body)
	}
	if err := k8s.Delete(w.t.Context(), slice); err != nil {
		w.t.Fatal(err)
	}
}

// catchUp has an idle leader read what is stored, and compares what it counts with that.
func (w *world) catchUp(t *rapid.T) { w.compareCounts(w.idle(t)) }

func (w *world) compareCounts(l *interleavedLeader) {
	w.t.Helper()
	l.store.awaitRead()
	l.finish(l.store.recountLost)
	l.store.expectNothingLost()
	harness.Eventually(w.t, func() string { return gocmp.Diff(l.store.summaries(), l.store.counted()) })
}

// relist has an idle leader read a complete list, while its watch goes on.
func (w *world) relist(t *rapid.T) { replace(w.t, w.idle(t).store, listed(w.t, w.namespace)) }

// release has an idle leader record that the FirmwareUpgrade of a task was deleted.
func (w *world) release(t *rapid.T) {
	l := w.idle(t)
	task, at := anyTask(t), w.clock.Now().Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "second"))*time.Second)
	l.begin(func(ctx context.Context) error { return l.store.Release(ctx, task, at) })
}

// age makes the results of all tasks due, those that come from now on not.
func (w *world) age() {
	if w.aged {
		return
	}
	w.aged = true
	for n := range 3 {
		w.mayRemove(taskNumber(n), w.clock.Now().Add(10*time.Second))
	}
	w.clock.Step(48 * time.Hour)
}

// compact has an idle leader rewrite any slices.
func (w *world) compact(t *rapid.T) {
	l := w.idle(t)
	all := l.store.index.all()
	slices.SortFunc(all, func(a, b *storedSlice) int { return strings.Compare(a.Name, b.Name) })
	var inputs []*storedSlice
	for _, s := range all {
		if rapid.Bool().Draw(t, "compact "+s.Name) {
			inputs = append(inputs, s)
		}
	}
	l.begin(func(ctx context.Context) error {
		if err := l.store.begin(ctx); err != nil {
			return err
		}
		defer l.store.end()
		return l.store.rewrite(ctx, inputs, nil)
	})
}

// retain has an idle leader remove what is over.
func (w *world) retain(t *rapid.T) {
	l := w.idle(t)
	l.begin(l.store.retain)
}

func (w *world) idle(t *rapid.T) *interleavedLeader {
	l := rapid.SampledFrom(w.leaders[:]).Draw(t, "leader")
	if l.done != nil {
		t.Skip("the leader is at work")
	}
	return l
}

// proceed lets the next request of a leader pass.
func (w *world) proceed(t *rapid.T) {
	l := rapid.SampledFrom(w.leaders[:]).Draw(t, "leader")
	if l.done == nil {
		t.Skip("the leader is idle")
	}
	l.proceed(false)
}

// kill replaces a leader, before its next request or after it.
func (w *world) kill(t *rapid.T) {
	i := rapid.IntRange(0, len(w.leaders)-1).Draw(t, "leader")
	l := w.leaders[i]
	if l.done != nil && rapid.Bool().Draw(t, "afterward") {
		l.proceed(true)
	}
	l.kill()
	w.leaders[i] = newInterleavedLeader(w)
}

// check holds what is stored to what was committed.
func (w *world) check(t *rapid.T) {
	stored := w.leaders[0].store.stored()
	all, rejected := tally.New(), map[string]bool{}
	for i := range stored {
		results, err := result.Unpack(stored[i].Tables)
		if err != nil {
			t.Fatal(err)
		}
		all.Add(results)
		for _, r := range stored[i].Rejected {
			rejected[r.Body] = true
		}
	}
	for task, want := range summariesOf(w.committed) {
		if w.removable[task] != 0 {
			continue
		}
		if diff := gocmp.Diff(want, all.Summary(task, tally.Query{})); diff != "" {
			t.Fatalf("What is stored of %v (-committed +stored):\n%s", task, diff)
		}
	}
	for _, r := range w.committed {
		if r.ReceivedAt > w.removable[r.Task] && len(all.Add([]result.Result{r})) > 0 {
			t.Fatalf("A result is lost, although nothing may remove it: %+v", r)
		}
	}
	for body := range w.rejected {
		if !rejected[body] {
			t.Fatalf("A rejected notification is lost: %s", body)
		}
	}
}

// settle leaves a single leader to itself, and looks at what it leaves.
func (w *world) settle(t *rapid.T) {
	for _, l := range w.leaders {
		l.kill()
	}
	w.age()
	w.clock.Step(time.Minute) // nothing is on its way
	leader := newInterleavedLeader(w)
	defer leader.kill()
	for range 4 { // records of releases go after the results
		leader.finish(leader.store.retain)
		// The slices are as old as the test, by the clock of the API server.
		leader.store.options.Clock = clocktesting.NewFakeClock(time.Now().Add(time.Hour))
		leader.finish(func(ctx context.Context) error { leader.store.compact(ctx); return nil })
		leader.store.options.Clock = w.clock
	}
	leader.store.awaitTold()
	w.check(t)
	w.compareCounts(leader)
	shared, own := 0, map[result.Task]int{}
	for _, s := range leader.store.index.all() {
		switch {
		case s.singleTask:
			own[s.tasks[0].Task]++
		case len(s.tasks) > 0:
			shared++
		}
		for _, of := range s.tasks {
			if !w.keeps(leader, of.Task) {
				t.Errorf("slice %s with results of %v is left over", s.Name, of.Task)
			}
		}
	}
	if shared > 1 || slices.ContainsFunc(slices.Collect(maps.Values(own)), func(n int) bool { return n > 1 }) {
		t.Errorf("%d shared slices are left, and of tasks %v", shared, own)
	}
	for task := range leader.store.index.releases {
		if !w.keeps(leader, task) {
			t.Errorf("the release of %v, a task without results, is left over", task)
		}
	}
}

// keeps says whether results of a task may stay to the end: those that came, or were released, after time passed.
func (w *world) keeps(l *interleavedLeader, task result.Task) bool {
	recent := first.Add(time.Hour)
	return l.store.ReleaseTime(task).After(recent) || slices.ContainsFunc(w.committed, func(r result.Result) bool {
		return r.Task == task && r.ReceivedAt > recent.UnixMicro()
	})
}
