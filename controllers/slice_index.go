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

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// storedSlice is what the leader remembers of a slice: enough to choose slices for compaction and retention.
type storedSlice struct {
	// ObjectMeta holds name, UID and creation time, and makes the Reflector take it for an object.
	metav1.ObjectMeta
	// tasks are the tasks it has results of, each once, and resultsOf how many of each.
	tasks     []upgrade.Task
	resultsOf []int
	// sorted says that it is the product of compaction and holds one task.
	sorted bool
	// results, rejected and released are how many of each it has.
	results, rejected, released int
	// lastRejection is why its last rejected notification could not be used.
	lastRejection string
	// releases are its released tasks.
	releases []v1alpha1.ReleasedTask
	// lastReceivedAt is when the newest of its results arrived, in microseconds since 1970.
	lastReceivedAt int64
	// bytes is about how large it is.
	bytes int
	// spec is what it holds, where that is kept for compaction: small mixed slices, until there are maxInputBytes of them.
	spec *v1alpha1.FirmwareUpgradeResultSliceSpec
	// retired says that this process has deleted it, which the watch has not told yet. Guarded by the index.
	retired bool
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
		bytes:      upgrade.Size(s.Spec.Tables) + rejectedBytes(s.Spec.Rejected),
		unreadable: err,
	}
	if n := len(s.Spec.Rejected); n > 0 {
		info.lastRejection = s.Spec.Rejected[n-1].Reason
	}
	seen := map[upgrade.Task]int{}
	for i := range results {
		info.lastReceivedAt = max(info.lastReceivedAt, results[i].ReceivedAt, results[i].LastReceivedAt)
		n, ok := seen[results[i].Task]
		if !ok {
			task := upgrade.Task{AppID: strings.Clone(results[i].AppID), OperationID: strings.Clone(results[i].OperationID)}
			n = len(info.tasks)
			seen[task] = n
			info.tasks, info.resultsOf = append(info.tasks, task), append(info.resultsOf, 0)
		}
		info.resultsOf[n]++
	}
	if info.mixed() && !info.large() {
		info.spec = &s.Spec
	}
	return info, results
}

func rejectedBytes(rejected []v1alpha1.RejectedNotification) int {
	bytes := 0
	for i := range rejected {
		bytes += len(rejected[i].Reason) + len(rejected[i].Body)
	}
	return bytes
}

// mixed says whether the slice holds results of any tasks: from the webhook, or gathered.
func (s *storedSlice) mixed() bool { return !s.sorted && len(s.tasks) > 0 && s.unreadable == nil }

// fresh says whether the slice is one that compaction has not made yet.
func (s *storedSlice) fresh() bool { return s.mixed() && !strings.HasPrefix(s.Name, mergedPrefix) }

// ofOneTask says whether the slice is one that compaction made for a task.
func (s *storedSlice) ofOneTask() bool { return s.sorted && len(s.tasks) == 1 && s.unreadable == nil }

// large says whether the slice is as large as compaction makes it.
func (s *storedSlice) large() bool { return s.bytes >= smallSlice }

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
