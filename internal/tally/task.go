// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"
	"slices"
	"strings"

	"fwupgrade.io/operator/internal/result"
)

// retryDelay is how long after a failure a step has to come to mean that the device is tried again. What comes earlier
// may have overtaken the failure on its way. A step of before that the platform repeats later is taken for a retry:
// that keeps the end open for a while, where the other mistake would end an upgrade whose device downloads.
const retryDelay = 2 // seconds

// taskTally is the tally of one task. It is not safe for concurrent use.
type taskTally struct {
	id        result.Task
	devices   map[deviceKey]deviceRecord
	counts    [result.Ranks]int64
	retried   int64 // of those that failed
	received  result.Span
	successes versionCounts
	failures  failures
	underway  []string // ids of the devices in progress, in no order
	changed   bool     // by the slice that is being added
}

func newTaskTally(id result.Task) *taskTally {
	return &taskTally{id: id, devices: map[deviceKey]deviceRecord{}}
}

// deviceRecord is what is kept of a device. There may be millions: no pointers and no strings.
type deviceRecord struct {
	receivedAt int64
	digest     uint64
	place      uint32     // in progress: the index in taskTally.underway; succeeded: a versionsRef
	failure    failureRef // of a device that ever failed
	heard      uint32     // when anything arrived last, in seconds since 1970
	rank       result.Rank
}

// compare compares what the join compares.
func (d *deviceRecord) compare(other deviceRecord) int {
	return cmp.Or(cmp.Compare(d.rank, other.rank), cmp.Compare(d.receivedAt, other.receivedAt),
		cmp.Compare(d.digest, other.digest))
}

func (d *deviceRecord) versions() versionsRef { return versionsRef(d.place) }

// retried says whether the device failed and reported a step after that: the platform tries again by itself. Results
// join to the newest failure, so that what arrived later can only be a step.
func (d *deviceRecord) retried() bool {
	return d.rank == result.RankFailed && int64(d.heard) > d.receivedAt/microsPerSecond+retryDelay
}

// lastReceivedAt is when anything arrived last, in microseconds since 1970; to the second where that counts no more.
func (d *deviceRecord) lastReceivedAt() int64 {
	return max(d.receivedAt, int64(d.heard)*microsPerSecond)
}

const microsPerSecond = 1_000_000

func isUnderway(rank result.Rank) bool { return rank < result.RankFailed }

// add joins a normalized result, and says whether it told anything new.
func (t *taskTally) add(keys keyring, r *result.Result) bool {
	received := r.Received()
	first := t.received.Include(received.First)
	last := t.received.Include(received.Last)
	return t.join(keys, r, received.Last) || first || last
}

// join joins a normalized result of a device, of which something arrived last at that time.
func (t *taskTally) join(keys keyring, r *result.Result, last int64) bool {
	key := keys.key(r.DeviceID)
	record, known := t.devices[key]
	wasRetried := record.retried()
	reported := deviceRecord{receivedAt: r.ReceivedAt, digest: r.Digest(), rank: result.RankOf(r.State)}
	better := !known || record.compare(reported) < 0
	stays := known && better && t.stays(&record, r)
	if known && better && !stays {
		t.leave(keys, &record, r.DeviceID)
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
		t.counts[reported.rank]++
		if stays {
			t.counts[record.rank]--
		}
		record.receivedAt, record.digest, record.rank = reported.receivedAt, reported.digest, reported.rank
		if !stays {
			t.enter(&record, r)
		}
	} else if reported.rank == result.RankFailed && record.rank == result.RankSucceeded {
		t.failures.detail(record.failure, r)
	}

	if heard := uint32(last / microsPerSecond); heard > record.heard { //nolint:gosec // Until 2106.
		record.heard = heard
		changed = true
	}
	t.countRetried(wasRetried, record.retried())
	if changed {
		t.devices[key] = record
	}
	return changed
}

func (t *taskTally) countRetried(before, after bool) {
	if before {
		t.retried--
	}
	if after {
		t.retried++
	}
}

// stays says whether a device keeps its place although a better result came: it is in progress still, or has succeeded
// with the same versions.
func (t *taskTally) stays(record *deviceRecord, r *result.Result) bool {
	if rank := result.RankOf(r.State); record.rank != result.RankSucceeded {
		return isUnderway(record.rank) && isUnderway(rank)
	}
	return t.successes.has(record.versions(), r.TargetVersion, r.CurVersion)
}

// leave takes a device out of the counts of its state.
func (t *taskTally) leave(keys keyring, record *deviceRecord, device string) {
	t.counts[record.rank]--
	switch record.rank {
	case result.RankFailed:
		t.failures.ungroup(record.failure)
	case result.RankSucceeded:
		t.successes.remove(record.versions(), device)
	default:
		t.leaveUnderway(keys, record.place)
	}
	record.place = 0
}

// leaveUnderway removes a device from those in progress: the last of them takes its place.
func (t *taskTally) leaveUnderway(keys keyring, place uint32) {
	end := len(t.underway) - 1
	if moved := t.underway[end]; int(place) != end {
		key := keys.key(moved)
		record := t.devices[key]
		record.place = place
		t.devices[key] = record
		t.underway[place] = moved
	}
	t.underway[end] = ""
	t.underway = t.underway[:end]
	if cap(t.underway) > 1024 && end < cap(t.underway)/4 {
		t.underway = slices.Clone(t.underway)
	}
}

// enter counts a device for its state, which the result gave it.
func (t *taskTally) enter(record *deviceRecord, r *result.Result) {
	switch record.rank {
	case result.RankFailed:
		t.failures.detail(record.failure, r)
		t.failures.group(record.failure)
	case result.RankSucceeded:
		record.place = uint32(t.successes.add(r.DeviceID, r.TargetVersion, r.CurVersion))
	default:
		record.place = uint32(len(t.underway)) //nolint:gosec // Far fewer results can be stored.
		t.underway = append(t.underway, strings.Clone(r.DeviceID))
	}
}
