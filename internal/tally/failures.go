// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"
	"slices"
	"strings"

	"fwupgrade.io/operator/internal/result"
)

// failureRef refers to a failure: its index plus one, 0 for none.
type failureRef uint32

// failure is what is kept of a device that ever failed.
type failure struct {
	deviceID       string
	subOperationID string
	cause          string // empty while nothing but the time of the failure is known
	text           string // what the device reported, as a person may see it
	curVersion     string
	failedAt       int64 // of the earliest failure
	receivedAt     int64 // of the failure that the other fields are from; 0 while there is none
	grouped        bool  // the device has not succeeded since
}

// precede takes over the time of an earlier failure, and says whether it is earlier.
func (f *failure) precede(failedAt int64) bool {
	if failedAt >= f.failedAt {
		return false
	}
	f.failedAt = failedAt
	return true
}

// failures are the devices of a task that ever failed, and, by cause, those that still count as failed.
type failures struct {
	all      []*failure   // by failureRef
	log      []failureRef // in the order in which they are announced
	groups   map[string]*causeGroup
	versions map[string]string // the current versions seen, so that devices share their memory
}

// open begins the failure of a device of which nothing but the time of the failure is known.
func (f *failures) open(r *result.Result) failureRef {
	f.all = append(f.all, &failure{deviceID: strings.Clone(r.DeviceID), failedAt: r.FailedAt})
	ref := failureRef(len(f.all))
	f.log = append(f.log, ref)
	return ref
}

func (f *failures) at(ref failureRef) *failure { return f.all[ref-1] }

// detail takes over what a failed result says, unless something newer is known. The failure must not be grouped.
func (f *failures) detail(ref failureRef, r *result.Result) {
	failure := f.at(ref)
	if r.ReceivedAt < failure.receivedAt {
		return
	}
	failure.receivedAt = r.ReceivedAt
	failure.subOperationID = strings.Clone(r.SubOperationID)
	failure.cause, failure.text = f.describe(r.StatusDesc)
	failure.curVersion = f.sharedVersion(r.CurVersion)
}

// group counts the device as failed.
func (f *failures) group(ref failureRef) {
	failure := f.at(ref)
	group, known := f.groups[failure.cause]
	if !known {
		if f.groups == nil {
			f.groups = map[string]*causeGroup{}
		}
		group = &causeGroup{cause: failure.cause}
		f.groups[failure.cause] = group
	}
	group.add(failure)
	failure.grouped = true
}

// ungroup no longer counts the device as failed.
func (f *failures) ungroup(ref failureRef) {
	failure := f.at(ref)
	failure.grouped = false
	group := f.groups[failure.cause]
	group.remove(failure)
	if group.len() == 0 {
		delete(f.groups, failure.cause)
	}
}

// sort orders the log by the time of the failure, then by device.
func (f *failures) sort() {
	slices.SortFunc(f.log, func(a, b failureRef) int {
		x, y := f.at(a), f.at(b)
		return cmp.Or(cmp.Compare(x.failedAt, y.failedAt), strings.Compare(x.deviceID, y.deviceID))
	})
}

// sortAfter orders the log as another one has it, then, what the other one has not, as sort does.
func (f *failures) sortAfter(other *failures) {
	f.sort()
	position := make(map[string]int, len(other.log))
	for i, ref := range other.log {
		position[other.at(ref).deviceID] = i - len(other.log) // negative; 0 is what the other one has not
	}
	slices.SortStableFunc(f.log, func(a, b failureRef) int {
		return cmp.Compare(position[f.at(a).deviceID], position[f.at(b).deviceID])
	})
}

// describe returns the cause of a failure and its text. They share memory where they are the same, and so do devices
// with one cause, and one text after the other.
func (f *failures) describe(statusDesc string) (cause, text string) {
	cause = Cause(statusDesc)
	if group, known := f.groups[cause]; known {
		cause = group.cause
	} else {
		cause = strings.Clone(cause) // it may be the beginning of a longer text
	}
	text = result.Clean(statusDesc, maxCauseBytes)
	switch group, known := f.groups[cause]; {
	case text == cause:
		return cause, cause
	case known && group.latestText == text:
		return cause, group.latestText
	case known:
		group.latestText = strings.Clone(text)
		return cause, group.latestText
	}
	return cause, strings.Clone(text)
}

// exampleOf returns the text of a failure as the example of a cause; empty where it is the cause itself, or the cause
// stands for several.
func exampleOf(cause string, f *failure) string {
	if f.text == cause || cause == CauseOther {
		return ""
	}
	return f.text
}

func (f *failures) sharedVersion(version string) string {
	if shared, known := f.versions[version]; known {
		return shared
	}
	if f.versions == nil {
		f.versions = map[string]string{}
	}
	version = strings.Clone(version)
	f.versions[version] = version
	return version
}
