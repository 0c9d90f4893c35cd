// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fwupgrade.io/operator/internal/result"
)

// keptRejected is how many rejected notifications are kept until they are old, the newest: enough to find out what is
// wrong with what a sender pushes. They may take 4 MiB.
const keptRejected = 1000

// retain removes slices whose time is over: those of tasks that need not be kept any more, old rejected notifications,
// and records of released tasks without results. What fails does not keep the rest from being removed.
func (s *Store) retain(ctx context.Context) error {
	now := s.options.Clock.Now()
	due, errs := s.dueTasks(ctx, now)
	errs = append(errs, s.removeDue(ctx, due))
	oldest := now.Add(-s.options.RetainRejected).UnixMicro()
	rejected := oldRejected(s.index.filter((*storedSlice).hasOnlyRejected), oldest)
	errs = append(errs, s.removeSlices(ctx, rejected), s.removeSlices(ctx, s.oldReleases(now)))
	return errors.Join(errs...)
}

// removeDue removes the results of tasks whose time is over. Others have their turn in between.
func (s *Store) removeDue(ctx context.Context, due map[result.Task]int64) error {
	if len(due) == 0 {
		return nil
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	return s.removeResults(ctx, due, s.giveWay)
}

// dueTasks returns the tasks whose time is over, with when their last result arrived: what arrives later stays.
func (s *Store) dueTasks(ctx context.Context, now time.Time) (map[result.Task]int64, []error) {
	tasks := map[result.Task]int64{}
	var errs []error
	for _, task := range s.index.tasks() {
		last := s.index.tally.LastReceivedAt(task)
		until, err := s.options.KeepUntil(ctx, task, later(time.UnixMicro(last), s.ReleaseTime(task)))
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("find out until when results are kept: %w", err))
		case !until.IsZero() && !now.Before(until):
			tasks[task] = last
		}
	}
	return tasks, errs
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// oldRejected returns which of the slices with rejected notifications may go: those which all of arrived before a time,
// in microseconds since 1970-01-01 UTC, and those than which keptRejected others are newer.
func oldRejected(rejected []*storedSlice, before int64) []*storedSlice {
	slices.SortFunc(rejected, func(a, b *storedSlice) int {
		return cmp.Compare(b.rejectedSpan().First, a.rejectedSpan().First)
	})
	starts := make([]int64, len(rejected)) // negative, so that they ascend
	count := make([]int, len(rejected)+1)
	for i, s := range rejected {
		starts[i] = -s.rejectedSpan().First
		count[i+1] = count[i] + len(s.rejected)
	}
	var old []*storedSlice
	for _, s := range rejected {
		last := s.rejectedSpan().Last
		newer, _ := slices.BinarySearch(starts, -last)
		if last < before || count[newer] >= keptRejected {
			old = append(old, s)
		}
	}
	return old
}

// oldReleases returns the slices with nothing but records of released tasks without results. A record stays as long as
// results may be on their way that were received before.
func (s *Store) oldReleases(now time.Time) []*storedSlice {
	return s.index.filter((*storedSlice).hasOnlyReleases, func(of *storedSlice) bool {
		for i := range of.releases {
			r := &of.releases[i]
			if s.index.byTask[taskOf(r)] != nil || now.Before(r.ReleaseTime.Add(arrivalDelay)) {
				return false
			}
		}
		return true
	})
}

// removeSlices removes slices as they are.
func (s *Store) removeSlices(ctx context.Context, of []*storedSlice) error {
	for len(of) > 0 {
		if err := s.begin(ctx); err != nil {
			return err
		}
		batch := withinBounds(of)
		err := inParallel(len(batch), func(i int) error { return s.remove(ctx, batch[i]) })
		s.end()
		if err != nil {
			return err
		}
		of = of[len(batch):]
	}
	return nil
}
