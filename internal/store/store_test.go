// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/harness"
)

// The results of the tests arrive between first and last.
var (
	first = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	last  = first.Add(time.Minute)
)

// testStore is a leader's store of a namespace of the real API server, which reads but does nothing by itself.
type testStore struct {
	*Store
	t         *testing.T
	namespace string
	clock     *clocktesting.FakeClock
	// objects are the FirmwareUpgrades that exist, by UID, and whether their results are to be removed with them.
	objects map[string]bool
	// close ends the Reflector, as the end of the test does.
	close func()
}

// newStore makes a store that talks through c and reads what is stored. Results are kept, unless keepUntil says else.
func newStore(
	t *testing.T, namespace string, c client.WithWatch, keepUntil ...func(result.Task, time.Time) time.Time,
) *testStore {
	t.Helper()
	clk := clocktesting.NewFakeClock(time.Now())
	var s *testStore
	store, err := New(Options{
		Client: c, Namespace: namespace, Limit: 1000, RetainRejected: 24 * time.Hour, Instance: "test",
		Registerer: prometheus.NewRegistry(), Clock: clk,
		LookUp: func(_ context.Context, object storage.ObjectReference) (exists, purges bool, err error) {
			purges, exists = s.objects[object.UID]
			return exists, purges, nil
		},
		KeepUntil: func(_ context.Context, task result.Task, last time.Time) (time.Time, error) {
			for _, until := range keepUntil {
				return until(task, last), nil
			}
			return time.Time{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s = &testStore{Store: store, t: t, namespace: namespace, clock: clk}
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() { s.read(ctx) })
	s.close = func() { cancel(); reading.Wait() }
	t.Cleanup(s.close)
	if err := s.WaitForSync(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// keptADay has results kept a day.
func keptADay(_ result.Task, last time.Time) time.Time { return last.Add(24 * time.Hour) }

func keptAYear(_ result.Task, last time.Time) time.Time { return last.AddDate(1, 0, 0) }

// create stores a slice as the webhook would or, with labels, as compaction does.
func (s *testStore) create(name string, slice *storage.ResultSlice, labels ...map[string]string) {
	s.t.Helper()
	slice.Namespace, slice.Name = s.namespace, name
	for _, l := range labels {
		slice.Labels = l
	}
	if err := k8s.Create(s.t.Context(), slice); err != nil {
		s.t.Fatal(err)
	}
}

// deleteByHand deletes a slice as somebody with kubectl does.
func (s *testStore) deleteByHand(name string) {
	s.t.Helper()
	slice := &storage.ResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	if err := k8s.Delete(s.t.Context(), slice); err != nil {
		s.t.Fatal(err)
	}
}

// stored lists what the API server has.
func (s *testStore) stored() []storage.ResultSlice {
	s.t.Helper()
	list := &storage.ResultSliceList{}
	if err := k8s.List(s.t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// awaitRead waits until the index has just what the API server has, and nothing is still to be told.
func (s *testStore) awaitRead() {
	s.t.Helper()
	harness.Eventually(s.t, func() string {
		stored := s.stored()
		for i := range stored {
			if s.index.uidOf(stored[i].Name) != stored[i].UID {
				return "slice " + stored[i].Name + " is not read yet"
			}
		}
		if got := s.index.usage().slices; got != int64(len(stored)) {
			return fmt.Sprintf("the index has %d slices of %d", got, len(stored))
		}
		return ""
	})
}

// uidOf returns the UID of the slice that has a name; none if there is none.
func (x *index) uidOf(name string) types.UID {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s, ok := x.byName[name]; ok {
		return s.UID
	}
	return ""
}

// pending returns how many deletions the watch has not told of yet.
func (x *index) pending() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.deletions)
}

// all returns all slices.
func (x *index) all() []*storedSlice { return x.filter() }

// summaries are the summaries of all tasks, by what is stored alone.
func (s *testStore) summaries() map[result.Task]tally.Summary {
	s.t.Helper()
	var all []result.Result
	stored := s.stored()
	for i := range stored {
		results, err := result.Unpack(stored[i].Tables)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, results...)
	}
	return summariesOf(all)
}

// counted are the summaries of all tasks as the store has them.
func (s *testStore) counted() map[result.Task]tally.Summary {
	out := map[result.Task]tally.Summary{}
	for _, task := range s.AllTasks() {
		out[task] = s.Summary(task, tally.Query{})
	}
	return out
}

// expectTrue fails the test if the store counts anything else than what is stored.
func (s *testStore) expectTrue() {
	s.t.Helper()
	if diff := cmp.Diff(s.summaries(), s.counted()); diff != "" {
		s.t.Errorf("the store does not count what is stored (-stored +counted):\n%s", diff)
	}
}

// summariesOf are the summaries of all tasks of some results.
func summariesOf(results []result.Result) map[result.Task]tally.Summary {
	all := tally.New()
	all.Add(results)
	out := map[result.Task]tally.Summary{}
	for _, task := range all.All() {
		out[task] = all.Summary(task, tally.Query{})
	}
	return out
}

func taskNumber(n int) result.Task {
	return result.Task{AppID: "app", OperationID: fmt.Sprintf("op-%d", n)}
}

// failure is a failed result of task 0.
func failure(device int, at time.Time, statusDesc string) result.Result {
	r := result.Result{
		Task: taskNumber(0), DeviceID: fmt.Sprintf("device-%d", device), SubOperationID: fmt.Sprintf("sub-%d", device),
		ReceivedAt: at.UnixMicro(),
	}
	r.State, r.StatusDesc = storage.StateFailed, statusDesc
	r.Normalize()
	return r
}

// sliceOf holds results.
func sliceOf(results ...result.Result) *storage.ResultSlice {
	return &storage.ResultSlice{Tables: result.Pack(results)}
}

// sharedSlice has results of several tasks: failures, and successes of the same devices later.
func sharedSlice(n, tasks int) *storage.ResultSlice {
	var results []result.Result
	for task := range tasks {
		for device := range 5 {
			r := failure(device+n%7, first.Add(time.Duration(n)*time.Second), "Invalid URI")
			if n%3 == 0 {
				r.State = storage.StateSucceeded
			}
			r.Task = taskNumber(task)
			r.Normalize()
			results = append(results, r)
		}
	}
	return sliceOf(results...)
}

// rejectedSlice holds rejected notifications that arrived at some times.
func rejectedSlice(at ...time.Time) *storage.ResultSlice {
	slice := &storage.ResultSlice{}
	for _, t := range at {
		slice.Rejected = append(slice.Rejected, storage.RejectedNotification{
			ReceiveTime: metav1.NewMicroTime(t), Reason: "no JSON", Body: "x",
		})
	}
	return slice
}

// errKilled is what a leader gets that was killed.
var errKilled = errors.New("killed")

// killer lets so many writes pass and fails all others, as if the process had died before the next one or, afterward,
// when it was done and not answered yet.
type killer struct {
	mu        sync.Mutex
	left      int
	afterward bool
	dead      bool
}

func (k *killer) write(write func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left == 0 {
		if k.afterward && !k.dead {
			_ = write()
		}
		k.dead = true
		return errKilled
	}
	k.left--
	return write()
}

// client returns a client whose writes the killer counts.
func (k *killer) client() client.WithWatch {
	return interceptor.NewClient(k8s, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return k.write(func() error { return c.Create(ctx, obj, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return k.write(func() error { return c.Delete(ctx, obj, opts...) })
		},
	})
}

func TestOptionsAreValidated(t *testing.T) {
	valid := func() Options {
		return Options{
			Client: k8s, Namespace: "ns", Limit: 1, Registerer: prometheus.NewRegistry(),
			Clock:     clocktesting.NewFakeClock(first),
			KeepUntil: func(context.Context, result.Task, time.Time) (time.Time, error) { return time.Time{}, nil },
			LookUp:    func(context.Context, storage.ObjectReference) (bool, bool, error) { return true, true, nil },
		}
	}
	for name, change := range map[string]func(*Options){
		"no client":    func(o *Options) { o.Client = nil },
		"no namespace": func(o *Options) { o.Namespace = "" },
		"no limit":     func(o *Options) { o.Limit = 0 },
		"no retention": func(o *Options) { o.KeepUntil = nil },
		"no metrics":   func(o *Options) { o.Registerer = nil },
		"no clock":     func(o *Options) { o.Clock = nil },
	} {
		o := valid()
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: New made a store", name)
		}
	}
	if _, err := New(valid()); err != nil {
		t.Error(err)
	}
}
