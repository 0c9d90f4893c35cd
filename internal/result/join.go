// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"cmp"
	"encoding/binary"
	"strings"

	"github.com/cespare/xxhash/v2"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// Rank is the place of a state in the order of the join. A state that is not known ranks below all others and counts
// as in progress.
type Rank uint8

// The ranks, from the least.
const (
	RankUnknown Rank = iota
	RankIdle
	RankDownloading
	RankDownloaded
	RankUpdating
	RankFailed
	RankSucceeded
	// Ranks is how many there are.
	Ranks
)

// RankOf returns the rank of a state.
func RankOf(state storage.State) Rank {
	switch state {
	case storage.StateIdle:
		return RankIdle
	case storage.StateDownloading:
		return RankDownloading
	case storage.StateDownloaded:
		return RankDownloaded
	case storage.StateUpdating:
		return RankUpdating
	case storage.StateFailed:
		return RankFailed
	case storage.StateSucceeded:
		return RankSucceeded
	default:
		return RankUnknown
	}
}

// Normalize brings the times of a result into the form that everything else relies on. A time before the epoch, and a
// receive time that is not set, becomes 1 µs, because 0 stands for none. A failed result gets as FailedAt the earlier
// of its FailedAt, if it has one, and its ReceivedAt. A result in progress loses its FailedAt: a failure outranks it,
// so that a device with a failure can't be in progress, and the sums need it to be so. A FirstReceivedAt that is not
// before ReceivedAt and a LastReceivedAt that is not after it become 0. The ends of lines in texts become line feeds,
// as CSV keeps no others.
func (r *Result) Normalize() {
	r.ReceivedAt = max(r.ReceivedAt, 1)
	if r.FailedAt != 0 {
		r.FailedAt = max(r.FailedAt, 1)
	}
	r.setReceived(r.Received())
	for _, text := range []*string{&r.TargetVersion, &r.SourceVersion, &r.CurVersion, &r.StatusDesc, &r.UpgradeTime} {
		if strings.Contains(*text, "\r") {
			*text = lineFeeds.Replace(*text)
		}
	}
	switch RankOf(r.State) {
	case RankSucceeded:
	case RankFailed:
		r.FailedAt = earliest(r.FailedAt, r.ReceivedAt)
	default:
		r.FailedAt = 0
	}
}

//nolint:gochecknoglobals // Never changed, and costly to make.
var lineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Received is the span of all of the device's notifications that went into the result.
func (r *Result) Received() Span {
	s := Span{First: r.ReceivedAt, Last: r.ReceivedAt}
	s.Include(r.FirstReceivedAt)
	s.Include(r.LastReceivedAt)
	return s
}

// setReceived takes over a span that includes ReceivedAt.
func (r *Result) setReceived(s Span) {
	r.FirstReceivedAt, r.LastReceivedAt = 0, 0
	if s.First < r.ReceivedAt {
		r.FirstReceivedAt = s.First
	}
	if s.Last > r.ReceivedAt {
		r.LastReceivedAt = s.Last
	}
}

// Digest is a fixed 64-bit hash of what the device reported: the sub-task and all fields, but neither the task, nor the
// device, nor the times. It breaks the tie between results of a device with the same state and ReceivedAt, so that the
// tally need not keep their strings.
func (r *Result) Digest() uint64 {
	fields := [...]string{
		r.SubOperationID, string(r.State), r.TargetVersion, r.SourceVersion, r.CurVersion, r.StatusDesc, r.UpgradeTime,
	}
	var onStack [512]byte
	buffer := onStack[:0]
	for _, field := range fields {
		// The length before each field keeps ("ab", "c") and ("a", "bc") apart.
		buffer = binary.AppendUvarint(buffer, uint64(len(field)))
		buffer = append(buffer, field...)
	}
	return xxhash.Sum64(buffer)
}

// Compare is the total order of the results of one device in one task: by state, then ReceivedAt, then Digest. It is
// negative if a counts less than b, and 0 if they are the same result. Both must be normalized.
func Compare(a, b *Result) int {
	if c := cmp.Or(cmp.Compare(RankOf(a.State), RankOf(b.State)), cmp.Compare(a.ReceivedAt, b.ReceivedAt)); c != 0 {
		return c
	}
	return cmp.Compare(a.Digest(), b.Digest())
}

// Join is what two results of one device in one task amount to: the greater of them by Compare, with the earliest
// failure and the first and last notification of either. It is commutative, associative and, for a normalized result,
// idempotent. The result is normalized.
func Join(a, b Result) Result {
	a.Normalize()
	b.Normalize()
	failedAt := earliest(a.FailedAt, b.FailedAt)
	received := a.Received()
	other := b.Received()
	received.Include(other.First)
	received.Include(other.Last)
	if Compare(&a, &b) < 0 {
		a = b
	}
	a.FailedAt = failedAt
	a.setReceived(received)
	return a
}

// earliest is the lesser of two times where 0 means none.
func earliest(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Span is the first and the last of some receive times, in microseconds since 1970-01-01 UTC; 0 means none.
type Span struct{ First, Last int64 }

// Include widens the span to a time, unless that is 0 or before the epoch, and says whether it did.
func (s *Span) Include(at int64) bool {
	if at <= 0 {
		return false
	}
	before := *s
	s.First = earliest(s.First, at)
	s.Last = max(s.Last, at)
	return *s != before
}
