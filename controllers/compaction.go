// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"fwupgrade.io/operator/internal/upgrade"
)

const (
	// sortAtSlices is how many mixed slices make it worth sorting them, where that makes slices of at least
	// sortAtResults results. Many small tasks at once are left until they are old, or until there are maxMixed slices.
	sortAtSlices  = 200
	sortAtResults = 64
	maxMixed      = 2000
	// sortAtAge is after which time mixed slices are sorted, however few.
	sortAtAge = 10 * time.Minute
	// mergeAtSlices is how many small slices of a task make it worth merging them.
	mergeAtSlices = 16
	// maxInputs and maxInputBytes bound what one step reads, and so its memory.
	maxInputs     = 256
	maxInputBytes = 16 << 20
	// maxSteps bounds a run, so that retention has its turn.
	maxSteps = 4
	// slowWrite is how long a write may take before compaction leaves the API server alone until the next look.
	slowWrite = 500 * time.Millisecond
)

// compaction turns many small mixed slices into few large ones of one task each. What it does changes no status: a
// result that is stored twice for a while joins to itself.
type compaction struct {
	index    *sliceIndex
	rewriter *rewriter
	clock    clock.WithTicker
}

// run takes some steps, while there is something to do and the API server keeps up; it works at most half of the time.
func (c *compaction) run(ctx context.Context) {
	for range maxSteps {
		inputs := planCompaction(c.index, c.clock.Now())
		if len(inputs) == 0 {
			return
		}
		started := c.clock.Now()
		slowest, err := c.rewriter.rewrite(ctx, inputs, nil)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not compact, will try again", "slices", len(inputs))
			return
		}
		if slowest > slowWrite {
			return
		}
		if took := c.clock.Since(started); took > 0 {
			select {
			case <-ctx.Done():
			case <-c.clock.After(took):
			}
		}
	}
}

// planCompaction chooses the inputs of the next step, the oldest first; none if nothing is worth it.
//
//  1. Mixed slices are sorted by task, when that makes few large ones of many, or they are old, or there are too many.
//  2. The small slices of a task are merged, when there are many.
func planCompaction(index *sliceIndex, now time.Time) []*storedSlice {
	mixed := index.filter((*storedSlice).mixed)
	if worthSorting(mixed, now) {
		return withinBounds(mixed)
	}
	small := map[upgrade.Task][]*storedSlice{}
	for _, s := range index.filter(func(s *storedSlice) bool { return s.small() }) {
		task := s.tasks[0]
		if small[task] = append(small[task], s); len(small[task]) >= mergeAtSlices {
			return small[task]
		}
	}
	return nil
}

func worthSorting(mixed []*storedSlice, now time.Time) bool {
	if len(mixed) == 0 {
		return false
	}
	if len(mixed) >= maxMixed || now.Sub(mixed[0].CreationTimestamp.Time) > sortAtAge {
		return true
	}
	if len(mixed) < sortAtSlices {
		return false
	}
	results, tasks := 0, map[upgrade.Task]struct{}{}
	for _, s := range withinBounds(mixed) {
		results += s.results
		for _, t := range s.tasks {
			tasks[t] = struct{}{}
		}
	}
	return results >= sortAtResults*len(tasks)
}

func withinBounds(slices []*storedSlice) []*storedSlice {
	bytes := 0
	for i, s := range slices {
		if bytes += s.bytes; i == maxInputs || i > 0 && bytes > maxInputBytes {
			return slices[:i]
		}
	}
	return slices
}
