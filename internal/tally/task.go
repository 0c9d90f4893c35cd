// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"

	"fwupgrade.io/operator/internal/result"
)

// taskTally is the tally of one task. It is not safe for concurrent use.
type taskTally struct {
	id        result.Task
	devices   map[deviceKey]deviceRecord
	counts    [result.Ranks]int64
	received  result.Span
	successes versionCounts
	failures  failures
	changed   bool // by the slice that is being added
}

func newTaskTally(id result.Task) *taskTally {
	return &taskTally{id: id, devices: map[deviceKey]deviceRecord{}}
}

// standing is what the join compares.
type standing struct {
	receivedAt int64
	digest     uint64
	rank       result.Rank
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
func (t *taskTally) add(keys keyring, r *result.Result) bool {
	received := r.Received()
	first := t.received.Include(received.First)
	last := t.received.Include(received.Last)
	return t.join(keys.key(r.DeviceID), r) || first || last
}

// join joins a normalized result of a device.
func (t *taskTally) join(key deviceKey, r *result.Result) bool {
	record, known := t.devices[key]
	reported := standing{receivedAt: r.ReceivedAt, digest: r.Digest(), rank: result.RankOf(r.State)}
	better := !known || record.compare(reported) < 0
	if known && better {
		t.leave(&record)
	}

	changed := better
	if r.FailedAt != 0 {
		if record.failure == 0 {
			record.failure = t.failures.open(r)
			changed = true
		} else if t.failures.at(record.failure).precede(r.FailedAt) {
			changed = true
		}
	}
	if better {
		record.standing = reported
		t.enter(&record, r)
	} else if reported.rank == result.RankFailed && record.rank == result.RankSucceeded {
		t.failures.detail(record.failure, r)
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
	case result.RankFailed:
		t.failures.ungroup(record.failure)
	case result.RankSucceeded:
		t.successes.remove(record.versions)
		record.versions = 0
	}
}

// enter counts a device for its state, which the result gave it.
func (t *taskTally) enter(record *deviceRecord, r *result.Result) {
	t.counts[record.rank]++
	switch record.rank {
	case result.RankFailed:
		t.failures.detail(record.failure, r)
		t.failures.group(record.failure)
	case result.RankSucceeded:
		record.versions = t.successes.add(r.TargetVersion, r.CurVersion)
	}
}
