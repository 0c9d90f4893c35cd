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

// TestAnyInterleavingKeepsTheStatus lets the webhook commit, FirmwareUpgrades come and go, time pass, and two leaders
// at once compact and remove what is over, one API request at a time in any order, and kills leaders between any two
// requests, or after a request whose answer they never see. Whatever happens:
//
//   - what is stored adds up to what was committed, at any moment, for every task but those that retention may remove;
//   - in the end, one leader alone leaves one slice for every task that is kept, and nothing else.
func TestAnyInterleavingKeepsTheStatus(t *testing.T) {
	fewerChecks(t, interleavingChecks)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		defer w.close()
		rt.Repeat(map[string]func(*rapid.T){
			"commit":      w.commit,
			"claim":       w.claim,
			"release":     w.release,
			"time passes": func(*rapid.T) { w.age() },
			"compact":     w.compact,
			"retain":      w.retain,
			"proceed":     w.proceed,
			"go on":       w.proceed, // twice as often as anything else
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
	// committed is everything the webhook stored; rejected is how many of its slices held a rejected notification.
	committed []upgrade.Result
	slices    int
	// claimed are the tasks with a FirmwareUpgrade.
	claimed map[upgrade.Task]*v1alpha1.FirmwareUpgrade
	// aged says that the results of unclaimed tasks are due to be removed; from then on no claim changes.
	aged bool
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, namespace: harness.NewNamespace(t, k8s), clock: clocktesting.NewFakeClock(first),
		claimed: map[upgrade.Task]*v1alpha1.FirmwareUpgrade{},
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

// commit stores a slice of a few results.
func (w *world) commit(t *rapid.T) {
	w.slices++
	var spec v1alpha1.FirmwareUpgradeResultSliceSpec
	var results []upgrade.Result
	for range rapid.IntRange(1, 4).Draw(t, "results") {
		r := failure(rapid.IntRange(0, 3).Draw(t, "device"), first.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "second"))*time.Second), "Invalid URI")
		r.Task = taskNumber(rapid.IntRange(0, 2).Draw(t, "task"))
		r.State = rapid.SampledFrom([]v1alpha1.State{v1alpha1.StateDownloading, v1alpha1.StateFailed, v1alpha1.StateSucceeded}).Draw(t, "state")
		r.Normalize()
		results = append(results, r)
	}
	spec.Tables = upgrade.Pack(results)
	if rapid.IntRange(0, 9).Draw(t, "rejected") == 0 {
		spec.Rejected = []v1alpha1.RejectedNotification{{ReceivedAt: metav1.NewMicroTime(first), Reason: "no JSON"}}
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

// release deletes a FirmwareUpgrade, which is remembered in a slice.
func (w *world) release(t *rapid.T) {
	if w.aged || len(w.claimed) == 0 {
		t.Skip("aged or nothing is claimed")
	}
	held := slices.SortedFunc(maps.Keys(w.claimed), func(a, b upgrade.Task) int { return cmp.Compare(a.OperationID, b.OperationID) })
	task := rapid.SampledFrom(held).Draw(t, "task")
	w.slices++
	w.create(fmt.Sprintf("released-%04d", w.slices), v1alpha1.FirmwareUpgradeResultSliceSpec{Released: []v1alpha1.ReleasedTask{{
		AppID: task.AppID, OperationID: task.OperationID, ReleasedAt: metav1.NewMicroTime(first),
	}}})
	if err := k8s.Delete(w.t.Context(), w.claimed[task]); err != nil {
		w.t.Fatal(err)
	}
	delete(w.claimed, task)
}

// age makes the results of unclaimed tasks due.
func (w *world) age() {
	if !w.aged {
		w.aged = true
		w.clock.Step(48 * time.Hour)
	}
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
	sort := rapid.Bool().Draw(t, "sort")
	l.begin(func(ctx context.Context) error { return l.store.rewriter.rewrite(ctx, inputs, sort, nil) })
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
	want, got := summariesOf(w.committed), w.leaders[0].store.summaries()
	if w.aged {
		removable := func(task upgrade.Task, _ upgrade.Summary) bool { return w.claimed[task] == nil }
		maps.DeleteFunc(want, removable)
		maps.DeleteFunc(got, removable)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("What is stored (-committed +stored):\n%s", diff)
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
	c := &compaction{index: last.store.index, rewriter: last.store.rewriter, clock: clocktesting.NewFakeClock(time.Now().Add(time.Hour))}
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
	kept := map[upgrade.Task]int{}
	for task := range summariesOf(w.committed) {
		if w.claimed[task] != nil {
			kept[task] = 1
		}
	}
	got := map[upgrade.Task]int{}
	for _, s := range last.store.index.filter(func(*storedSlice) bool { return true }) {
		if !s.sorted && s.rejected == 0 && s.released == 0 {
			t.Errorf("slice %s is left over", s.Name)
		}
		for _, task := range s.tasks {
			got[task]++
		}
		for _, r := range s.releases {
			if task := (upgrade.Task{AppID: r.AppID, OperationID: r.OperationID}); kept[task] == 0 {
				t.Errorf("slice %s with the release of a task without results is left over", s.Name)
			}
		}
	}
	if diff := gocmp.Diff(kept, got); diff != "" {
		t.Errorf("Slices by task (-want +got):\n%s", diff)
	}
	for task, want := range summariesOf(w.committed) {
		if w.claimed[task] != nil {
			if diff := gocmp.Diff(want, last.store.tally.Summary(task, upgrade.Query{})); diff != "" {
				t.Errorf("The leader's tally of %v (-want +got):\n%s", task, diff)
			}
		}
	}
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
	// unanswered says that the leader dies before it sees the answer.
	pass     chan (bool)
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
