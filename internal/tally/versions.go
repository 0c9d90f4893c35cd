// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxNames is how many devices of a pair of versions are remembered by name, the first ones: as many as a spec can list
// and a sample has, so that a pair with more devices always has a sample of those that are not listed.
const maxNames = 1000 + maxSampleDevices

// versionsRef refers to a pair of versions in versionCounts.
type versionsRef uint32

// versions are what a device that succeeded was to get and what it has.
type versions struct{ target, current string }

// versionCounts counts devices by their versions, which are few: whether successes are suspect is decided for each
// pair, not for each device.
type versionCounts struct {
	refs  map[versions]versionsRef
	pairs []versionCount
	free  []versionsRef
}

type versionCount struct {
	versions
	count int64
	names []string // ids of at most maxNames of the devices
}

// has says whether a device is counted with these versions.
func (v *versionCounts) has(ref versionsRef, target, current string) bool {
	return v.pairs[ref].versions == versions{target, current}
}

// add counts a device.
func (v *versionCounts) add(device, target, current string) versionsRef {
	ref, known := v.refs[versions{target, current}]
	if !known {
		ref = v.open(versions{strings.Clone(target), strings.Clone(current)})
	}
	pair := &v.pairs[ref]
	pair.count++
	if len(pair.names) < maxNames {
		pair.names = append(pair.names, strings.Clone(device))
	}
	return ref
}

// remove takes a device out of the counts, and forgets the pair with its last device.
func (v *versionCounts) remove(ref versionsRef, device string) {
	pair := &v.pairs[ref]
	pair.count--
	if at := slices.Index(pair.names, device); at >= 0 {
		pair.names = slices.Delete(pair.names, at, at+1)
	}
	if pair.count == 0 {
		delete(v.refs, pair.versions)
		*pair = versionCount{}
		v.free = append(v.free, ref)
	}
}

func (v *versionCounts) open(pair versions) versionsRef {
	if v.refs == nil {
		v.refs = map[versions]versionsRef{}
	}
	var ref versionsRef
	if last := len(v.free) - 1; last >= 0 {
		ref, v.free = v.free[last], v.free[:last]
	} else {
		ref = versionsRef(len(v.pairs))
		v.pairs = append(v.pairs, versionCount{})
	}
	v.refs[pair] = ref
	v.pairs[ref].versions = pair
	return ref
}

// CommonTarget is the version that a task upgrades to where nobody says which: a task has one target, so that it is the
// one that most devices were to get, of equal ones the greater text. Only devices that succeeded are asked; one that
// names no target, or one of which a part can't be read, tells nothing. It is empty where none is known.
func CommonTarget(devices map[string]int64) string {
	common, most := "", int64(0)
	for target, count := range devices {
		known := target != "" && !strings.ContainsRune(target, utf8.RuneError)
		if known && (count > most || count == most && target > common) {
			common, most = target, count
		}
	}
	return common
}

// targets counts the devices by their target.
func (v *versionCounts) targets() map[string]int64 {
	targets := map[string]int64{}
	for i := range v.pairs {
		targets[v.pairs[i].target] += v.pairs[i].count
	}
	return targets
}

// suspect counts the devices that are suspect.
func (v *versionCounts) suspect(wanted string) int64 {
	var suspect int64
	for i := range v.pairs {
		if v.isSuspect(versionsRef(i), wanted) {
			suspect += v.pairs[i].count
		}
	}
	return suspect
}

// isSuspect says whether devices with these versions have, or were to get, another version than wanted; where wanted is
// empty, as nobody knows it, another one than they were to get. An empty version is not known, and so not another one.
func (v *versionCounts) isSuspect(ref versionsRef, wanted string) bool {
	pair := &v.pairs[ref]
	expected := wanted
	if expected == "" {
		expected = pair.target
	}
	return differ(pair.current, expected) || differ(pair.target, wanted)
}

// differ says whether two versions are known and not the same. A text of which a part could not be read is not the same
// as any other, even one that reads alike.
func differ(a, b string) bool {
	return a != "" && b != "" && (a != b || strings.ContainsRune(a, utf8.RuneError))
}
