// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// recountDelay is how long after a foreign deletion, and after a recount that failed, tasks are counted anew. Shorter
// would count again and again while somebody deletes many slices; longer shows deleted results for longer.
const recountDelay = time.Second

// errNotTold says that somebody else deleted a slice a moment ago.
var errNotTold = errors.New("it is gone, and the watch has not told yet")

// recounting is a recount that is under way: a tally of some tasks beside the one that everybody sees.
type recounting struct {
	tasks map[result.Task]struct{}
	tally *tally.Tally
}

// add adds those of the results that are recounted. A recount that is not under way takes none.
func (r *recounting) add(results []result.Result) {
	if r == nil {
		return
	}
	var of []result.Result
	for i := range results {
		if _, recounted := r.tasks[results[i].Task]; recounted {
			of = append(of, results[i])
		}
	}
	r.tally.Add(of)
}

func (s *Store) wakeRecount() { wake(s.recountWanted) }

// keepRecounted counts tasks anew whose slices somebody else deleted, until the context ends.
func (s *Store) keepRecounted(ctx context.Context) {
	logger := ctrl.LoggerFrom(ctx)
	if err := s.WaitForSync(ctx); err != nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.recountWanted:
		}
		select {
		case <-ctx.Done():
			return
		case <-s.options.Clock.After(recountDelay):
		}
		if err := s.recountLost(ctx); err != nil && ctx.Err() == nil {
			logger.Error(err, "Could not count deleted results anew, will try again")
			s.wakeRecount()
		}
	}
}

// recountLost counts the lost tasks anew, so many at once as one step may read, and gives way in between.
func (s *Store) recountLost(ctx context.Context) error {
	for {
		if err := s.begin(ctx); err != nil {
			return err
		}
		tasks := s.index.someLost()
		err := s.recount(ctx, tasks)
		s.end()
		if err != nil || len(tasks) == 0 {
			return err
		}
		ctrl.LoggerFrom(ctx).Info("Counted tasks anew, as somebody else deleted slices", "tasks", len(tasks))
	}
}

// recount makes the tally of tasks equal to what is stored:
//
//  1. Begin a tally beside the one that everybody sees. From now on it gets what arrives, too.
//  2. Read the slices of the tasks into it.
//  3. Put it in the place of the other one.
//
// The caller has begun a step, so that this process moves no results meanwhile. When a slice is gone, somebody else
// deleted it, and perhaps stored its results elsewhere: the watch has to tell first. When it fails, the tasks stay
// lost.
func (s *Store) recount(ctx context.Context, tasks []result.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	inputs := s.index.beginRecount(tasks)
	err := inParallel(len(inputs), func(i int) error {
		slice, err := s.readSlice(ctx, inputs[i])
		switch {
		case err != nil:
			return err
		case slice == nil:
			return fmt.Errorf("read slice %s: %w", inputs[i].Name, errNotTold)
		}
		results, _ := result.Unpack(slice.Tables) // what can be read counts
		s.index.addToRecount(results)
		return nil
	})
	s.index.endRecount(err == nil)
	if err == nil {
		s.publish(tasks)
	}
	return err
}

// someLost returns lost tasks: one, and more as long as their slices are not more than one step may read.
func (x *index) someLost() (tasks []result.Task) {
	x.mu.Lock()
	defer x.mu.Unlock()
	count := 0
	for _, task := range slices.SortedFunc(maps.Keys(x.lost), result.CompareTasks) {
		if of := x.byTask[task]; of != nil {
			count += len(of.slices)
		}
		if len(tasks) > 0 && count > maxInputs {
			break
		}
		tasks = append(tasks, task)
	}
	return tasks
}

// beginRecount begins a recount and returns the slices to read. A task that loses a slice from now on is lost anew.
func (x *index) beginRecount(tasks []result.Task) []*storedSlice {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.recounting = &recounting{tasks: map[result.Task]struct{}{}, tally: x.tally.Sibling()}
	var inputs []*storedSlice
	for _, task := range tasks {
		delete(x.lost, task)
		x.recounting.tasks[task] = struct{}{}
		if of := x.byTask[task]; of != nil {
			inputs = slices.AppendSeq(inputs, maps.Values(of.slices))
		}
	}
	sortByAge(inputs)
	return slices.CompactFunc(inputs, func(a, b *storedSlice) bool { return a.UID == b.UID })
}

func (x *index) addToRecount(results []result.Result) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.recounting.add(results)
}

// endRecount takes over what was counted, if that succeeded.
func (x *index) endRecount(succeeded bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for task := range x.recounting.tasks {
		if succeeded {
			x.tally.Replace(task, x.recounting.tally)
		} else {
			x.lost[task] = struct{}{}
		}
	}
	x.recounting = nil
}
