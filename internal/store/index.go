// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// resultBytes is about how large a stored result is.
const resultBytes = 128

// index remembers which slices are stored, and keeps the tally true to them: both change together, under one lock. It
// follows the watch and what this process itself writes: see index_watch.go. Safe for concurrent use.
type index struct {
	tally *tally.Tally

	mu       sync.Mutex
	byName   map[string]*storedSlice
	byTask   map[result.Task]*slicesOfTask
	releases map[result.Task]map[types.UID]time.Time
	// purges are the slices that are records of purges, by task.
	purges   map[result.Task]map[types.UID]*storedSlice
	results  int
	rejected int
	// unread are the slices that hold what this version can't read.
	unread      map[types.UID]*storedSlice
	cachedBytes int

	// seen is the resource version up to which the watch has told everything.
	seen uint64
	// deletions are the slices that this process deletes or has deleted, of which the watch has not told yet, with
	// their resource versions.
	deletions map[types.UID]uint64
	// lost are the tasks that have to be recounted: somebody else deleted slices of theirs.
	lost map[result.Task]struct{}
	// recounting is the recount that is under way; nil if none is.
	recounting *recounting
}

// slicesOfTask are the slices with results of a task.
type slicesOfTask struct {
	task   result.Task
	slices map[types.UID]*storedSlice
}

func newIndex() *index {
	return &index{
		tally:     tally.New(),
		byName:    map[string]*storedSlice{},
		byTask:    map[result.Task]*slicesOfTask{},
		releases:  map[result.Task]map[types.UID]time.Time{},
		purges:    map[result.Task]map[types.UID]*storedSlice{},
		deletions: map[types.UID]uint64{},
		lost:      map[result.Task]struct{}{},
		unread:    map[types.UID]*storedSlice{},
	}
}

// insert remembers a slice, in the place of what was known under its name.
func (x *index) insert(s *storedSlice) {
	if before, known := x.byName[s.Name]; known {
		x.drop(before)
	}
	x.byName[s.Name] = s
	x.results += s.results
	x.rejected += len(s.rejected)
	if s.unreadable != nil {
		x.unread[s.UID] = s
	}
	// What compaction is about to read need not be read again, as long as it is not more than one step rewrites.
	if s.cached != nil && x.cachedBytes+s.bytes > maxInputBytes {
		s.cached = nil
	}
	if s.cached != nil {
		x.cachedBytes += s.bytes
	}
	for i := range s.tasks {
		task := s.tasks[i].Task
		of := x.byTask[task]
		if of == nil {
			of = &slicesOfTask{task: task, slices: map[types.UID]*storedSlice{}}
			x.byTask[task] = of
		}
		s.tasks[i].Task = of.task // the same strings for all slices
		of.slices[s.UID] = s
	}
	for i := range s.releases {
		task := taskOf(&s.releases[i])
		if s.releases[i].Purge == storage.PurgeIntended { // the task is not released
			continue
		}
		if x.releases[task] == nil {
			x.releases[task] = map[types.UID]time.Time{}
		}
		if at := s.releases[i].ReleaseTime.Time; at.After(x.releases[task][s.UID]) {
			x.releases[task][s.UID] = at
		}
	}
	if s.isPurge() {
		task := taskOf(&s.releases[0])
		if x.purges[task] == nil {
			x.purges[task] = map[types.UID]*storedSlice{}
		}
		x.purges[task][s.UID] = s
	}
}

// drop forgets a slice.
func (x *index) drop(s *storedSlice) {
	delete(x.byName, s.Name)
	x.results -= s.results
	x.rejected -= len(s.rejected)
	if s.unreadable != nil {
		delete(x.unread, s.UID)
	}
	if s.cached != nil {
		x.cachedBytes -= s.bytes
	}
	for i := range s.tasks {
		of := x.byTask[s.tasks[i].Task]
		delete(of.slices, s.UID)
		if len(of.slices) == 0 {
			delete(x.byTask, s.tasks[i].Task)
		}
	}
	for i := range s.releases {
		task := taskOf(&s.releases[i])
		delete(x.releases[task], s.UID)
		if len(x.releases[task]) == 0 {
			delete(x.releases, task)
		}
	}
	if s.isPurge() {
		task := taskOf(&s.releases[0])
		delete(x.purges[task], s.UID)
		if len(x.purges[task]) == 0 {
			delete(x.purges, task)
		}
	}
}

// forget drops tasks of which no slice is stored from the tally, and returns those that it had. All others stay as they
// are.
func (x *index) forget(tasks []result.Task) (forgotten []result.Task) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, task := range tasks {
		if x.byTask[task] == nil && x.tally.Devices(task) > 0 {
			x.tally.Forget(task)
			delete(x.lost, task)
			forgotten = append(forgotten, task)
		}
	}
	return forgotten
}

// usage is how much is stored.
type usage struct {
	// load is the stored results and, as so many results as they may be as large as, the rejected notifications.
	load                      int64
	results, rejected, slices int64
}

func (x *index) usage() usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	return usage{
		load:     int64(x.results + x.rejected*storage.MaxRejectedBodyBytes/resultBytes),
		results:  int64(x.results),
		rejected: int64(x.rejected),
		slices:   int64(len(x.byName)),
	}
}

// tasks returns the tasks of which results are stored, in no order.
func (x *index) tasks() []result.Task {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.byTask))
}

// ofTask returns the slices with results of the task, the oldest first.
func (x *index) ofTask(task result.Task) []*storedSlice {
	x.mu.Lock()
	var out []*storedSlice
	if of := x.byTask[task]; of != nil {
		out = slices.Collect(maps.Values(of.slices))
	}
	x.mu.Unlock()
	return sortByAge(out)
}

// filter returns the slices that all of the functions pick, the oldest first. They are called under the lock.
func (x *index) filter(picks ...func(*storedSlice) bool) []*storedSlice {
	x.mu.Lock()
	var out []*storedSlice
	for _, s := range x.byName {
		if !slices.ContainsFunc(picks, func(pick func(*storedSlice) bool) bool { return !pick(s) }) {
			out = append(out, s)
		}
	}
	x.mu.Unlock()
	return sortByAge(out)
}

// hasAll says whether all of the slices are stored.
func (x *index) hasAll(of []*storedSlice) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !slices.ContainsFunc(of, func(s *storedSlice) bool {
		known := x.byName[s.Name]
		return known == nil || known.UID != s.UID
	})
}

// releaseTime returns when the task was released last; zero if it was not.
func (x *index) releaseTime(task result.Task) (last time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, at := range x.releases[task] {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// hasPurge says whether a purge of the task is recorded in a state.
func (x *index) hasPurge(task result.Task, state storage.PurgeState) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, of := range x.purges[task] {
		if of.purge() == state {
			return true
		}
	}
	return false
}

// purgesIn returns the slices that are records of purges in a state, the oldest first.
func (x *index) purgesIn(state storage.PurgeState) []*storedSlice {
	x.mu.Lock()
	var out []*storedSlice
	for _, ofTask := range x.purges {
		for _, of := range ofTask {
			if of.purge() == state {
				out = append(out, of)
			}
		}
	}
	x.mu.Unlock()
	return sortByAge(out)
}

// unreadableOf returns the first slice by name with something that can't be read, and that may be a result of a task
// that was received until a time, in microseconds since 1970-01-01 UTC; nil if there is none.
func (x *index) unreadableOf(task result.Task, until int64) (first *storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.unread {
		if s.hidesFrom(task, until) && (first == nil || s.Name < first.Name) {
			first = s
		}
	}
	return first
}

// unreadable returns how many slices hold what this version can't read.
func (x *index) unreadable() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.unread)
}

// sortByAge sorts the oldest first. The API keeps seconds; those of one are in the order of their names.
func sortByAge(stored []*storedSlice) []*storedSlice {
	slices.SortFunc(stored, func(a, b *storedSlice) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return stored
}
