// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"
	"slices"
	"strings"

	"fwupgrade.io/operator/internal/result"
)

// Failure is a device that ever failed, as the failure log has it.
type Failure struct {
	// DeviceID is the device.
	DeviceID string
	// SubOperationID, Cause (see the function Cause) and CurVersion are those of its newest failure that is known.
	// They are empty where the device had succeeded before anything but the time of its failure was known.
	SubOperationID, Cause, CurVersion string
	// Text is what the device reported as the cause, as a person may see it, at most 256 bytes; empty where it reported
	// nothing, or Cause is empty.
	Text string
	// FailedAt is when its first failure arrived, in microseconds since 1970-01-01 UTC.
	FailedAt int64
	// ReceivedAt is when its newest failure that is known arrived, in microseconds since 1970-01-01 UTC.
	ReceivedAt int64
	// Recovered says that the device has succeeded.
	Recovered bool
}

// FailureGroup are failures with the same cause.
type FailureGroup struct {
	// Cause is the cause, or CauseRecovered.
	Cause string
	// Example is what the first of Devices reported; empty where that is the cause itself, or nothing.
	Example string
	// Count is how many devices are in the group.
	Count int64
	// Devices are samples, the first ones in the order of the log.
	Devices []string
}

// FailuresFrom returns at most limit failures of a task from a position of its failure log on; the first is 0. The log
// has each device that ever failed once. It only grows, but what it says of a device changes with the device, and its
// order at Seal.
func (t *Tally) FailuresFrom(task result.Task, from int64, limit int) []Failure {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tally, known := t.tasks[task]
	if !known {
		return nil
	}
	log := tally.failures.from(from)
	log = log[:min(len(log), max(limit, 0))]
	failures := make([]Failure, len(log))
	for i, ref := range log {
		f := tally.failures.at(ref)
		failures[i] = Failure{
			DeviceID:       f.deviceID,
			SubOperationID: f.subOperationID,
			Cause:          f.cause,
			Text:           f.text,
			CurVersion:     f.curVersion,
			FailedAt:       f.failedAt,
			ReceivedAt:     cmp.Or(f.receivedAt, f.failedAt),
			Recovered:      !f.grouped,
		}
	}
	return failures
}

// DigestFailures groups the failures of a task by cause, from a position of its failure log on, with at most so many
// samples each. The counts add up to Summary.Failures minus from. The largest group comes first, of equal ones the
// lesser cause.
func (t *Tally) DigestFailures(task result.Task, from int64, samples int) []FailureGroup {
	byCause := t.digest(task, from, samples)
	groups := make([]FailureGroup, 0, len(byCause))
	for _, group := range byCause {
		groups = append(groups, *group)
	}
	slices.SortFunc(groups, func(a, b FailureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Cause, b.Cause))
	})
	return groups
}

func (t *Tally) digest(task result.Task, from int64, samples int) map[string]*FailureGroup {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tally, known := t.tasks[task]
	if !known {
		return nil
	}
	groups := map[string]*FailureGroup{}
	for _, ref := range tally.failures.from(from) {
		f := tally.failures.at(ref)
		cause := cmp.Or(f.cause, CauseRecovered)
		group, known := groups[cause]
		if !known {
			group = &FailureGroup{Cause: cause, Example: exampleOf(cause, f)}
			groups[cause] = group
		}
		group.Count++
		if len(group.Devices) < samples {
			group.Devices = append(group.Devices, f.deviceID)
		}
	}
	return groups
}

// from returns the log from a position on.
func (f *failures) from(position int64) []failureRef {
	return f.log[min(max(position, 0), int64(len(f.log))):]
}

// Shrinks counts how often results may have been dropped: while it stays the same, nothing was.
func (t *Tally) Shrinks() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.shrinks
}

// FailuresUntil returns how many devices of a task had failed until a time, in microseconds since 1970-01-01 UTC.
func (t *Tally) FailuresUntil(task result.Task, until int64) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := int64(0)
	if of := t.tasks[task]; of != nil {
		for _, failure := range of.failures.all {
			if failure.failedAt <= until {
				n++
			}
		}
	}
	return n
}

// SortFailures sorts the failure log of a task as Seal does: failures that were dropped and came back stand at its end,
// where they would be announced again in place of others.
func (t *Tally) SortFailures(task result.Task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.tasks[task]; of != nil {
		of.failures.sort()
	}
}
