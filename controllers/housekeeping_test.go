// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// store is a leader's view of the slices in a namespace of the real API server: what it has read, and what it may do.
type store struct {
	t         *testing.T
	namespace string
	tally     *upgrade.Tally
	index     *sliceIndex
	reader    *SliceReader
	rewriter  *rewriter
	clock     *clocktesting.FakeClock
	// close ends the Reflector, as the end of the test does.
	close func()
}

// newStore reads the namespace with a Reflector, as a leader does; its writes go through c.
func newStore(t *testing.T, namespace string, c client.WithWatch) *store {
	t.Helper()
	tally, index := upgrade.NewTally(), newSliceIndex()
	m, err := newMetrics(prometheus.NewRegistry(), tally, index, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &store{
		t: t, namespace: namespace, tally: tally, index: index, clock: clocktesting.NewFakeClock(time.Now()),
		reader:   NewSliceReader(k8s, namespace, tally, index),
		rewriter: &rewriter{client: c, namespace: namespace, index: index, sortAt: sortAtResults, pace: newPace(1000, clock.RealClock{}), metrics: m},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.reader.Start(ctx); err != nil {
			t.Error(err)
		}
	}()
	s.close = func() { cancel(); <-done }
	t.Cleanup(s.close)
	if err := s.reader.WaitForSync(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) retention(unclaimed time.Duration) *retention {
	return newRetention(k8s, s.rewriter, s.tally, tenancy{}, unclaimed, s.clock)
}

func (s *store) compaction() *compaction {
	return &compaction{index: s.index, tally: s.tally, rewriter: s.rewriter, clock: s.clock}
}

// create stores a slice as the webhook would or, with labels, as compaction does.
func (s *store) create(name string, spec v1alpha1.FirmwareUpgradeResultSliceSpec, labels ...map[string]string) {
	s.t.Helper()
	slice := &v1alpha1.FirmwareUpgradeResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: spec}
	for _, l := range labels {
		slice.Labels = l
	}
	if err := k8s.Create(s.t.Context(), slice); err != nil {
		s.t.Fatal(err)
	}
}

// stored lists what the API server has.
func (s *store) stored() []v1alpha1.FirmwareUpgradeResultSlice {
	s.t.Helper()
	list := &v1alpha1.FirmwareUpgradeResultSliceList{}
	if err := k8s.List(s.t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// awaitRead waits until the index has just what the API server has.
func (s *store) awaitRead() {
	s.t.Helper()
	harness.Eventually(s.t, func() string {
		stored := s.stored()
		for i := range stored {
			if s.index.uidOf(stored[i].Name) != stored[i].UID {
				return "slice " + stored[i].Name + " is not read yet"
			}
		}
		if got := s.index.size(); got != len(stored) {
			return fmt.Sprintf("the index has %d slices of %d", got, len(stored))
		}
		return ""
	})
}

// uidOf returns the UID of the slice that has a name; none if there is none.
func (x *sliceIndex) uidOf(name string) types.UID {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s, ok := x.byName[name]; ok {
		return s.UID
	}
	return ""
}

// summaries are the summaries of all tasks, from the store alone.
func (s *store) summaries() map[upgrade.Task]upgrade.Summary {
	s.t.Helper()
	tally := upgrade.NewTally()
	stored := s.stored()
	for i := range stored {
		results, err := upgrade.Unpack(&stored[i].Spec)
		if err != nil {
			s.t.Fatal(err)
		}
		tally.Add(results)
	}
	out := map[upgrade.Task]upgrade.Summary{}
	for _, task := range tally.All() {
		out[task] = tally.Summary(task, upgrade.Query{})
	}
	return out
}

func taskNumber(n int) upgrade.Task {
	return upgrade.Task{AppID: "app", OperationID: fmt.Sprintf("op-%d", n)}
}

// mixedSlice has results of several tasks: failures, and successes of the same devices later.
func mixedSlice(n, tasks int) v1alpha1.FirmwareUpgradeResultSliceSpec {
	var results []upgrade.Result
	for task := range tasks {
		for device := range 5 {
			r := failure(device+n%7, first.Add(time.Duration(n)*time.Second), "Invalid URI")
			if n%3 == 0 {
				r.State = v1alpha1.StateSucceeded
			}
			r.Task = taskNumber(task)
			r.Normalize()
			results = append(results, r)
		}
	}
	return v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: upgrade.Pack(results)}
}

func TestCompactionChangesNoSummary(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.rewriter.sortAt = 1
	for n := range 20 {
		spec := mixedSlice(n, 3)
		if n == 4 {
			spec.Rejected = []v1alpha1.RejectedNotification{{ReceivedAt: metav1.NowMicro(), Reason: "no JSON", Body: "x"}}
		}
		s.create(fmt.Sprintf("r-%d", n), spec)
	}
	s.awaitRead()
	want := s.summaries()

	c := s.compaction()
	c.run(t.Context())
	if got := len(s.stored()); got != 20 {
		t.Errorf("young slices were compacted: want 20, got %d", got)
	}
	s.clock.Step(settledAge + time.Minute)
	c.run(t.Context())
	s.awaitRead()
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("compaction changed summaries (-want +got):\n%s", diff)
	}
	tasks, rejected := map[string]int{}, 0
	for _, slice := range s.stored() {
		if label := slice.Labels[v1alpha1.LabelTask]; label != "" {
			tasks[label]++
		}
		rejected += len(slice.Spec.Rejected)
	}
	wantTasks := map[string]int{taskNumber(0).Hash(): 1, taskNumber(1).Hash(): 1, taskNumber(2).Hash(): 1}
	if diff := cmp.Diff(wantTasks, tasks); diff != "" {
		t.Errorf("slices by task (-want +got):\n%s", diff)
	}
	if rejected != 1 || len(s.stored()) != 4 {
		t.Errorf("want 4 slices, one of them with a rejected notification; got %d, %d rejected", len(s.stored()), rejected)
	}
}

// Compaction killed before or after any of its writes, and done again by another leader, loses and changes nothing.
func TestKilledCompactionLosesNothing(t *testing.T) {
	for _, afterward := range []bool{false, true} {
		for writes := 0; ; writes++ {
			k := &killer{left: writes, afterward: afterward}
			dying := interceptor.NewClient(k8s, interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
					return k.write(func() error { return c.Create(ctx, obj, opts...) })
				},
				Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
					return k.write(func() error { return c.Delete(ctx, obj, opts...) })
				},
			})
			s := newStore(t, harness.NewNamespace(t, k8s), dying)
			for n := range 4 {
				s.create(fmt.Sprintf("r-%d", n), mixedSlice(n, 2))
			}
			s.awaitRead()
			s.rewriter.sortAt = 1
			want := s.summaries()
			if err := s.rewriter.rewrite(t.Context(), s.index.filter((*storedSlice).mixed), nil); err != nil && !k.dead {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.summaries()); diff != "" {
				t.Fatalf("killed after %d writes (-want +got):\n%s", writes, diff)
			}
			s.awaitRead()
			next := &rewriter{client: k8s, namespace: s.namespace, index: s.index, sortAt: 1, pace: s.rewriter.pace, metrics: s.rewriter.metrics}
			if err := next.rewrite(t.Context(), s.index.filter(func(*storedSlice) bool { return true }), nil); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.summaries()); diff != "" {
				t.Fatalf("done again after %d writes (-want +got):\n%s", writes, diff)
			}
			if got := len(s.stored()); got != 2 {
				t.Fatalf("killed after %d writes: %d slices are left over of 2 tasks", writes, got)
			}
			if !k.dead {
				if writes == 0 {
					t.Fatal("nobody was killed: the test tests nothing")
				}
				break
			}
		}
	}
}

// Compaction that broke off, and then a rewrite of the same inputs without one of the tasks: the others keep theirs.
func TestPurgeAfterKilledCompaction(t *testing.T) {
	for writes := range 4 {
		k := &killer{left: writes}
		dying := interceptor.NewClient(k8s, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
				return k.write(func() error { return c.Create(ctx, obj, opts...) })
			},
		})
		s := newStore(t, harness.NewNamespace(t, k8s), dying)
		s.create("r-0", mixedSlice(0, 3))
		s.create("r-1", mixedSlice(1, 3))
		s.awaitRead()
		s.rewriter.sortAt = 1
		want := s.summaries()
		inputs := s.index.filter((*storedSlice).mixed)
		if err := s.rewriter.rewrite(t.Context(), inputs, nil); (err != nil) != k.dead {
			t.Fatal(err)
		}
		s.awaitRead()
		s.rewriter.client = k8s
		r := s.retention(time.Hour)
		r.clock = clocktesting.NewFakeClock(first)
		r.condemn(taskNumber(0), last)
		if err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.awaitRead()
		delete(want, taskNumber(0))
		if diff := cmp.Diff(want, s.summaries()); diff != "" {
			t.Errorf("killed after %d writes (-want +got):\n%s", writes, diff)
		}
	}
}

// While a stream of all slices begins anew, no task seems to have lost its slices.
func TestRelistIsNotTakenForALoss(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.clock.SetTime(first)
	slice := v1alpha1.FirmwareUpgradeResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "r-new", UID: "u"}, Spec: mixedSlice(0, 1),
	}
	streamed, err := s.reader.Transformer()(&slice)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.retention(time.Hour).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.reader.Replace([]any{streamed}, ""); err != nil {
		t.Fatal(err)
	}
	if got := s.tally.Summary(taskNumber(0), upgrade.Query{}).Reported(); got != 5 {
		t.Errorf("want 5 devices, got %d", got)
	}
}

func TestRejectionsAreNotedOnce(t *testing.T) {
	r := &rejections{wake: make(chan struct{}, 1), clock: clocktesting.NewFakeClock(first)}
	for _, name := range []string{"r-1", mergedPrefix + "1", "r-2"} {
		r.note(&storedSlice{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Time{Time: first}}, rejected: 3})
	}
	r.note(&storedSlice{ObjectMeta: metav1.ObjectMeta{Name: "r-3", CreationTimestamp: metav1.Time{Time: first.Add(-time.Hour)}}, rejected: 3})
	if r.count != 6 {
		t.Errorf("want 6, got %d", r.count)
	}
}

func TestRetention(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.create("r-mixed", mixedSlice(1, 3))
	s.create("r-rejected", v1alpha1.FirmwareUpgradeResultSliceSpec{
		Rejected: []v1alpha1.RejectedNotification{{ReceivedAt: metav1.NowMicro(), Reason: "no JSON"}},
	})
	s.create("released-1", v1alpha1.FirmwareUpgradeResultSliceSpec{Released: []v1alpha1.ReleasedTask{{
		AppID: "app", OperationID: taskNumber(2).OperationID, ReleasedAt: metav1.NowMicro(),
	}}})
	s.awaitRead()
	declared := wrappers.MakeFirmwareUpgrade("declared", s.namespace).App("app").Operation(taskNumber(0).OperationID).Obj()
	archived := wrappers.MakeFirmwareUpgrade("archived", s.namespace).App("app").Operation(taskNumber(1).OperationID).Obj()
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{declared, archived} {
		if err := k8s.Create(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := k8s.Delete(context.Background(), fwu); err != nil {
				t.Error(err)
			}
		})
	}
	archived.Status.ArchivedAt = &metav1.Time{Time: last}
	if err := k8s.Status().Update(t.Context(), archived); err != nil {
		t.Fatal(err)
	}
	want := s.summaries()
	s.clock.SetTime(first.Add(time.Hour))
	r := s.retention(24 * time.Hour)

	run := func() {
		t.Helper()
		if err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.awaitRead()
	}
	run()
	delete(want, taskNumber(1))
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("the archived task goes, others stay (-want +got):\n%s", diff)
	}
	if len(r.tally.Tasks(taskNumber(1).OperationID)) != 0 {
		t.Error("the tally has not forgotten the archived task")
	}
	s.clock.SetTime(time.Now().Add(25 * time.Hour))
	run()
	run() // the record of the released task goes when its results are gone
	delete(want, taskNumber(2))
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("the unclaimed task goes, the declared one stays (-want +got):\n%s", diff)
	}
	for _, slice := range s.stored() {
		if len(slice.Spec.Rejected)+len(slice.Spec.Released) > 0 {
			t.Errorf("slice %s is left over", slice.Name)
		}
	}
}

func TestPurgeOnDemandAndByHand(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.create("r-0", mixedSlice(0, 2))
	s.create("r-1", mixedSlice(1, 1))
	s.awaitRead()
	s.clock.SetTime(first)
	r := s.retention(24 * time.Hour)
	r.condemn(taskNumber(0), last)
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitRead()
	if _, left := s.summaries()[taskNumber(0)]; left || len(s.summaries()) != 1 {
		t.Errorf("want task 1 alone, got %v", s.summaries())
	}
	stored := s.stored() // somebody deletes what is left by hand
	for i := range stored {
		if err := k8s.Delete(t.Context(), &stored[i]); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitRead()
	for range 2 {
		if left := s.tally.All(); len(left) != 1 {
			t.Errorf("too early the tally has %v", left)
		}
		s.clock.Step(vanishedAge)
		if err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := s.tally.All(); len(left) != 0 {
		t.Errorf("the tally still has %v", left)
	}
}

// What arrives while a task is purged stays and counts, whether the purge sees its slice or not.
func TestPurgeSparesWhatComesLater(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.create("r-0", mixedSlice(0, 2))
	later := failure(99, last, "Invalid URI")
	later.Task = taskNumber(0)
	s.create("r-1", v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: upgrade.Pack([]upgrade.Result{later})})
	s.awaitRead()
	s.clock.SetTime(first)
	r := s.retention(24 * time.Hour)
	r.condemn(taskNumber(0), last.Add(-time.Second))
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitRead()
	if got := s.summaries()[taskNumber(0)]; got.Reported() != 1 {
		t.Errorf("of task 0 want the later result alone, got %d", got.Reported())
	}
	if got := s.summaries()[taskNumber(1)]; got.Reported() != 5 {
		t.Errorf("of task 1 want 5 devices, got %d", got.Reported())
	}
	harness.Eventually(t, func() string {
		if got := s.tally.Devices(taskNumber(0)); got != 1 {
			return fmt.Sprintf("the tally counts %d devices of the purged task, want 1", got)
		}
		return ""
	})
}

// A purge that fails for one slice removes the others, and what is left later.
func TestPurgeGoesOnAfterAFailure(t *testing.T) {
	fail := true
	flaky := interceptor.NewClient(k8s, interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			if fail && obj.GetName() == "r-0" {
				return errKilled
			}
			return c.Delete(ctx, obj, opts...)
		},
	})
	s := newStore(t, harness.NewNamespace(t, k8s), flaky)
	for n := range 3 {
		s.create(fmt.Sprintf("r-%d", n), mixedSlice(n, 1))
	}
	s.awaitRead()
	s.clock.SetTime(first.Add(48 * time.Hour))
	r := s.retention(24 * time.Hour)
	if err := r.run(t.Context()); err == nil {
		t.Error("the failure is not told")
	}
	s.awaitRead()
	if got := len(s.stored()); got != 1 {
		t.Errorf("%d slices are left, want the one that could not be deleted", got)
	}
	fail = false
	if err := r.run(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(s.stored()); got != 0 {
		t.Errorf("%d slices are left", got)
	}
}

// The results of an archived FirmwareUpgrade go only when all of its failures were announced, as the tally has to remember
// them until then; or, if that can't be had, as late as unclaimed ones.
func TestRetentionWaitsForAnnouncements(t *testing.T) {
	archivedAt := last.Add(time.Hour)
	for name, c := range map[string]struct {
		announced int64
		pending   int
		after     time.Duration // since it was archived
		want      int
	}{
		"all announced":         {4, 0, time.Minute, 0},
		"one is missing":        {3, 0, time.Minute, 1},
		"not delivered":         {4, 1, time.Minute, 1},
		"missing for very long": {3, 0, 25 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, harness.NewNamespace(t, k8s), k8s)
			s.create("r-0", mixedSlice(0, 1))
			s.awaitRead()
			fwu := wrappers.MakeFirmwareUpgrade("archived", s.namespace).App("app").Operation(taskNumber(0).OperationID).Obj()
			if err := k8s.Create(t.Context(), fwu); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := k8s.Delete(context.Background(), fwu); err != nil {
					t.Error(err)
				}
			})
			fwu.Status.ArchivedAt = &metav1.Time{Time: archivedAt}
			fwu.Status.Devices = v1alpha1.DeviceCounts{Failed: 3, Recovered: 1}
			fwu.Status.Events.Announced = c.announced
			for range c.pending {
				fwu.Status.Events.Pending = append(fwu.Status.Events.Pending, v1alpha1.PendingEvent{
					Type: "Warning", Reason: EventDegraded, Time: metav1.NewMicroTime(archivedAt),
				})
			}
			if err := k8s.Status().Update(t.Context(), fwu); err != nil {
				t.Fatal(err)
			}
			s.clock.SetTime(archivedAt.Add(c.after))
			if err := s.retention(24 * time.Hour).run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(s.stored()); got != c.want {
				t.Errorf("want %d slices left, got %d", c.want, got)
			}
		})
	}
}
