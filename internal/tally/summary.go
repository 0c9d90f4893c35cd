// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"
	"slices"
	"strings"

	"fwupgrade.io/operator/internal/result"
)

// Bounds of a summary, those of the status.
const (
	maxCauses         = 10 // before Other
	maxCauseDevices   = 3
	maxFailedDevices  = 20
	maxMissingDevices = 20
)

// Query is what a FirmwareUpgrade wants to know of its task.
type Query struct {
	// TargetVersion is the version wanted, for Summary.Suspect; empty takes the one that each result names.
	TargetVersion string
	// Devices are the ids of the devices expected, for Summary.Listed and Missing, each once.
	Devices []string
}

// CauseCount is how many devices failed for a cause, with at most 3 of them as samples.
type CauseCount struct {
	Cause   string
	Count   int64
	Devices []string
}

// FailedDevice is a device that counts as failed. ReceivedAt is when its failure arrived, in microseconds since
// 1970-01-01 UTC.
type FailedDevice struct {
	DeviceID, SubOperationID, Cause, CurVersion string
	ReceivedAt                                  int64
}

// Listed counts devices that a Query lists and that have reported. Suspect is how many of Succeeded have, or were to
// get, another version than the one wanted. FirstReceivedAt and LastReceivedAt are when the first and the last of the
// results arrived that count, in microseconds since 1970-01-01 UTC; 0 where there is none.
type Listed struct {
	Succeeded, Failed, InProgress, Suspect int64
	FirstReceivedAt, LastReceivedAt        int64
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
	summary := tally.summary(q.TargetVersion)
	summary.Listed, summary.Missing = tally.lookUp(t.keys, q)
	return summary
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
		Failures:        failures,
		FirstReceivedAt: t.received.First,
		LastReceivedAt:  t.received.Last,
		Causes:          t.failures.causes(),
		FailedDevices:   t.failures.newest(),
	}
}

// lookUp counts the listed devices that have reported and names the first that have not.
func (t *taskTally) lookUp(keys keyring, q Query) (listed Listed, missing []string) {
	var received result.Span
	for _, device := range q.Devices {
		record, known := t.devices[keys.key(device)]
		if !known {
			if len(missing) < maxMissingDevices {
				missing = append(missing, device)
			}
			continue
		}
		received.Include(record.receivedAt)
		switch record.rank {
		case result.RankSucceeded:
			listed.Succeeded++
			if t.successes.isSuspect(record.versions, q.TargetVersion) {
				listed.Suspect++
			}
		case result.RankFailed:
			listed.Failed++
		default:
			listed.InProgress++
		}
	}
	listed.FirstReceivedAt, listed.LastReceivedAt = received.First, received.Last
	return listed, missing
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

// newest returns the devices that failed most recently.
func (f *failures) newest() []FailedDevice {
	newest := best[*failure]{limit: maxFailedDevices, compare: compareNewest}
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
	return CauseCount{Cause: cause, Count: int64(count), Devices: devices}
}
