// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// labelled are the labels of a slice that compaction made for a task.
func labelled(task result.Task) map[string]string {
	return map[string]string{storage.LabelTask: task.Hash()}
}

// What is deleted by hand counts no more: one slice of several, then all of a task. Both are published.
func TestDeletedByHand(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	for n := range 3 {
		s.create(fmt.Sprintf("r-%d", n), sharedSlice(n, 1))
	}
	r := failure(1, first, "Invalid URI")
	r.Task = taskNumber(1)
	s.create("r-3", sliceOf(r))
	s.awaitRead()
	watcher := s.Watch()
	if _, err := watcher.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{"r-0"}, {"r-1", "r-2"}} {
		before := s.counted()
		for _, name := range names {
			s.deleteByHand(name)
		}
		s.awaitRead()
		if err := s.recountLost(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.expectTrue()
		if cmp.Equal(before, s.counted()) {
			t.Errorf("%v: nothing changed", names)
		}
		if changed, err := watcher.Next(t.Context()); err != nil || !cmp.Equal(changed, []result.Task{taskNumber(0)}) {
			t.Errorf("%v: want task 0 published, got %v, error %v", names, changed, err)
		}
	}
	if diff := cmp.Diff([]result.Task{taskNumber(1)}, s.AllTasks()); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	s.expectNothingLost()
}

// A recount that fails leaves what is counted and is made again; what arrives while it reads counts.
func TestRecountIsRepeatedAndMissesNothing(t *testing.T) {
	var mu sync.Mutex
	var read func() error
	held := interceptor.NewClient(k8s, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption,
		) error {
			mu.Lock()
			defer mu.Unlock()
			if err := read(); err != nil {
				return err
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})
	s := newStore(t, harness.NewNamespace(t, k8s), held)
	for n := range 3 { // slices of one task are not in memory
		s.create(fmt.Sprintf("c-%d", n), sharedSlice(n, 1), labelled(taskNumber(0)))
	}
	s.awaitRead()
	s.deleteByHand("c-1")
	s.awaitRead()
	before := s.counted()
	read = func() error { return errors.New("refused") }
	if err := s.recountLost(t.Context()); err == nil {
		t.Error("the failure is not told")
	}
	if diff := cmp.Diff(before, s.counted()); diff != "" {
		t.Errorf("what is counted changed (-want +got):\n%s", diff)
	}
	arrived := false
	read = func() error {
		if !arrived {
			arrived = true
			s.create("r-3", sliceOf(failure(77, last, "Invalid URI")))
			s.awaitRead()
		}
		return nil
	}
	if err := s.recountLost(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !arrived {
		t.Error("nothing was read")
	}
	s.expectTrue()
	s.expectNothingLost()
}
