// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// resultBytes is about how large a stored result is.
const resultBytes = 128

// sliceIndex remembers which slices are stored. Safe for concurrent use.
type sliceIndex struct {
	mu       sync.Mutex
	byName   map[string]*storedSlice
	byTask   map[upgrade.Task]*slicesOfTask
	results  int
	rejected int
	kept     int // bytes of slices whose spec is kept
	released map[upgrade.Task]time.Time
	// added is called with every new slice; may be nil. Set once, before anything is read.
	added func(*storedSlice)
}

// slicesOfTask are the slices with results of a task.
type slicesOfTask struct {
	task   upgrade.Task
	slices map[types.UID]*storedSlice
}

func newSliceIndex() *sliceIndex {
	x := &sliceIndex{}
	x.reset()
	return x
}

func (x *sliceIndex) reset() {
	x.byName = map[string]*storedSlice{}
	x.byTask = map[upgrade.Task]*slicesOfTask{}
	x.released = map[upgrade.Task]time.Time{}
	x.results, x.rejected, x.kept = 0, 0, 0
}

// add remembers a slice and calls added if it is new.
func (x *sliceIndex) add(s *storedSlice) {
	if known := x.put(s); !known && x.added != nil {
		x.added(s)
	}
}

// announce calls added with slices that were stored before this process led; it tells by their age what is news.
func (x *sliceIndex) announce(stored []*storedSlice) {
	if x.added == nil {
		return
	}
	for _, s := range stored {
		x.added(s)
	}
}

// put remembers a slice and says whether it was known.
func (x *sliceIndex) put(s *storedSlice) (known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	before, known := x.byName[s.Name]
	if known {
		x.drop(before)
	}
	x.insert(s)
	return known
}

// remove forgets a slice that was deleted; not another one that has its name by now.
func (x *sliceIndex) remove(name string, uid types.UID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s, ok := x.byName[name]; ok && s.UID == uid {
		x.drop(s)
	}
}

// retire notes that a slice was deleted, before the watch says so: it is not chosen any more.
func (x *sliceIndex) retire(s *storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s.retired = true
}

func (x *sliceIndex) replace(all []*storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reset()
	for _, s := range all {
		own := *s // what was handed over before is read without the lock
		own.tasks = slices.Clone(s.tasks)
		x.insert(&own)
	}
}

func (x *sliceIndex) insert(s *storedSlice) {
	x.byName[s.Name] = s
	x.results += s.results
	x.rejected += s.rejected
	if s.spec != nil && x.kept+s.bytes > maxInputBytes {
		s.spec = nil
	}
	if s.spec != nil {
		x.kept += s.bytes
	}
	for i, t := range s.tasks {
		of := x.byTask[t]
		if of == nil {
			of = &slicesOfTask{task: t, slices: map[types.UID]*storedSlice{}}
			x.byTask[t] = of
		}
		s.tasks[i] = of.task // the same strings for all slices
		of.slices[s.UID] = s
	}
	for _, r := range s.releases {
		x.release(upgrade.Task{AppID: r.AppID, OperationID: r.OperationID}, r.ReleasedAt.Time)
	}
}

func (x *sliceIndex) drop(s *storedSlice) {
	delete(x.byName, s.Name)
	x.results -= s.results
	x.rejected -= s.rejected
	if s.spec != nil {
		x.kept -= s.bytes
	}
	for _, t := range s.tasks {
		of := x.byTask[t]
		delete(of.slices, s.UID)
		if len(of.slices) == 0 {
			delete(x.byTask, t)
		}
	}
}

func (x *sliceIndex) release(task upgrade.Task, at time.Time) {
	if at.After(x.released[task]) {
		x.released[task] = at
	}
}

// noteRelease remembers a release before its slice is read back.
func (x *sliceIndex) noteRelease(task upgrade.Task, at time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.release(task, at)
}

// releasedAt returns when the task's FirmwareUpgrade was deleted; zero if it was not.
func (x *sliceIndex) releasedAt(task upgrade.Task) time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.released[task]
}

// load returns the stored results and, as so many results as they may be as large as, the rejected notifications.
func (x *sliceIndex) load() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.results + x.rejected*v1alpha1.MaxRejectedBodyBytes/resultBytes
}

// storedResults returns how many results are stored, those of one device that are not merged yet counted each.
func (x *sliceIndex) storedResults() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.results
}

// tasks returns the tasks of which results are stored, in no order.
func (x *sliceIndex) tasks() []upgrade.Task {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.byTask))
}

// hasTask says whether results of the task are stored.
func (x *sliceIndex) hasTask(task upgrade.Task) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.byTask[task] != nil
}

// ofTask returns the slices with results of the task, the oldest first, without those that were deleted.
func (x *sliceIndex) ofTask(task upgrade.Task) []*storedSlice {
	x.mu.Lock()
	var out []*storedSlice
	if of := x.byTask[task]; of != nil {
		for _, s := range of.slices {
			if !s.retired {
				out = append(out, s)
			}
		}
	}
	x.mu.Unlock()
	return sortByAge(out)
}

// filter returns the slices that the function picks, the oldest first, without those that were deleted.
func (x *sliceIndex) filter(pick func(*storedSlice) bool) []*storedSlice {
	x.mu.Lock()
	var out []*storedSlice
	for _, s := range x.byName {
		if !s.retired && pick(s) {
			out = append(out, s)
		}
	}
	x.mu.Unlock()
	return sortByAge(out)
}

// sortByAge sorts the oldest first. The API keeps seconds; those of one are in the order of their names.
func sortByAge(stored []*storedSlice) []*storedSlice {
	slices.SortFunc(stored, func(a, b *storedSlice) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return stored
}

// unreadable returns how many slices hold what this version can't read.
func (x *sliceIndex) unreadable() int {
	return len(x.filter(func(s *storedSlice) bool { return s.unreadable != nil }))
}

// size returns how many slices are stored.
func (x *sliceIndex) size() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.byName)
}
