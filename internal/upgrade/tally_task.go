// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import "cmp"

// taskTally is the tally of one task. It is not safe for concurrent use.
type taskTally struct {
	id        Task
	devices   map[deviceKey]deviceRecord
	counts    [ranks]int64
	received  span
	successes versionCounts
	failures  failures
	changed   bool // by the slice that is being added
}

func newTaskTally(id Task) *taskTally {
	return &taskTally{id: id, devices: map[deviceKey]deviceRecord{}}
}

// standing is what the join compares.
type standing struct {
	receivedAt int64
	digest     uint64
	rank       rank
}

func (s standing) compare(other standing) int {
	return cmp.Or(cmp.Compare(s.rank, other.rank), cmp.Compare(s.receivedAt, other.receivedAt),
		cmp.Compare(s.digest, other.digest))
}

// deviceRecord is what is kept of a device. There may be millions: no pointers and no strings.
type deviceRecord struct {
	standing
	versions versionsRef // of a device that succeeded
	failure  failureRef  // of a device that ever failed
}

// add joins a normalized result, and says whether it told anything new.
func (t *taskTally) add(keys keyring, result *Result) bool {
	received := result.received()
	first := t.received.include(received.first)
	last := t.received.include(received.last)
	return t.join(keys.key(result.DeviceID), result) || first || last
}

// join joins a normalized result of a device.
func (t *taskTally) join(key deviceKey, result *Result) bool {
	record, known := t.devices[key]
	reported := standing{receivedAt: result.ReceivedAt, digest: result.Digest(), rank: rankOf(result.State)}
	better := !known || record.compare(reported) < 0
	if known && better {
		t.leave(&record)
	}

	changed := better
	if result.FailedAt != 0 {
		if record.failure == 0 {
			record.failure = t.failures.open(result)
			changed = true
		} else if t.failures.at(record.failure).precede(result.FailedAt) {
			changed = true
		}
	}
	if better {
		record.standing = reported
		t.enter(&record, result)
	} else if reported.rank == rankFailed && record.rank == rankSucceeded {
		t.failures.detail(record.failure, result)
	}

	if changed {
		t.devices[key] = record
	}
	return changed
}

// leave takes a device out of the counts of its state.
func (t *taskTally) leave(record *deviceRecord) {
	t.counts[record.rank]--
	switch record.rank {
	case rankFailed:
		t.failures.ungroup(record.failure)
	case rankSucceeded:
		t.successes.remove(record.versions)
		record.versions = 0
	}
}

// enter counts a device for its state, which the result gave it.
func (t *taskTally) enter(record *deviceRecord, result *Result) {
	t.counts[record.rank]++
	switch record.rank {
	case rankFailed:
		t.failures.detail(record.failure, result)
		t.failures.group(record.failure)
	case rankSucceeded:
		record.versions = t.successes.add(result.TargetVersion, result.CurVersion)
	}
}
