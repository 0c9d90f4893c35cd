// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// interleavingChecks is how many interleavings are tried unless -rapid.checks says otherwise: each takes a second.
const interleavingChecks = 30

// interleavingTimeout bounds each wait for a goroutine of a leader.
const interleavingTimeout = 30 * time.Second

// TestAnyInterleavingKeepsTheStatus lets the webhook commit, FirmwareUpgrades come, be archived and go, time pass, tasks be
// condemned, and two leaders at once compact and remove what is over, one API request at a time in any order, and kills
// leaders between any two requests, or after a request whose answer they never see. Whatever happens:
//
//   - what is stored adds up to what was committed, at any moment, for every task that nothing may be removed of;
//   - of a task that retention may remove, what arrived later than that stays all the same;
//   - no rejected notification is lost;
//   - a leader that has caught up with its watch counts what is stored;
//   - in the end, one leader alone leaves few slices, and nothing that may go.
func TestAnyInterleavingKeepsTheStatus(t *testing.T) {
	fewerChecks(t, interleavingChecks)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		defer w.close()
		rt.Repeat(map[string]func(*rapid.T){
			"commit":      w.commit,
			"claim":       w.claim,
			"archive":     w.archive,
			"release":     w.release,
			"condemn":     w.condemn,
			"time passes": func(*rapid.T) { w.age() },
			"compact":     w.compact,
			"retain":      w.retain,
			"proceed":     w.proceed,
			"go on":       w.proceed, // twice as often as anything else
			"catch up":    w.catchUp,
			"kill":        w.kill,
			"":            w.check,
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
	// committed are the results that the webhook stored, rejected the bodies of the rejected notifications.
	committed []upgrade.Result
	rejected  []string
	slices    int
	// claimed are the tasks with a FirmwareUpgrade.
	claimed map[upgrade.Task]*v1alpha1.FirmwareUpgrade
	// removable is until when, in microseconds since 1970, results of a task may have arrived that retention may remove.
	removable map[upgrade.Task]int64
	// aged says that the results of unclaimed tasks are due to be removed; from then on no claim changes.
	aged bool
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, namespace: harness.NewNamespace(t, k8s), clock: clocktesting.NewFakeClock(first),
		claimed: map[upgrade.Task]*v1alpha1.FirmwareUpgrade{}, removable: map[upgrade.Task]int64{},
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
	for _, fwu := range w.claimed {
		if err := k8s.Delete(context.Background(), fwu); err != nil {
			w.t.Error(err)
		}
	}
}

// commit stores a slice of a few results, received now or in the first seconds.
func (w *world) commit(t *rapid.T) {
	w.slices++
	now := first
	if rapid.Bool().Draw(t, "fresh") {
		now = w.clock.Now()
	}
	var spec v1alpha1.FirmwareUpgradeResultSliceSpec
	var results []upgrade.Result
	for range rapid.IntRange(1, 4).Draw(t, "results") {
		r := failure(rapid.IntRange(0, 3).Draw(t, "device"), now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "second"))*time.Second), "Invalid URI")
		r.Task = taskNumber(rapid.IntRange(0, 2).Draw(t, "task"))
		r.State = rapid.SampledFrom([]v1alpha1.State{v1alpha1.StateDownloading, v1alpha1.StateFailed, v1alpha1.StateSucceeded}).Draw(t, "state")
		r.Normalize()
		results = append(results, r)
	}
	spec.Tables = upgrade.Pack(results)
	if rapid.IntRange(0, 9).Draw(t, "rejected") == 0 {
		body := fmt.Sprintf("body %d", w.slices)
		spec.Rejected = []v1alpha1.RejectedNotification{{ReceivedAt: metav1.NewMicroTime(first), Reason: "no JSON", Body: body}}
		w.rejected = append(w.rejected, body)
	}
	w.create(fmt.Sprintf("r-%04d", w.slices), spec)
	w.committed = append(w.committed, results...)
}

func (w *world) create(name string, spec v1alpha1.FirmwareUpgradeResultSliceSpec) {
	slice := &v1alpha1.FirmwareUpgradeResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec}
	if err := k8s.Create(w.t.Context(), slice); err != nil {
		w.t.Fatal(err)
	}
}

// claim makes a FirmwareUpgrade for a task.
func (w *world) claim(t *rapid.T) {
	n := rapid.IntRange(0, 2).Draw(t, "task")
	if w.aged || w.claimed[taskNumber(n)] != nil {
		t.Skip("aged or claimed")
	}
	fwu := wrappers.MakeFirmwareUpgrade(fmt.Sprintf("task-%d", n), w.namespace).App("app").Operation(taskNumber(n).OperationID).Obj()
	if err := k8s.Create(w.t.Context(), fwu); err != nil {
		w.t.Fatal(err)
	}
	w.claimed[taskNumber(n)] = fwu
}

// archive freezes the status of a FirmwareUpgrade, so that its results may go.
func (w *world) archive(t *rapid.T) {
	task, fwu := w.anyClaimed(t)
	if fwu.Status.ArchivedAt != nil {
		t.Skip("archived")
	}
	fwu.Status.ArchivedAt = &metav1.Time{Time: w.clock.Now().Add(10 * time.Second)}
	if err := k8s.Status().Update(w.t.Context(), fwu); err != nil {
		w.t.Fatal(err)
	}
	w.mayRemove(task, fwu.Status.ArchivedAt.Time)
}

// anyClaimed returns one of the claimed tasks.
func (w *world) anyClaimed(t *rapid.T) (upgrade.Task, *v1alpha1.FirmwareUpgrade) {
	if w.aged || len(w.claimed) == 0 {
		t.Skip("aged or nothing is claimed")
	}
	held := slices.SortedFunc(maps.Keys(w.claimed), func(a, b upgrade.Task) int { return cmp.Compare(a.OperationID, b.OperationID) })
	task := rapid.SampledFrom(held).Draw(t, "task")
	return task, w.claimed[task]
}

// mayRemove says that retention may remove what arrived of a task until a time.
func (w *world) mayRemove(task upgrade.Task, until time.Time) {
	w.removable[task] = max(w.removable[task], until.UnixMicro())
}

// condemn has an idle leader purge a task that nobody claims, as after a deletion that asks for it.
func (w *world) condemn(t *rapid.T) {
	l := w.idle(t)
	task := taskNumber(rapid.IntRange(0, 2).Draw(t, "task"))
	if w.claimed[task] != nil {
		t.Skip("claimed")
	}
	until := w.clock.Now().Add(10 * time.Second)
	w.mayRemove(task, until)
	l.retention.condemn(task, until)
	l.begin(l.retention.run)
}

// catchUp has an idle leader read what is stored, and compares what it counts with that.
func (w *world) catchUp(t *rapid.T) { w.compareCounts(w.idle(t)) }

func (w *world) compareCounts(l *interleavedLeader) {
	l.store.awaitRead()
	stored := l.store.summaries()
	for task, want := range stored {
		if until := w.removable[task]; until != 0 { // another leader may have removed some of it
			continue
		}
		harness.Eventually(w.t, func() string {
			return gocmp.Diff(want, l.store.tally.Summary(task, upgrade.Query{}))
		})
	}
}

// release deletes a FirmwareUpgrade, which is remembered in a slice.
func (w *world) release(t *rapid.T) {
	task, fwu := w.anyClaimed(t)
	w.slices++
	w.create(fmt.Sprintf("released-%04d", w.slices), v1alpha1.FirmwareUpgradeResultSliceSpec{Released: []v1alpha1.ReleasedTask{{
		AppID: task.AppID, OperationID: task.OperationID, ReleasedAt: metav1.NewMicroTime(first),
	}}})
	if err := k8s.Delete(w.t.Context(), fwu); err != nil {
		w.t.Fatal(err)
	}
	delete(w.claimed, task)
}

// age makes the results of unclaimed tasks due, those that come from now on not.
func (w *world) age() {
	if w.aged {
		return
	}
	w.aged = true
	for n := range 3 {
		if w.claimed[taskNumber(n)] == nil {
			w.mayRemove(taskNumber(n), w.clock.Now().Add(10*time.Second))
		}
	}
	w.clock.Step(48 * time.Hour)
}

// compact has an idle leader rewrite any slices.
func (w *world) compact(t *rapid.T) {
	l := w.idle(t)
	all := l.store.index.filter(func(s *storedSlice) bool { return len(s.tasks) > 0 })
	slices.SortFunc(all, func(a, b *storedSlice) int { return strings.Compare(a.Name, b.Name) })
	var inputs []*storedSlice
	for _, s := range all {
		if rapid.Bool().Draw(t, "compact "+s.Name) {
			inputs = append(inputs, s)
		}
	}
	l.begin(func(ctx context.Context) error { return l.store.rewriter.rewrite(ctx, inputs, nil) })
}

// retain has an idle leader remove what is over.
func (w *world) retain(t *rapid.T) {
	l := w.idle(t)
	l.begin(l.retention.run)
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
	tally, rejected := upgrade.NewTally(), map[string]int{}
	for i := range stored {
		results, err := upgrade.Unpack(&stored[i].Spec)
		if err != nil {
			t.Fatal(err)
		}
		tally.Add(results)
		for _, r := range stored[i].Spec.Rejected {
			rejected[r.Body]++
		}
	}
	for task, want := range summariesOf(w.committed) {
		if w.removable[task] != 0 {
			continue
		}
		if diff := gocmp.Diff(want, tally.Summary(task, upgrade.Query{})); diff != "" {
			t.Fatalf("What is stored of %v (-committed +stored):\n%s", task, diff)
		}
	}
	for _, r := range w.committed {
		if r.ReceivedAt > w.removable[r.Task] && len(tally.Add([]upgrade.Result{r})) > 0 {
			t.Fatalf("A result is lost, although nothing may remove it: %+v", r)
		}
	}
	for _, body := range w.rejected {
		if rejected[body] == 0 {
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
	last := newInterleavedLeader(w)
	defer last.kill()
	c := last.store.compaction()
	c.clock = clocktesting.NewFakeClock(time.Now().Add(time.Hour))
	for range 4 { // what one removes another may only see afterwards
		for _, job := range []func(context.Context) error{last.retention.run, func(ctx context.Context) error { c.run(ctx); return nil }} {
			last.begin(job)
			for last.done != nil {
				last.proceed(false)
			}
			last.store.awaitRead()
		}
	}
	w.check(t)
	mixed, sorted := 0, map[upgrade.Task]int{}
	for _, s := range last.store.index.filter(func(*storedSlice) bool { return true }) {
		switch {
		case s.sorted:
			sorted[s.tasks[0]]++
		case len(s.tasks) > 0:
			mixed++
		}
		for _, task := range s.tasks {
			if !w.keeps(task) {
				t.Errorf("slice %s with results of %v is left over", s.Name, task)
			}
		}
		for _, r := range s.releases {
			if task := (upgrade.Task{AppID: r.AppID, OperationID: r.OperationID}); !w.keeps(task) {
				t.Errorf("slice %s with the release of a task without results is left over", s.Name)
			}
		}
	}
	for task, n := range sorted {
		if n > 1 {
			t.Errorf("%d slices of %v are left over", n-1, task)
		}
	}
	if mixed > 1 {
		t.Errorf("%d mixed slices are left over", mixed-1)
	}
	w.compareCounts(last)
}

// keeps says whether results of a task may stay to the end: those of a claimed one, and what came after time passed.
func (w *world) keeps(task upgrade.Task) bool {
	fwu := w.claimed[task]
	if fwu != nil && fwu.Status.ArchivedAt == nil {
		return true
	}
	return slices.ContainsFunc(w.committed, func(r upgrade.Result) bool {
		return r.Task == task && r.ReceivedAt > first.Add(time.Hour).UnixMicro()
	})
}

// summariesOf are the summaries of all tasks.
func summariesOf(results []upgrade.Result) map[upgrade.Task]upgrade.Summary {
	tally := upgrade.NewTally()
	tally.Add(results)
	out := map[upgrade.Task]upgrade.Summary{}
	for _, task := range tally.All() {
		out[task] = tally.Summary(task, upgrade.Query{})
	}
	return out
}

// interleavedLeader is a leader whose writes wait until they are let pass. It does one job at a time.
type interleavedLeader struct {
	t         *testing.T
	store     *store
	retention *retention
	requests  chan *heldRequest
	dead      chan struct{}
	// done is closed when the job is; nil while there is none.
	done chan struct{}
}

// heldRequest is a request that waits.
type heldRequest struct {
	// pass lets it pass; true says that the leader dies before it sees the answer.
	pass     chan bool
	answered chan struct{}
}

func newInterleavedLeader(w *world) *interleavedLeader {
	l := &interleavedLeader{t: w.t, requests: make(chan *heldRequest), dead: make(chan struct{})}
	l.store = newStore(w.t, w.namespace, interceptor.NewClient(k8s, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			return l.hold(func() error { return c.Get(ctx, key, obj, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return l.hold(func() error { return c.Create(ctx, obj, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return l.hold(func() error { return c.Delete(ctx, obj, opts...) })
		},
	}))
	l.store.rewriter.sortAt = 3                                             // some tasks get slices of their own, some don't
	l.store.rewriter.pace = newPace(1000, clocktesting.NewFakeClock(first)) // where no time passes, nobody rests
	l.retention = l.store.retention(24 * time.Hour)
	l.retention.clock = w.clock
	return l
}

// hold makes a request when it is let pass.
func (l *interleavedLeader) hold(request func() error) error {
	held := &heldRequest{pass: make(chan bool), answered: make(chan struct{})}
	select {
	case l.requests <- held:
	case <-l.dead:
		return errKilled
	}
	unanswered := <-held.pass
	err := request()
	close(held.answered)
	if unanswered {
		<-l.dead
		return errKilled
	}
	return err
}

// begin starts a job.
func (l *interleavedLeader) begin(job func(context.Context) error) {
	done := make(chan struct{})
	l.done = done
	go func() {
		defer close(done)
		if err := job(l.t.Context()); err != nil && !errors.Is(err, errKilled) {
			l.t.Error(err)
		}
	}()
}

// proceed lets one request pass and returns when it is answered, or when the job is done. The leader sees the answer
// unless it is to die.
func (l *interleavedLeader) proceed(unanswered bool) {
	select {
	case held := <-l.requests:
		held.pass <- unanswered
		<-held.answered
	case <-l.done:
		l.done = nil
	case <-time.After(interleavingTimeout):
		l.t.Fatal("the leader neither asks for anything nor is done")
	}
}

// kill ends the leader, as a crash would: none of its requests is made any more. Killing twice is allowed.
func (l *interleavedLeader) kill() {
	select {
	case <-l.dead:
		return
	default:
	}
	close(l.dead)
	if l.done != nil {
		<-l.done
		l.done = nil
	}
	l.store.close()
}
