// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// laggingWatch is a client whose watches tell nothing between hold and release.
type laggingWatch struct {
	client.WithWatch
	held sync.RWMutex
}

func newLaggingWatch() *laggingWatch {
	l := &laggingWatch{}
	l.WithWatch = interceptor.NewClient(k8s, interceptor.Funcs{
		Watch: func(
			ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption,
		) (watch.Interface, error) {
			w, err := c.Watch(ctx, list, opts...)
			if err != nil {
				return nil, err
			}
			held := &heldWatch{Interface: w, events: make(chan watch.Event), stopped: make(chan struct{})}
			go held.pass(&l.held)
			return held, nil
		},
	})
	return l
}

// heldWatch is one of these watches.
type heldWatch struct {
	watch.Interface
	events   chan watch.Event
	stopped  chan struct{}
	stopOnce sync.Once
}

func (h *heldWatch) ResultChan() <-chan watch.Event { return h.events }

func (h *heldWatch) Stop() {
	h.stopOnce.Do(func() { close(h.stopped) })
	h.Interface.Stop()
}

func (h *heldWatch) pass(held *sync.RWMutex) {
	defer close(h.events)
	for e := range h.Interface.ResultChan() {
		held.RLock()
		held.RUnlock() //nolint:staticcheck // It waits while events are held, and guards nothing.
		select {
		case h.events <- e:
		case <-h.stopped:
			return
		}
	}
}

func (l *laggingWatch) hold()    { l.held.Lock() }
func (l *laggingWatch) release() { l.held.Unlock() }

// awaitTold waits until the watch has told of everything that the store has deleted.
func (s *testStore) awaitTold() {
	s.t.Helper()
	harness.Eventually(s.t, func() string {
		if n := s.index.pending(); n > 0 {
			return fmt.Sprintf("the watch has not told of %d deletions", n)
		}
		return ""
	})
}

// expectNothingLost fails the test if tasks wait to be recounted.
func (s *testStore) expectNothingLost() {
	s.t.Helper()
	if lost := s.index.someLost(); len(lost) > 0 {
		s.t.Errorf("tasks are to be recounted for nothing: %v", lost)
	}
}

// The index has what this process wrote before the watch tells, and what the watch tells afterwards undoes none of it.
func TestLaggingWatch(t *testing.T) {
	lag := newLaggingWatch()
	s := newStore(t, harness.NewNamespace(t, k8s), lag, keptADay)
	for n := range 4 {
		s.create(fmt.Sprintf("r-%d", n), sharedSlice(n, 2))
	}
	s.awaitRead()
	s.ownSlicesAt = 1
	s.clock.SetTime(time.Now().Add(time.Hour))
	before := listed(t, s.namespace)
	lag.hold()
	s.compact(t.Context())
	if got := len(s.stored()); got != 2 {
		t.Fatalf("want 2 slices, got %d", got)
	}
	s.awaitRead()
	s.expectTrue()
	compacted := listed(t, s.namespace)

	// A list from before brings nothing back, and drops nothing.
	replace(t, s, before)
	s.awaitRead()
	s.expectTrue()

	if done, err := s.Purge(t.Context(), taskNumber(0), last); !done || err != nil {
		t.Errorf("purge: done %t, error %v", done, err)
	}
	s.awaitRead()
	s.expectTrue()
	for _, list := range []*storage.ResultSliceList{before, compacted} {
		replace(t, s, list)
		s.awaitRead()
		s.expectTrue()
	}
	lag.release()
	s.awaitTold()
	replace(t, s, listed(t, s.namespace))
	s.awaitRead()
	s.expectTrue()
	s.expectNothingLost()
	if tasks := s.AllTasks(); len(tasks) != 1 || tasks[0] != taskNumber(1) {
		t.Errorf("want task 1 alone, got %v", tasks)
	}
}

func listed(t *testing.T, namespace string) *storage.ResultSliceList {
	t.Helper()
	list := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return list
}

// replace has a store read a complete list.
func replace(t *testing.T, s *testStore, list *storage.ResultSliceList) {
	t.Helper()
	var objects []any
	for i := range list.Items {
		objects = append(objects, list.Items[i].DeepCopy())
	}
	if err := (reader{s.Store}).Replace(objects, list.ResourceVersion); err != nil {
		t.Fatal(err)
	}
}

// While a stream of all slices begins anew, no task seems to have lost its slices.
func TestRelistIsNotTakenForALoss(t *testing.T) {
	lag := newLaggingWatch()
	s := newStore(t, harness.NewNamespace(t, k8s), lag)
	lag.hold()
	defer lag.release()
	s.create("r-new", sharedSlice(0, 1))
	list := listed(t, s.namespace)
	if _, err := (reader{s.Store}).Transformer()(list.Items[0].DeepCopy()); err != nil {
		t.Fatal(err)
	}
	s.expectTrue()
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	replace(t, s, list)
	s.expectTrue()
	s.expectNothingLost()
}

// A purge is not done as long as results are stored that the watch has not told of.
func TestPurgeWaitsForTheWatch(t *testing.T) {
	lag := newLaggingWatch()
	s := newStore(t, harness.NewNamespace(t, k8s), lag)
	until := time.Now()
	s.clock.SetTime(until.Add(arrivalDelay))
	lag.hold()
	r := failure(1, until.Add(-time.Second), "Invalid URI")
	s.create("r-late", sliceOf(r))
	if done, err := s.Purge(t.Context(), taskNumber(0), until); done || err != nil {
		t.Errorf("before the watch tells: done %t, error %v", done, err)
	}
	lag.release()
	s.awaitRead()
	if done, err := s.Purge(t.Context(), taskNumber(0), until); !done || err != nil {
		t.Errorf("afterwards: done %t, error %v", done, err)
	}
	if got := len(s.stored()); got != 0 {
		t.Errorf("%d slices are left", got)
	}
	s.expectTrue()
}
