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
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/webhook"
)

// A purge removes what was received until its time, in slices of its own and in shared ones, and counts what is left.
// It is done when nothing can be on its way any more.
func TestPurge(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.clock.SetTime(last)
	s.create("r-0", sharedSlice(0, 2))
	s.create("r-1", sharedSlice(1, 1))
	later := failure(99, last, "Invalid URI")
	earlier := failure(98, first, "Invalid URI")
	s.create("r-2", sliceOf(earlier, later))
	s.awaitRead()
	watcher := s.Watch()
	if _, err := watcher.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := s.summaries()[taskNumber(1)]
	until := last.Add(-time.Second)
	if done, err := s.Purge(t.Context(), taskNumber(0), until); done || err != nil {
		t.Errorf("at once: done %t, error %v", done, err)
	}
	if changed, err := watcher.Next(t.Context()); err != nil || !cmp.Equal(changed, []result.Task{taskNumber(0)}) {
		t.Errorf("want task 0 published, got %v, error %v", changed, err)
	}
	s.expectTrue()
	if got := s.counted()[taskNumber(0)]; got.Reported() != 1 {
		t.Errorf("of task 0 want the later result alone, got %d", got.Reported())
	}
	if diff := cmp.Diff(want, s.counted()[taskNumber(1)]); diff != "" {
		t.Errorf("the other task changed (-want +got):\n%s", diff)
	}
	s.clock.SetTime(until.Add(arrivalDelay))
	if done, err := s.Purge(t.Context(), taskNumber(0), until); !done || err != nil {
		t.Errorf("when nothing is on its way: done %t, error %v", done, err)
	}
	if done, err := s.Purge(t.Context(), taskNumber(0), last); done || err != nil {
		t.Errorf("of the rest, at once: done %t, error %v", done, err)
	}
	if left := s.Tasks(taskNumber(0).OperationID); len(left) != 0 {
		t.Errorf("the tally still has %v", left)
	}
	s.awaitTold()
	s.expectTrue()
	s.expectNothingLost()
}

// A purge that is refused forgets nothing. One that is killed between any two writes leaves what is counted true, and
// is finished by a second call.
func TestBrokenPurgeIsFinished(t *testing.T) {
	for _, afterward := range []bool{false, true} {
		for writes := 0; ; writes++ {
			k := &killer{left: writes, afterward: afterward}
			s := newStore(t, harness.NewNamespace(t, k8s), k.client())
			s.clock.SetTime(last.Add(time.Hour))
			s.create("r-0", sharedSlice(0, 1))
			s.create("r-1", sharedSlice(1, 2))
			s.create("r-2", sharedSlice(2, 1))
			s.awaitRead()
			before := s.counted()
			done, err := s.Purge(t.Context(), taskNumber(0), last)
			if done == k.dead || (err != nil) != k.dead {
				t.Fatalf("killed after %d writes: %t, but done %t, error %v", writes, k.dead, done, err)
			}
			if !k.dead {
				break
			}
			s.awaitRead() // an unanswered deletion is told by the watch
			if err := s.recountLost(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.expectTrue()
			if diff := cmp.Diff(before, s.counted()); writes == 0 && !afterward && diff != "" {
				t.Errorf("nothing was deleted, but forgotten (-want +got):\n%s", diff)
			}
			s.client = k8s
			if done, err := s.Purge(t.Context(), taskNumber(0), last); !done || err != nil {
				t.Errorf("again, killed after %d writes: done %t, error %v", writes, done, err)
			}
			s.expectTrue()
			if _, left := s.summaries()[taskNumber(0)]; left || len(s.summaries()) != 1 {
				t.Errorf("want task 1 alone, got %v", s.AllTasks())
			}
		}
	}
}

// A purge whose one slice can't be deleted removes the others, and what is left later.
func TestPurgeGoesOnAfterAFailure(t *testing.T) {
	fail := true
	flaky := interceptor.NewClient(k8s, interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			if fail && obj.GetName() == "r-0" {
				return errors.New("refused")
			}
			return c.Delete(ctx, obj, opts...)
		},
	})
	s := newStore(t, harness.NewNamespace(t, k8s), flaky)
	s.clock.SetTime(last.Add(time.Hour))
	for n := range 3 {
		s.create(fmt.Sprintf("r-%d", n), sharedSlice(n, 1))
	}
	s.awaitRead()
	if done, err := s.Purge(t.Context(), taskNumber(0), last); done || err == nil {
		t.Errorf("the failure is not told: done %t", done)
	}
	if got := len(s.stored()); got != 1 {
		t.Errorf("%d slices are left, want the one that could not be deleted", got)
	}
	s.expectTrue()
	fail = false
	if done, err := s.Purge(t.Context(), taskNumber(0), last); !done || err != nil {
		t.Errorf("done %t, error %v", done, err)
	}
	if got := len(s.stored()); got != 0 {
		t.Errorf("%d slices are left", got)
	}
	s.expectTrue()
}

// Compaction that broke off, and then a purge of one of the tasks: the others keep theirs.
func TestPurgeAfterKilledCompaction(t *testing.T) {
	for writes := range 4 {
		k := &killer{left: writes}
		s := newStore(t, harness.NewNamespace(t, k8s), k.client())
		s.clock.SetTime(last.Add(time.Hour))
		s.create("r-0", sharedSlice(0, 3))
		s.create("r-1", sharedSlice(1, 3))
		s.awaitRead()
		s.ownSlicesAt = 1
		want := s.summaries()
		if err := s.rewrite(t.Context(), s.index.all(), nil); (err != nil) != k.dead {
			t.Fatal(err)
		}
		s.client = k8s
		if done, err := s.Purge(t.Context(), taskNumber(0), last); !done || err != nil {
			t.Errorf("killed after %d writes: done %t, error %v", writes, done, err)
		}
		delete(want, taskNumber(0))
		if diff := cmp.Diff(want, s.summaries()); diff != "" {
			t.Errorf("killed after %d writes (-want +got):\n%s", writes, diff)
		}
		s.expectTrue()
	}
}

// What is received until a time is stored within arrivalDelay.
func TestArrivalDelayCoversTheWebhook(t *testing.T) {
	if arrivalDelay < webhook.StoreDeadline+time.Second {
		t.Errorf("results may be stored after %s, a purge waits for %s", webhook.StoreDeadline, arrivalDelay)
	}
}

// compacting marks the context of compaction.
type compacting struct{}

// observed is a context that tells when somebody waits for its end.
type observed struct {
	context.Context
	waits chan struct{}
	once  sync.Once
}

func (o *observed) Done() <-chan struct{} {
	o.once.Do(func() { close(o.waits) })
	return o.Context.Done()
}

// A purge waits for the step that compaction is at, and not for the next one.
func TestPurgeDuringCompaction(t *testing.T) {
	pass, asked := make(chan struct{}), make(chan struct{}, 10)
	slow := interceptor.NewClient(k8s, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if ctx.Value(compacting{}) != nil {
				asked <- struct{}{}
				<-pass
			}
			return c.Create(ctx, obj, opts...)
		},
	})
	s := newStore(t, harness.NewNamespace(t, k8s), slow)
	s.clock.SetTime(last.Add(time.Hour))
	for task := range 3 { // a step for each of the tasks
		r := failure(task, first, "Invalid URI")
		r.Task = taskNumber(task)
		for n := range mergeAtSlices {
			s.create(fmt.Sprintf("c-%d-%d", task, n), sliceOf(r), labelled(r.Task))
		}
	}
	s.awaitRead()
	var work sync.WaitGroup
	defer work.Wait()
	defer close(pass)
	work.Go(func() { s.compact(context.WithValue(t.Context(), compacting{}, true)) })
	<-asked
	ctx := &observed{Context: t.Context(), waits: make(chan struct{})}
	purged := make(chan error, 1)
	work.Go(func() {
		done, err := s.Purge(ctx, taskNumber(0), last)
		if err == nil && !done {
			err = errors.New("it is not done")
		}
		purged <- err
	})
	<-ctx.waits
	pass <- struct{}{}
	select { // and compaction is stopped at its second step all the time
	case err := <-purged:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the purge waits for all of compaction")
	}
	if _, left := s.summaries()[taskNumber(0)]; left {
		t.Error("the purged task is stored")
	}
	s.expectTrue()
}
