// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"math"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/internal/result"
)

// The watch tells late what this process has written. So the index is told of its own writes at once, and what the
// watch tells afterwards must not undo them:
//
//   - A slice that this process created is inserted, unless the watch has come so far already: then it has told of the
//     creation, and perhaps of a deletion.
//   - A slice that this process deleted does not come back when the watch tells of its creation. Its UID is remembered
//     until the watch tells of its deletion, or a list that is newer than the slice is without it.
//   - A list drops what it is without, unless that is newer than the list.
//
// What somebody else did is learnt from the watch alone, in its order: when another leader rewrites slices, it tells of
// the new ones before the old ones are gone.

// knows says whether just this version of a slice is known, or whether this process has deleted the slice: then there
// is nothing to add.
func (x *index) knows(name string, uid types.UID, version string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := x.byName[name]
	if known != nil && known.UID == uid {
		return known.ResourceVersion == version
	}
	_, deleted := x.deletions[uid]
	return deleted
}

// add takes a slice that the watch or a list told of, adds its results to the tally, and returns the tasks of which
// these told something new.
func (x *index) add(s *storedSlice, results []result.Result) []result.Task {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, deleted := x.deletions[s.UID]; deleted {
		if known := x.byName[s.Name]; known == nil || known.UID != s.UID {
			return nil
		}
	}
	x.insert(s)
	x.recounting.add(results)
	return x.tally.Add(results)
}

// told notes how far the watch has come.
func (x *index) told(version string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = max(x.seen, parseVersion(version))
}

// created takes a slice that this process created. Its results are in the tally: they came from other slices.
func (x *index) created(s *storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if parseVersion(s.ResourceVersion) > x.seen {
		x.insert(s)
	}
}

// createdWith takes a slice that this process created with results from elsewhere, and returns the tasks of which these
// told something new. What the watch has told already it has taken then.
func (x *index) createdWith(s *storedSlice, results []result.Result) []result.Task {
	x.mu.Lock()
	defer x.mu.Unlock()
	if parseVersion(s.ResourceVersion) <= x.seen {
		return nil
	}
	x.insert(s)
	x.recounting.add(results)
	return x.tally.Add(results)
}

// deleting notes that this process is about to delete a slice.
func (x *index) deleting(s *storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deletions[s.UID] = parseVersion(s.ResourceVersion)
}

// deleted drops a slice that this process deleted.
func (x *index) deleted(s *storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropIfSame(s.Name, s.UID)
}

// notDeleted notes that this process did not delete a slice after all, or does not know: when it goes, its tasks are
// recounted.
func (x *index) notDeleted(s *storedSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.deletions, s.UID)
}

// removed takes a deletion that the watch told of, and says whether tasks have to be recounted.
func (x *index) removed(name string, uid types.UID) (recount bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, own := x.deletions[uid]
	delete(x.deletions, uid)
	s := x.dropIfSame(name, uid)
	if s == nil || own {
		return false
	}
	x.lose(s)
	return len(s.tasks) > 0
}

// dropIfSame drops a slice, not another one that has its name by now, and returns it; nil if it was not known.
func (x *index) dropIfSame(name string, uid types.UID) *storedSlice {
	s := x.byName[name]
	if s == nil || s.UID != uid {
		return nil
	}
	x.drop(s)
	return s
}

// lose notes that somebody else deleted a slice.
func (x *index) lose(s *storedSlice) {
	for i := range s.tasks {
		x.lost[s.tasks[i].Task] = struct{}{}
	}
}

// replace drops what a list is without that was complete at a resource version, and says whether tasks have to be
// recounted. What the list has was added before.
func (x *index) replace(listed map[types.UID]struct{}, version string) (recount bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at := parseVersion(version)
	x.seen = max(x.seen, at)
	for _, s := range x.byName {
		_, stored := listed[s.UID]
		_, own := x.deletions[s.UID]
		if stored || parseVersion(s.ResourceVersion) > at {
			continue
		}
		x.drop(s)
		if !own {
			x.lose(s)
			recount = recount || len(s.tasks) > 0
		}
	}
	for uid, created := range x.deletions {
		if _, stored := listed[uid]; !stored && created <= at {
			delete(x.deletions, uid)
		}
	}
	return recount
}

// parseVersion makes a resource version comparable, as the API server promises that they are. One that is none counts
// as the newest: a list is believed then.
func parseVersion(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return math.MaxUint64
	}
	return n
}
