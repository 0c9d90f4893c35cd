// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// arrivalDelay is how long after it was received a result may be stored at the latest: webhook.StoreDeadline, and as a
// margin half of that for clocks that differ.
const arrivalDelay = 15 * time.Second

// ErrUnreadable is the error of a purge whose results are in a slice that this version can't read completely.
var ErrUnreadable = errors.New("this version of the operator can't read it completely")

// Purge removes the results of a task that were received until a time. It says whether it is done: false while such
// results may still be on their way from a webhook, or are stored and not read yet; then it is to be called again. An
// error says that not all of them could be removed; the tally then has those that are left. Calling it again finishes
// what broke off.
func (s *Store) Purge(ctx context.Context, task result.Task, until time.Time) (done bool, err error) {
	if !s.Synced() {
		return false, nil
	}
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	defer s.end()
	holdOn := func(ctx context.Context) error { return ctx.Err() } // somebody waits for a purge, nobody for compaction
	if err := s.removeResults(ctx, map[result.Task]int64{task: until.UnixMicro()}, holdOn); err != nil {
		return false, fmt.Errorf("purge: %w", err)
	}
	arrived := until.Add(arrivalDelay)
	if s.options.Clock.Now().Before(arrived) {
		return false, nil
	}
	if known, err := s.knowsAll(ctx, arrived); err != nil || !known {
		return false, err
	}
	if of := s.index.unreadableOf(task, until.UnixMicro()); of != nil {
		return false, fmt.Errorf("ResultSlice %s may have results of the task, but %w: %w", of.Name, ErrUnreadable,
			of.unreadable)
	}
	return !slices.ContainsFunc(s.index.ofTask(task), func(of *storedSlice) bool {
		return of.held(task).received.First <= until.UnixMicro()
	}), nil
}

// knowsAll says whether the index has every stored slice that was created until a time, or that another leader made of
// such slices.
func (s *Store) knowsAll(ctx context.Context, until time.Time) (bool, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(storage.GroupVersion.WithKind("ResultSliceList"))
	if err := s.client.List(ctx, list, client.InNamespace(s.options.Namespace)); err != nil {
		return false, fmt.Errorf("list the names of slices: %w", err)
	}
	for i := range list.Items {
		slice := &list.Items[i]
		recent := slice.CreationTimestamp.After(until) && !strings.HasPrefix(slice.Name, mergedPrefix)
		if !recent && !s.index.knows(slice.Name, slice.UID, slice.ResourceVersion) {
			return false, nil
		}
	}
	return true, nil
}

// removeResults removes the results of tasks that were received until the times given, in microseconds since 1970-01-01
// UTC:
//
//  1. Delete slices that hold nothing else, and rewrite the others without these results, in batches; between is called
//     after each, with giveWay to let others have their turn. A slice that can't be read completely stays. What fails
//     does not keep the rest from being removed.
//  2. Forget the tasks of which nothing is stored any more, and recount those that have something left.
//
// The caller has begun a step.
func (s *Store) removeResults(
	ctx context.Context, due map[result.Task]int64, between func(context.Context) error,
) error {
	tried := map[types.UID]struct{}{}
	touched := map[result.Task]struct{}{}
	var errs []error
	for {
		batch := withinBounds(s.index.holding(due, tried))
		if len(batch) == 0 {
			break
		}
		for _, of := range batch {
			tried[of.UID] = struct{}{}
			for i := range of.tasks {
				if _, isDue := due[of.tasks[i].Task]; isDue {
					touched[of.tasks[i].Task] = struct{}{}
				}
			}
		}
		errs = append(errs, s.removeBatch(ctx, batch, due))
		if err := between(ctx); err != nil {
			errs = append(errs, err)
			break
		}
	}
	forgotten := s.index.forget(slices.Collect(maps.Keys(due)))
	s.publish(forgotten)
	for _, task := range forgotten {
		delete(touched, task)
	}
	if err := s.recount(ctx, slices.Collect(maps.Keys(touched))); err != nil {
		s.wakeRecount()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeBatch removes due results from some slices.
func (s *Store) removeBatch(ctx context.Context, batch []*storedSlice, due map[result.Task]int64) error {
	var whole, shared []*storedSlice
	for _, of := range batch {
		if of.isDue(due) {
			whole = append(whole, of)
		} else {
			shared = append(shared, of)
		}
	}
	err := inParallel(len(whole), func(i int) error { return s.remove(ctx, whole[i]) })
	if len(shared) == 0 {
		return err
	}
	return errors.Join(err, s.rewrite(ctx, shared, func(r *result.Result) bool {
		until, isDue := due[r.Task]
		return isDue && receivedAt(r) <= until
	}))
}

// isDue says whether a slice holds nothing but due results.
func (s *storedSlice) isDue(due map[result.Task]int64) bool {
	if len(s.rejected)+len(s.releases) > 0 {
		return false
	}
	for i := range s.tasks {
		if until, isDue := due[s.tasks[i].Task]; !isDue || s.tasks[i].received.Last > until {
			return false
		}
	}
	return true
}

// holding returns the readable slices that hold due results, the oldest first, without those that were tried.
func (x *index) holding(due map[result.Task]int64, tried map[types.UID]struct{}) []*storedSlice {
	x.mu.Lock()
	defer x.mu.Unlock()
	found := map[types.UID]*storedSlice{}
	for task, until := range due {
		of := x.byTask[task]
		if of == nil {
			continue
		}
		for uid, s := range of.slices {
			if _, again := tried[uid]; !again && s.unreadable == nil && s.held(task).received.First <= until {
				found[uid] = s
			}
		}
	}
	return sortByAge(slices.Collect(maps.Values(found)))
}
