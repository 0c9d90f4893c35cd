// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// maxRejected is how many rejected notifications are kept, the newest.
const maxRejected = 1000

// retention removes slices whose time is over: those of archived FirmwareUpgrades, of tasks that nobody has claimed for
// a while, and old rejected notifications. Beside compaction it is the only one that deletes slices.
type retention struct {
	client   client.Client
	tally    *upgrade.Tally
	index    *sliceIndex
	rules    tenancy
	rewriter *rewriter
	// unclaimed is how long results of a task that no FirmwareUpgrade claims are kept, from the last one on.
	unclaimed time.Duration
	clock     clock.PassiveClock
	// wake asks for a run ahead of time.
	wake chan struct{}

	mu sync.Mutex
	// condemned are tasks whose results are to go with the next run.
	condemned map[upgrade.Task]struct{}
}

// condemn has the results of a task removed with the next run, which it asks for.
func (r *retention) condemn(task upgrade.Task) {
	r.mu.Lock()
	r.condemned[task] = struct{}{}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run removes what is due:
//
//  1. The tally forgets tasks of which no slice is stored any more: somebody deleted them by hand.
//  2. Tasks whose time is over are condemned.
//  3. Condemned tasks are forgotten, then their slices deleted. A crash in between brings them back to be condemned anew.
//  4. So go placeholders without results, rejected notifications and records of released tasks.
func (r *retention) run(ctx context.Context) error {
	now := r.clock.Now()
	for _, task := range r.tally.All() {
		if len(r.index.ofTask(task)) == 0 {
			r.tally.Forget(task)
			continue
		}
		due, err := r.due(ctx, task)
		if err != nil {
			return err
		}
		if !due.IsZero() && !now.Before(due) {
			r.condemn(task)
		}
	}
	for _, task := range r.condemnedTasks() {
		if err := r.execute(ctx, task); err != nil {
			return err
		}
	}
	if err := r.removePlaceholders(ctx); err != nil {
		return err
	}
	return r.removeRest(ctx, now)
}

// due returns when the results of a task are to go; zero for not yet known.
func (r *retention) due(ctx context.Context, task upgrade.Task) (time.Time, error) {
	last := r.tally.Summary(task, upgrade.Query{}).LastReceivedAt
	holder, err := r.holder(ctx, task)
	switch {
	case err != nil:
		return time.Time{}, err
	case holder != nil && holder.Status.ArchivedAt == nil:
		return time.Time{}, nil
	// The API keeps seconds.
	case holder != nil && !time.UnixMicro(last).Truncate(time.Second).After(holder.Status.ArchivedAt.Time):
		return holder.Status.ArchivedAt.Time, nil
	}
	return time.UnixMicro(last).Add(r.unclaimed), nil
}

// holder returns the FirmwareUpgrade that has the task, nil if none has.
func (r *retention) holder(ctx context.Context, task upgrade.Task) (*v1alpha1.FirmwareUpgrade, error) {
	same, err := sameOperation(ctx, r.client, task.OperationID)
	if err != nil {
		return nil, err
	}
	return holderOf(task, same, r.rules), nil
}

// execute purges a condemned task, unless a FirmwareUpgrade has come meanwhile that counts it: then it is pardoned.
func (r *retention) execute(ctx context.Context, task upgrade.Task) error {
	holder, err := r.holder(ctx, task)
	if err != nil {
		return err
	}
	if holder == nil || holder.Status.ArchivedAt != nil {
		if err := r.purge(ctx, task); err != nil {
			return err
		}
	}
	r.mu.Lock()
	delete(r.condemned, task)
	r.mu.Unlock()
	return nil
}

func (r *retention) condemnedTasks() []upgrade.Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.condemned))
}

// purge makes the tally forget the task and deletes its slices; what they hold of other tasks is rewritten first. A slice
// that can't be read completely stays.
func (r *retention) purge(ctx context.Context, task upgrade.Task) error {
	stored := r.index.ofTask(task)
	r.tally.Forget(task)
	var shared []*storedSlice
	for _, s := range stored {
		if s.unreadable != nil {
			continue
		}
		if len(s.tasks) > 1 || s.rejected > 0 {
			shared = append(shared, s)
			continue
		}
		if err := r.rewriter.removeStored(ctx, s); err != nil {
			return err
		}
	}
	for len(shared) > 0 {
		batch := withinBounds(shared)
		if err := r.rewriter.rewrite(ctx, batch, false, func(t upgrade.Task) bool { return t == task }); err != nil {
			return err
		}
		shared = shared[len(batch):]
	}
	return nil
}

// removePlaceholders deletes placeholders whose results retention has removed: Git never declared them, and there is
// nothing left to declare.
func (r *retention) removePlaceholders(ctx context.Context) error {
	list := &v1alpha1.FirmwareUpgradeList{}
	err := r.client.List(ctx, list, client.MatchingLabels{v1alpha1.LabelPlaceholder: "true"}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list placeholders: %w", err)
	}
	for i := range list.Items {
		p := &list.Items[i]
		task := upgrade.Task{AppID: p.Spec.AppID, OperationID: p.Spec.OperationID}
		if !r.rules.isPlaceholder(p) || p.Status.ArchivedAt == nil || len(r.index.ofTask(task)) > 0 {
			continue
		}
		if err := deletePlaceholder(ctx, r.client, p); err != nil {
			return err
		}
	}
	return nil
}

// removeRest removes rejected notifications that are old or too many, and records of released tasks that have no
// results any more.
func (r *retention) removeRest(ctx context.Context, now time.Time) error {
	rejected := r.index.filter(func(s *storedSlice) bool {
		return s.rejected > 0 && len(s.tasks) == 0 && s.released == 0 && s.unreadable == nil
	})
	kept := 0
	for _, s := range slices.Backward(rejected) {
		kept += s.rejected
		if kept <= maxRejected && now.Sub(s.CreationTimestamp.Time) < r.unclaimed {
			continue
		}
		if err := r.rewriter.removeStored(ctx, s); err != nil {
			return err
		}
	}
	released := r.index.filter(func(s *storedSlice) bool {
		return s.released > 0 && len(s.tasks) == 0 && s.rejected == 0 && s.unreadable == nil
	})
	for _, s := range released {
		if slices.ContainsFunc(s.releases, r.stored) {
			continue
		}
		if err := r.rewriter.removeStored(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *retention) stored(t v1alpha1.ReleasedTask) bool {
	return len(r.index.ofTask(upgrade.Task{AppID: t.AppID, OperationID: t.OperationID})) > 0
}
