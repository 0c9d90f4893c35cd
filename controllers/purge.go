// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/internal/upgrade"
)

// condemn has the results of a task that arrived until a time removed with the next run, which it asks for.
func (r *retention) condemn(task upgrade.Task, until time.Time) {
	r.mu.Lock()
	r.condemned[task] = until.UnixMicro()
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// isCondemned says whether results of a task are about to go.
func (r *retention) isCondemned(task upgrade.Task) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, condemned := r.condemned[task]
	return condemned
}

// condemnedTasks returns the condemned tasks, but those that somebody has declared anew meanwhile: these are pardoned.
func (r *retention) condemnedTasks(ctx context.Context) (map[upgrade.Task]int64, error) {
	r.mu.Lock()
	condemned := maps.Clone(r.condemned)
	r.mu.Unlock()
	counted := map[upgrade.Task]int64{}
	for task, until := range condemned {
		holder, err := r.holder(ctx, task)
		if err != nil {
			return nil, err
		}
		if holder != nil && holder.Status.ArchivedAt == nil && !r.rules.isPlaceholder(holder) {
			counted[task] = until
			delete(condemned, task)
		}
	}
	r.pardon(counted)
	return condemned, nil
}

// pardon takes tasks from the condemned ones, unless they were condemned anew.
func (r *retention) pardon(tasks map[upgrade.Task]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for task, until := range tasks {
		if r.condemned[task] == until {
			delete(r.condemned, task)
		}
	}
}

// purge removes the results of tasks that arrived until the times given. The tally forgets the tasks before it is looked
// which slices they have: what arrives later is either among these, and is read back when they were rewritten, or is
// added to the tally afterwards. A slice that can't be read completely stays.
func (r *retention) purge(ctx context.Context, tasks map[upgrade.Task]int64) error {
	drop := func(result *upgrade.Result) bool {
		until, ok := tasks[result.Task]
		return ok && max(result.ReceivedAt, result.LastReceivedAt) <= until
	}
	seen := map[types.UID]struct{}{}
	var shared []*storedSlice
	var errs []error
	for task := range tasks {
		r.tally.Forget(task)
		for _, s := range r.index.ofTask(task) {
			if _, again := seen[s.UID]; again || s.unreadable != nil {
				continue
			}
			seen[s.UID] = struct{}{}
			if len(s.tasks) == 1 && s.rejected == 0 && s.released == 0 && s.lastReceivedAt <= tasks[task] {
				errs = append(errs, r.rewriter.remove(ctx, s))
			} else {
				shared = append(shared, s)
			}
		}
	}
	for shared = sortByAge(shared); len(shared) > 0; {
		batch := withinBounds(shared)
		errs = append(errs, r.rewriter.rewrite(ctx, batch, drop))
		shared = shared[len(batch):]
	}
	return errors.Join(errs...)
}
