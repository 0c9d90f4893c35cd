// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
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

const (
	// maxRejected is how many rejected notifications are kept, the newest.
	maxRejected = 1000
	// vanishedAge is after which time a task without slices is forgotten.
	vanishedAge = time.Minute
)

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

	// vanished are the tasks of which no slice is stored, with since when.
	vanished map[upgrade.Task]time.Time

	mu sync.Mutex
	// condemned are tasks whose results are to go with the next run, with when the last of these arrived, in microseconds
	// since 1970: what arrives later stays.
	condemned map[upgrade.Task]int64
}

func newRetention(c client.Client, rewriter *rewriter, tally *upgrade.Tally, rules tenancy, unclaimed time.Duration, clk clock.PassiveClock) *retention {
	return &retention{
		client: c, tally: tally, index: rewriter.index, rules: rules, rewriter: rewriter, unclaimed: unclaimed, clock: clk,
		wake: make(chan struct{}, 1), condemned: map[upgrade.Task]int64{},
	}
}

// run removes what is due:
//
//  1. The tally forgets tasks of which no slice has been stored for a while: somebody deleted them by hand.
//  2. The results of condemned tasks go, and those of tasks whose time is over.
//  3. So go placeholders without results, rejected notifications and records of released tasks.
//
// What fails does not keep the rest from being removed.
func (r *retention) run(ctx context.Context) error {
	now := r.clock.Now()
	r.forgetVanished(now)
	due, errs := r.dueTasks(ctx, now)
	condemned, err := r.condemnedTasks(ctx)
	errs = append(errs, err)
	maps.Copy(due, condemned)
	if err := r.purge(ctx, due); err != nil {
		errs = append(errs, err)
	} else {
		r.pardon(condemned)
	}
	return errors.Join(append(errs, r.removePlaceholders(ctx), r.removeRest(ctx, now))...)
}

// forgetVanished waits for a while, in case a watch that broke off tells of deletions first.
func (r *retention) forgetVanished(now time.Time) {
	vanished := map[upgrade.Task]time.Time{}
	for _, task := range r.tally.All() {
		if r.index.hasTask(task) {
			continue
		}
		since, known := r.vanished[task]
		switch {
		case !known:
			vanished[task] = now
		case now.Sub(since) < vanishedAge:
			vanished[task] = since
		default:
			r.tally.Forget(task)
		}
	}
	r.vanished = vanished
}

// dueTasks returns the tasks whose time is over, with when their last result arrived.
func (r *retention) dueTasks(ctx context.Context, now time.Time) (map[upgrade.Task]int64, []error) {
	tasks := map[upgrade.Task]int64{}
	var errs []error
	for _, task := range r.index.tasks() {
		last := r.lastReceivedAt(task)
		due, err := r.due(ctx, task, last)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !due.IsZero() && !now.Before(due):
			tasks[task] = last
		}
	}
	return tasks, errs
}

// lastReceivedAt returns when the newest result of a task arrived. One that the tally has forgotten, because a run broke
// off, has what its slices say, which may be another task's and later.
func (r *retention) lastReceivedAt(task upgrade.Task) int64 {
	last := r.tally.LastReceivedAt(task)
	if last == 0 {
		for _, s := range r.index.ofTask(task) {
			last = max(last, s.lastReceivedAt)
		}
	}
	return last
}

// due returns when the results of a task are to go, the last of which arrived at last; zero for not yet known. Those of an
// archived FirmwareUpgrade go at once when every failure was announced, and when that can't be had, as late as those
// that nobody claims.
func (r *retention) due(ctx context.Context, task upgrade.Task, last int64) (time.Time, error) {
	holder, err := r.holder(ctx, task)
	if err != nil || holder != nil && holder.Status.ArchivedAt == nil {
		return time.Time{}, err
	}
	if holder != nil {
		archivedAt := holder.Status.ArchivedAt.Time
		late := time.UnixMicro(last).Truncate(time.Second).After(archivedAt) // the API keeps seconds
		switch {
		case !late && announced(holder.Status):
			return archivedAt, nil
		case !late:
			return archivedAt.Add(r.unclaimed), nil
		}
	}
	return time.UnixMicro(last).Add(r.unclaimed), nil
}

// announced says whether every failure that a status counts was announced: the tally has to remember it until then.
func announced(st v1alpha1.FirmwareUpgradeStatus) bool {
	return len(st.Events.Pending) == 0 && st.Events.Announced >= st.Devices.Failed+st.Devices.Recovered
}

// holder returns the FirmwareUpgrade that has the task, nil if none has.
func (r *retention) holder(ctx context.Context, task upgrade.Task) (*v1alpha1.FirmwareUpgrade, error) {
	same, err := sameOperation(ctx, r.client, task.OperationID)
	if err != nil {
		return nil, err
	}
	return holderOf(task, same, r.rules), nil
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
		if !r.rules.isPlaceholder(p) || p.Status.ArchivedAt == nil || r.index.hasTask(task) {
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
		if err := r.rewriter.remove(ctx, s); err != nil {
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
		if err := r.rewriter.remove(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *retention) stored(t v1alpha1.ReleasedTask) bool {
	return r.index.hasTask(upgrade.Task{AppID: t.AppID, OperationID: t.OperationID})
}
