// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

const (
	// compactAtSlices is how many small slices of any tasks are compacted at once, however young. Fewer would rewrite
	// the same results more often; more would leave more slices to list at a start.
	compactAtSlices = 200
	// mergeAtSlices is the same for small slices of one task, and for records of releases.
	mergeAtSlices = 16
	// idleAge is after which time small slices are compacted, however few. Results that come in slowly are rewritten
	// once in that time.
	idleAge = 10 * time.Minute
	// smallSlice is below how many bytes a slice is small.
	smallSlice = storage.MaxSliceBytes / 2
	// maxInputs and maxInputBytes bound what one step rewrites: how much memory it takes, and how long a purge waits
	// for it.
	maxInputs     = 256
	maxInputBytes = 16 << 20
	// A device reports several results, of which one counts. Once idle slices have more than duplicatesSlack results
	// and a quarter more than devices, they are joined.
	duplicatesSlack = 1000
	// maxSteps bounds a run, so that retention has its turn.
	maxSteps = 4
)

// compact turns many small slices into few large ones, in some steps. It changes no summary: a result that is stored
// twice for a while joins to itself. Others have their turn between the steps.
func (s *Store) compact(ctx context.Context) {
	for range maxSteps {
		more, err := s.compactStep(ctx)
		if err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not compact, will try again")
		}
		if err != nil || !more {
			return
		}
	}
}

// compactStep takes one step, and says whether there was anything to do.
func (s *Store) compactStep(ctx context.Context) (bool, error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	defer s.end()
	inputs := planCompaction(s.index, s.index.tally.Devices, s.options.Clock.Now())
	if len(inputs) == 0 {
		return false, nil
	}
	return true, s.rewrite(ctx, inputs, nil)
}

// planCompaction chooses the slices that the next step rewrites; none if nothing is worth it. Devices says how many
// devices of a task have reported.
//
//  1. Small slices of any tasks, when there are many or the oldest is idle: tasks with many results get slices of their
//     own, the others share large slices, as a slice for each would be an object for a handful of results. Slices with
//     results and rejected notifications count as small, so that the latter come into slices of their own.
//  2. Slices with few releases, when there are many or all are idle.
//  3. The small slices of a task, when there are many or all are idle.
//  4. All slices of a task, when they are idle, and all idle slices of any tasks, when they hold many duplicates:
//     results of devices that have others.
func planCompaction(index *index, devices func(result.Task) int64, now time.Time) []*storedSlice {
	idle := func(s *storedSlice) bool { return now.Sub(s.CreationTimestamp.Time) > idleAge }
	rejects := func(s *storedSlice) bool { return len(s.rejected) > 0 && idle(s) }
	multiTask := index.filter((*storedSlice).isMultiTask)
	small := slices.DeleteFunc(slices.Clone(multiTask), func(s *storedSlice) bool { return s.isLarge() && !rejects(s) })
	if len(small) >= compactAtSlices || len(small) > 0 && idle(small[0]) && (len(small) > 1 || rejects(small[0])) {
		return withinBounds(small)
	}
	releases := index.filter(func(s *storedSlice) bool { return s.hasOnlyReleases() && len(s.releases) < restPerSlice })
	if worthMerging(releases, idle) {
		return withinBounds(releases)
	}
	if chosen := planTask(index.filter((*storedSlice).isOfOneTask), devices, idle); len(chosen) > 0 {
		return chosen
	}
	multiTask = slices.DeleteFunc(multiTask, func(s *storedSlice) bool { return !idle(s) })
	if haveDuplicates(multiTask, devicesOf(multiTask, devices)) {
		return multiTask
	}
	return nil
}

// planTask chooses slices of one task, the first by name, so that a step that broke off is taken again.
func planTask(
	ofOneTask []*storedSlice, devices func(result.Task) int64, idle func(*storedSlice) bool,
) (chosen []*storedSlice) {
	byTask := map[result.Task][]*storedSlice{}
	for _, s := range ofOneTask {
		byTask[s.tasks[0].Task] = append(byTask[s.tasks[0].Task], s)
	}
	choose := func(candidate []*storedSlice) {
		if len(chosen) == 0 || candidate[0].Name < chosen[0].Name {
			chosen = candidate
		}
	}
	for task, of := range byTask {
		small := slices.DeleteFunc(slices.Clone(of), (*storedSlice).isLarge)
		switch {
		case worthMerging(small, idle):
			choose(withinBounds(small))
		case idle(of[len(of)-1]) && haveDuplicates(of, devices(task)):
			choose(of)
		}
	}
	return chosen
}

// worthMerging says whether small slices are many, or several and all idle.
func worthMerging(small []*storedSlice, idle func(*storedSlice) bool) bool {
	return len(small) >= mergeAtSlices || len(small) > 1 && idle(small[len(small)-1])
}

// haveDuplicates says whether slices hold so many more results than devices that it is worth joining them.
func haveDuplicates(of []*storedSlice, devices int64) bool {
	results := int64(0)
	for _, s := range of {
		results += int64(s.results)
	}
	return results > duplicatesSlack && results > devices+devices/4
}

// devicesOf returns how many devices slices have results of at most: of each task no more than results, nor than
// devices that have reported.
func devicesOf(of []*storedSlice, devices func(result.Task) int64) int64 {
	results, count := map[result.Task]int64{}, int64(0)
	for _, s := range of {
		for i := range s.tasks {
			results[s.tasks[i].Task] += int64(s.tasks[i].results)
		}
	}
	for task, n := range results {
		count += min(n, devices(task))
	}
	return count
}

// withinBounds returns the first of the slices, as many as one step may rewrite.
func withinBounds(slices []*storedSlice) []*storedSlice {
	bytes := 0
	for i, s := range slices {
		if bytes += s.bytes; i == maxInputs || i > 0 && bytes > maxInputBytes {
			return slices[:i]
		}
	}
	return slices
}
