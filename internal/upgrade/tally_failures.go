// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"cmp"
	"slices"
	"strings"
)

// failureRef refers to a failure: its index plus one, 0 for none.
type failureRef uint32

// failure is what is kept of a device that ever failed.
type failure struct {
	deviceID       string
	subOperationID string
	reason         string // empty while nothing but the time of the failure is known
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

// failures are the devices of a task that ever failed, and, by reason, those that still count as failed.
type failures struct {
	all      []*failure   // by failureRef
	log      []failureRef // in the order in which they are announced
	groups   map[string]*reasonGroup
	versions map[string]string // the current versions seen, so that devices share their memory
}

// open begins the failure of a device of which nothing but the time of the failure is known.
func (f *failures) open(result *Result) failureRef {
	f.all = append(f.all, &failure{deviceID: strings.Clone(result.DeviceID), failedAt: result.FailedAt})
	ref := failureRef(len(f.all))
	f.log = append(f.log, ref)
	return ref
}

func (f *failures) at(ref failureRef) *failure { return f.all[ref-1] }

// detail takes over what a failed result says, unless something newer is known. The failure must not be grouped.
func (f *failures) detail(ref failureRef, result *Result) {
	failure := f.at(ref)
	if result.ReceivedAt < failure.receivedAt {
		return
	}
	failure.receivedAt = result.ReceivedAt
	failure.subOperationID = strings.Clone(result.SubOperationID)
	failure.reason = f.sharedReason(Reason(result.StatusDesc))
	failure.curVersion = f.sharedVersion(result.CurVersion)
}

// group counts the device as failed.
func (f *failures) group(ref failureRef) {
	failure := f.at(ref)
	group, known := f.groups[failure.reason]
	if !known {
		if f.groups == nil {
			f.groups = map[string]*reasonGroup{}
		}
		group = &reasonGroup{reason: failure.reason}
		f.groups[failure.reason] = group
	}
	group.add(failure)
	failure.grouped = true
}

// ungroup no longer counts the device as failed.
func (f *failures) ungroup(ref failureRef) {
	failure := f.at(ref)
	failure.grouped = false
	group := f.groups[failure.reason]
	group.remove(failure)
	if group.len() == 0 {
		delete(f.groups, failure.reason)
	}
}

// sort orders the log by the time of the failure, then by device.
func (f *failures) sort() {
	slices.SortFunc(f.log, func(a, b failureRef) int {
		x, y := f.at(a), f.at(b)
		return cmp.Or(cmp.Compare(x.failedAt, y.failedAt), strings.Compare(x.deviceID, y.deviceID))
	})
}

func (f *failures) sharedReason(reason string) string {
	if group, known := f.groups[reason]; known {
		return group.reason
	}
	return strings.Clone(reason) // it may be the beginning of a longer text
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
