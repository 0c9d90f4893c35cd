// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"
	"slices"
	"strings"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Bounds of a summary, those of the status.
const (
	maxCauses         = 10 // before Other
	maxCauseDevices   = 3
	maxFailedDevices  = 20
	maxMissingDevices = 20
	maxSampleDevices  = 20 // of those in progress, suspect and unexpected
	// maxScannedDevices is how many devices of a kind are looked at for a sample. Where there are more, it is a sample of
	// these.
	maxScannedDevices = 2048
)

// Query is what a FirmwareUpgrade wants to know of its task.
type Query struct {
	// TargetVersion is the version wanted, for Summary.Suspect; empty takes the one that most devices that succeeded were
	// to get, of Devices where there are any.
	TargetVersion string
	// Devices are the ids of the devices expected, for Summary.Listed, Missing and Unexpected, each once; at most 1,000.
	Devices []string
}

// CauseCount is how many devices failed for a cause, with at most 3 of them as samples. Example is what the newest of
// them reported, as a person may see it, at most 256 bytes; empty where that is the cause itself, or nothing, and for
// CauseOther.
type CauseCount struct {
	Cause   string
	Example string
	Count   int64
	Devices []string
}

// FailedDevice is a device that counts as failed. ReceivedAt is when its failure arrived, in microseconds since
// 1970-01-01 UTC.
type FailedDevice struct {
	DeviceID, SubOperationID, Cause, CurVersion string
	ReceivedAt                                  int64
}

// InProgressDevice is a device that has reported steps and no result. ReceivedAt is when its state was reported last,
// in microseconds since 1970-01-01 UTC.
type InProgressDevice struct {
	DeviceID   string
	State      storage.State
	ReceivedAt int64
}

// SuspectDevice is a device that succeeded and has, or was to get, another version than the one wanted.
type SuspectDevice struct {
	DeviceID, TargetVersion, CurVersion string
}

// Listed counts devices that a Query lists and that have reported. Suspect is how many of Succeeded have, or were to
// get, another version than the one wanted. Retried is how many of Failed are tried again. FirstReceivedAt is when the
// first of the results arrived that count, LastReceivedAt when the last notification did, in microseconds since
// 1970-01-01 UTC; 0 where there is none.
type Listed struct {
	Succeeded, Failed, InProgress, Suspect, Retried int64
	FirstReceivedAt, LastReceivedAt                 int64
}

// Reported is how many listed devices have reported anything.
func (l Listed) Reported() int64 { return l.Succeeded + l.Failed + l.InProgress }

// Summary is what the results of a task add up to.
type Summary struct {
	// Succeeded, Failed and InProgress are how many devices have this as their best result.
	Succeeded, Failed, InProgress int64
	// Recovered is how many of Succeeded have failed before, or since.
	Recovered int64
	// Suspect is how many of Succeeded have, or were to get, another version than the one wanted.
	Suspect int64
	// Retried is how many of Failed reported a step more than 30 s after the failure: the platform tries again.
	Retried int64
	// Failures is how many devices ever failed: Failed + Recovered, and the length of the failure log.
	Failures int64
	// FirstReceivedAt and LastReceivedAt are when the first and the last notification arrived, in microseconds since
	// 1970-01-01 UTC, those that count no more included. 0 means none.
	FirstReceivedAt, LastReceivedAt int64
	// Causes group Failed: the 10 most frequent, of equal ones the lesser text first, then CauseOther with all the
	// others. The devices of a group are its 3 newest, as in FailedDevices.
	Causes []CauseCount
	// FailedDevices are the 20 of Failed whose result arrived last, the newest first, of equal ones the lesser id first.
	FailedDevices []FailedDevice
	// Listed counts those of Query.Devices that have reported.
	Listed Listed
	// Missing are those of Query.Devices that have not reported, the first 20, in their order.
	Missing []string
	// InProgressDevices are 20 of InProgress, those of Query.Devices first, then the one of which nothing came for the
	// longest time. Where more than 2,048 are in progress, some of these.
	InProgressDevices []InProgressDevice
	// SuspectDevices are 20 of Suspect, those of Query.Devices first, then the lesser id.
	SuspectDevices []SuspectDevice
	// Unexpected are 20 devices that have reported and are not in Query.Devices, where it has any, the lesser id first.
	Unexpected []string
}

// Reported is how many devices have reported anything: Succeeded + Failed + InProgress.
func (s Summary) Reported() int64 {
	return s.Succeeded + s.Failed + s.InProgress
}

// Summary returns what the results of a task add up to; for a task that is not known, the Summary of no results. It
// takes time in proportion to the number of distinct causes and versions and of Query.Devices, not of results.
func (t *Tally) Summary(task result.Task, q Query) Summary {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tally, known := t.tasks[task]
	if !known {
		return Summary{Missing: q.Devices[:min(len(q.Devices), maxMissingDevices)]}
	}
	if q.TargetVersion == "" {
		q.TargetVersion = tally.target(t.keys, q.Devices)
	}
	summary := tally.summary(q.TargetVersion)
	s := newSamples(tally, t.keys, q)
	summary.Listed, summary.Missing = s.lookUp()
	s.scan(summary)
	summary.InProgressDevices = s.inProgress.list
	summary.SuspectDevices = s.suspect.list
	summary.Unexpected = s.unexpected.list
	return summary
}

// target is the version that the listed devices, or all where none are listed, were to get.
func (t *taskTally) target(keys keyring, listed []string) string {
	if len(listed) == 0 {
		return CommonTarget(t.successes.targets())
	}
	targets := map[string]int64{}
	for _, device := range listed {
		if record, known := t.devices[keys.key(device)]; known && record.rank == result.RankSucceeded {
			targets[t.successes.pairs[record.versions()].target]++
		}
	}
	return CommonTarget(targets)
}

func (t *taskTally) summary(targetVersion string) Summary {
	failed := t.counts[result.RankFailed]
	succeeded := t.counts[result.RankSucceeded]
	failures := int64(len(t.failures.log))
	return Summary{
		Succeeded:       succeeded,
		Failed:          failed,
		InProgress:      int64(len(t.devices)) - failed - succeeded,
		Recovered:       failures - failed,
		Suspect:         t.successes.suspect(targetVersion),
		Retried:         t.retried,
		Failures:        failures,
		FirstReceivedAt: t.received.First,
		LastReceivedAt:  t.received.Last,
		Causes:          t.failures.causes(),
		FailedDevices:   t.failures.newest(maxFailedDevices),
	}
}

// causes returns the most frequent groups, then one with all others.
func (f *failures) causes() []CauseCount {
	top := best[*causeGroup]{limit: maxCauses, compare: compareFrequency}
	for _, group := range f.groups {
		top.offer(group)
	}

	var causes []CauseCount
	for _, group := range top.list {
		devices := best[*failure]{limit: maxCauseDevices, compare: compareNewest}
		group.scan(devices.offer)
		causes = append(causes, causeCount(group.cause, group.len(), devices.list))
	}

	if len(f.groups) > len(top.list) {
		others := 0
		devices := best[*failure]{limit: maxCauseDevices, compare: compareNewest}
		for _, group := range f.groups {
			if !slices.Contains(top.list, group) {
				others += group.len()
				group.scan(devices.offer)
			}
		}
		causes = append(causes, causeCount(CauseOther, others, devices.list))
	}
	return causes
}

// newest returns the devices that failed most recently, so many at most.
func (f *failures) newest(limit int) []FailedDevice {
	newest := best[*failure]{limit: limit, compare: compareNewest}
	for _, group := range f.groups {
		group.scan(newest.offer)
	}
	var devices []FailedDevice
	for _, failure := range newest.list {
		devices = append(devices, FailedDevice{
			DeviceID:       failure.deviceID,
			SubOperationID: failure.subOperationID,
			Cause:          failure.cause,
			CurVersion:     failure.curVersion,
			ReceivedAt:     failure.receivedAt,
		})
	}
	return devices
}

// compareFrequency orders groups by their size, the largest first, then by cause.
func compareFrequency(a, b *causeGroup) int {
	return cmp.Or(cmp.Compare(b.len(), a.len()), strings.Compare(a.cause, b.cause))
}

func causeCount(cause string, count int, newest []*failure) CauseCount {
	devices := make([]string, len(newest))
	for i, failure := range newest {
		devices[i] = failure.deviceID
	}
	return CauseCount{Cause: cause, Example: exampleOf(cause, newest[0]), Count: int64(count), Devices: devices}
}
