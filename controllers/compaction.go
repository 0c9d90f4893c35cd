// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

const (
	// compactAtSlices is how many small mixed slices make it worth compacting them.
	compactAtSlices = 200
	// sortAtResults is how many results a task there must be, on average, that they are worth slices of their own.
	sortAtResults = 64
	// settledAge is after which time mixed slices are sorted and small slices of a task merged, however few.
	settledAge = 10 * time.Minute
	// mergeAtSlices is how many small slices of a task make it worth merging them.
	mergeAtSlices = 16
	// smallSlice is below how many bytes a slice is small.
	smallSlice = v1alpha1.MaxSliceBytes / 2
	// maxInputs and maxInputBytes bound what one step reads, and so its memory.
	maxInputs     = 256
	maxInputBytes = 16 << 20
	// maxSteps bounds a run, so that retention has its turn.
	maxSteps = 4
)

// compaction turns many small slices into few large ones. What it does changes no status: a result that is stored twice
// for a while joins to itself. It rests after each write: see pace.
type compaction struct {
	index    *sliceIndex
	rewriter *rewriter
	clock    clock.PassiveClock
}

// compactionStep is slices that are rewritten together.
type compactionStep struct {
	inputs []*storedSlice
	// sort says that the results get slices of one task each; otherwise they get slices of several tasks.
	sort bool
}

// run takes some steps, while there is something to do.
func (c *compaction) run(ctx context.Context) {
	for range maxSteps {
		step := planCompaction(c.index, c.clock.Now())
		if len(step.inputs) == 0 || ctx.Err() != nil {
			return
		}
		if err := c.rewriter.rewrite(ctx, step.inputs, step.sort, nil); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not compact, will try again", "slices", len(step.inputs))
			return
		}
	}
}

// planCompaction chooses the next step; without inputs if nothing is worth it.
//
//  1. Many small mixed slices are sorted by task, if the tasks get large slices by that, else gathered in larger mixed
//     ones: what many small tasks report at once would else make a slice a task out of each batch.
//  2. Mixed slices that are old are sorted, whatever they hold.
//  3. The small slices of a task are merged, when there are many or no more have come for a while.
func planCompaction(index *sliceIndex, now time.Time) compactionStep {
	settled := func(s *storedSlice) bool { return now.Sub(s.CreationTimestamp.Time) > settledAge }
	mixed := index.filter((*storedSlice).mixed)
	if len(mixed) > 0 && settled(mixed[0]) {
		return compactionStep{inputs: withinBounds(mixed), sort: true}
	}
	small := slices.DeleteFunc(mixed, func(s *storedSlice) bool { return s.bytes >= smallSlice })
	if len(small) >= compactAtSlices {
		inputs := withinBounds(small)
		return compactionStep{inputs: inputs, sort: worthSorting(inputs)}
	}
	ofTask := map[upgrade.Task][]*storedSlice{}
	for _, s := range index.filter((*storedSlice).mergeable) {
		ofTask[s.tasks[0]] = append(ofTask[s.tasks[0]], s)
	}
	for _, of := range ofTask {
		if len(of) >= mergeAtSlices || len(of) > 1 && settled(of[len(of)-1]) {
			return compactionStep{inputs: withinBounds(of), sort: true}
		}
	}
	return compactionStep{}
}

func worthSorting(mixed []*storedSlice) bool {
	results, tasks := 0, map[upgrade.Task]struct{}{}
	for _, s := range mixed {
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
