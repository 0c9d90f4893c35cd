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
	// backlogSlices is how many there may be before they are compacted while a backlog comes in: storing goes first.
	backlogSlices = 1000
	// settledAge is after which time small slices are compacted, however few.
	settledAge = 10 * time.Minute
	// mergeAtSlices is how many small slices of a task make it worth merging them.
	mergeAtSlices = 16
	// smallSlice is below how many bytes a slice is small.
	smallSlice = v1alpha1.MaxSliceBytes / 2
	// maxInputs and maxInputBytes bound what one step rewrites, and so its memory.
	maxInputs     = 256
	maxInputBytes = 16 << 20
	// A device reports several results, of which one counts. Once settled slices have more than supersededSlack results
	// and a quarter more than devices, they are joined.
	supersededSlack = 1000
	// maxSteps bounds a run, so that retention has its turn.
	maxSteps = 4
)

// compaction turns many small slices into few large ones. What it does changes no status: a result that is stored twice
// for a while joins to itself. It rests after each write: see pace.
type compaction struct {
	index    *sliceIndex
	tally    *upgrade.Tally
	rewriter *rewriter
	clock    clock.PassiveClock
}

// run takes some steps, while there is something to do and storing leaves room for it.
func (c *compaction) run(ctx context.Context) {
	if c.rewriter.pace.hasBacklog() && len(c.index.filter((*storedSlice).fresh)) < backlogSlices {
		return
	}
	for range maxSteps {
		inputs := planCompaction(c.index, c.tally.Devices, c.clock.Now())
		if len(inputs) == 0 || ctx.Err() != nil {
			return
		}
		if err := c.rewriter.rewrite(ctx, inputs, nil); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not compact, will try again", "slices", len(inputs))
			return
		}
	}
}

// planCompaction chooses the slices that the next step rewrites; none if nothing is worth it. Devices says how many
// devices of a task have reported.
//
//  1. Small mixed slices, when there are many or the oldest is settled: tasks with many results get slices of their own,
//     the others are gathered in large mixed slices, as a slice for each would be an object for a handful of results.
//     Mixed slices with rejected notifications count as small, so that these come into slices of their own.
//  2. The small slices of a task, when there are many or all are settled.
//  3. All slices of a task, when they are settled, and all settled mixed slices, when they hold many superseded results.
func planCompaction(index *sliceIndex, devices func(upgrade.Task) int64, now time.Time) []*storedSlice {
	settled := func(s *storedSlice) bool { return now.Sub(s.CreationTimestamp.Time) > settledAge }
	mixed := index.filter((*storedSlice).mixed)
	rejects := func(s *storedSlice) bool { return s.rejected > 0 && settled(s) }
	small := slices.DeleteFunc(slices.Clone(mixed), func(s *storedSlice) bool { return s.large() && !rejects(s) })
	if len(small) >= compactAtSlices || len(small) > 0 && settled(small[0]) && (len(small) > 1 || rejects(small[0])) {
		return withinBounds(small)
	}
	byTask := map[upgrade.Task][]*storedSlice{}
	for _, s := range index.filter((*storedSlice).ofOneTask) {
		byTask[s.tasks[0]] = append(byTask[s.tasks[0]], s)
	}
	var chosen []*storedSlice
	choose := func(candidate []*storedSlice) { // the first by name, so that a step that broke off is taken again
		if len(candidate) > 0 && (len(chosen) == 0 || candidate[0].Name < chosen[0].Name) {
			chosen = candidate
		}
	}
	for task, of := range byTask {
		small := slices.DeleteFunc(slices.Clone(of), (*storedSlice).large)
		switch {
		case len(small) >= mergeAtSlices || len(small) > 1 && settled(small[len(small)-1]):
			choose(withinBounds(small))
		case settled(of[len(of)-1]) && superseded(of, devices(task)):
			choose(of)
		}
	}
	mixed = slices.DeleteFunc(mixed, func(s *storedSlice) bool { return !settled(s) })
	if len(chosen) == 0 && superseded(mixed, devicesOf(mixed, devices)) {
		return mixed
	}
	return chosen
}

// superseded says whether slices hold so many more results than devices that it is worth joining them.
func superseded(of []*storedSlice, devices int64) bool {
	results := int64(0)
	for _, s := range of {
		results += int64(s.results)
	}
	return results > supersededSlack && results > devices+devices/4
}

// devicesOf returns how many devices slices have results of at most: of each task no more than results, nor than devices
// that have reported.
func devicesOf(of []*storedSlice, devices func(upgrade.Task) int64) int64 {
	results, count := map[upgrade.Task]int64{}, int64(0)
	for _, s := range of {
		for i, task := range s.tasks {
			results[task] += int64(s.resultsOf[i])
		}
	}
	for task, n := range results {
		count += min(n, devices(task))
	}
	return count
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
