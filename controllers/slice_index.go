// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// storedSlice is what the leader remembers of a slice: enough to choose slices for compaction and retention.
type storedSlice struct {
	// ObjectMeta holds name, UID and creation time, and makes the Reflector take it for an object.
	metav1.ObjectMeta
	// tasks are the tasks it has results of, each once.
	tasks []upgrade.Task
	// sorted says that it is the product of compaction and holds one task.
	sorted bool
	// results, rejected and released are how many of each it has.
	results, rejected, released int
	// lastRejection is why its last rejected notification could not be used.
	lastRejection string
	// releases are its released tasks.
	releases []v1alpha1.ReleasedTask
	// bytes is about how large it is.
	bytes int
	// spec is what it holds, where that is kept for compaction: small mixed slices, until there are maxInputBytes of them.
	spec *v1alpha1.FirmwareUpgradeResultSliceSpec
	// unreadable says what of it can't be read, nil if all can. Another version may: it is neither compacted nor removed.
	unreadable error
}

// newStoredSlice returns what is to be remembered of a slice, and its results.
func newStoredSlice(s *v1alpha1.FirmwareUpgradeResultSlice) (info *storedSlice, results []upgrade.Result) {
	results, err := upgrade.Unpack(&s.Spec)
	info = &storedSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, UID: s.UID,
			ResourceVersion: s.ResourceVersion, CreationTimestamp: s.CreationTimestamp,
		},
		sorted:   s.Labels[v1alpha1.LabelTask] != "",
		results:  len(results),
		rejected: len(s.Spec.Rejected), released: len(s.Spec.Released),
		releases:   s.Spec.Released,
		bytes:      upgrade.Size(s.Spec.Tables),
		unreadable: err,
	}
	if n := len(s.Spec.Rejected); n > 0 {
		info.lastRejection = s.Spec.Rejected[n-1].Reason
	}
	seen := map[upgrade.Task]struct{}{}
	for i := range results {
		if task := results[i].Task; i == 0 || task != results[i-1].Task {
			if _, ok := seen[task]; !ok {
				task = upgrade.Task{AppID: strings.Clone(task.AppID), OperationID: strings.Clone(task.OperationID)}
				seen[task] = struct{}{}
				info.tasks = append(info.tasks, task)
			}
		}
	}
	if info.mixed() && info.bytes < smallSlice {
		info.spec = &s.Spec
	}
	return info, results
}

// mixed says whether the slice holds results that compaction has not sorted yet.
func (s *storedSlice) mixed() bool { return !s.sorted && len(s.tasks) > 0 && s.unreadable == nil }

// mergeable says whether the slice is a product of sorting that may be merged with others of its task.
func (s *storedSlice) mergeable() bool {
	return s.sorted && len(s.tasks) == 1 && s.bytes < smallSlice && s.unreadable == nil
}

// resultBytes is about how large a stored result is.
const resultBytes = 128

// sliceIndex remembers which slices are stored. Safe for concurrent use.
type sliceIndex struct {
	mu       sync.Mutex
	byName   map[string]*storedSlice
	byTask   map[upgrade.Task]map[types.UID]*storedSlice
	results  int
	rejected int
	kept     int // bytes of slices whose spec is kept
	released map[upgrade.Task]time.Time
	// added is called with every new slice; may be nil. Set once, before anything is read.
	added func(*storedSlice)
}

func newSliceIndex() *sliceIndex {
	x := &sliceIndex{}
	x.reset()
	return x
}

func (x *sliceIndex) reset() {
	x.byName = map[string]*storedSlice{}
	x.byTask = map[upgrade.Task]map[types.UID]*storedSlice{}
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
	_, known = x.byName[s.Name]
	x.drop(s.Name)
	x.insert(s)
	return known
}

func (x *sliceIndex) remove(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(name)
}

func (x *sliceIndex) replace(all []*storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reset()
	for _, s := range all {
		x.insert(s)
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
	for _, t := range s.tasks {
		of := x.byTask[t]
		if of == nil {
			of = map[types.UID]*storedSlice{}
			x.byTask[t] = of
		}
		of[s.UID] = s
	}
	for _, r := range s.releases {
		x.release(upgrade.Task{AppID: r.AppID, OperationID: r.OperationID}, r.ReleasedAt.Time)
	}
}

func (x *sliceIndex) drop(name string) {
	s, ok := x.byName[name]
	if !ok {
		return
	}
	delete(x.byName, name)
	x.results -= s.results
	x.rejected -= s.rejected
	if s.spec != nil {
		x.kept -= s.bytes
	}
	for _, t := range s.tasks {
		delete(x.byTask[t], s.UID)
		if len(x.byTask[t]) == 0 {
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

// ofTask returns the slices with results of the task.
func (x *sliceIndex) ofTask(task upgrade.Task) []*storedSlice {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]*storedSlice, 0, len(x.byTask[task]))
	for _, s := range x.byTask[task] {
		out = append(out, s)
	}
	return out
}

// filter returns the slices that the function picks, the oldest first.
func (x *sliceIndex) filter(pick func(*storedSlice) bool) []*storedSlice {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []*storedSlice
	for _, s := range x.byName {
		if pick(s) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *storedSlice) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return out
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
