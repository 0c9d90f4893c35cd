// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"math/bits"
	"time"
)

const (
	// subBuckets divide every power of two of microseconds, so that a quantile is at most 1/32 too large.
	subBucketBits = 5
	subBuckets    = 1 << subBucketBits
)

// latencies is a histogram of durations in constant memory.
type latencies struct {
	counts [(64 - subBucketBits) * subBuckets]int64
	total  int64
	max    time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.counts[bucketOf(d)]++
	l.total++
	l.max = max(l.max, d)
}

// bucketOf returns the bucket of a duration: exact below 32 µs, then 32 buckets for every doubling.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	shift := max(bits.Len64(us)-subBucketBits-1, 0)
	return shift<<subBucketBits + int(us>>shift)
}

// upperBound returns the greatest duration of a bucket.
func upperBound(bucket int) time.Duration {
	shift := max(bucket>>subBucketBits-1, 0)
	us := (bucket-shift<<subBucketBits+1)<<shift - 1
	return time.Duration(us) * time.Microsecond
}

// quantile returns a duration that the fraction q of all do not exceed; 0 where there are none.
func (l *latencies) quantile(q float64) time.Duration {
	want := int64(q * float64(l.total))
	for bucket, count := range l.counts {
		if want -= count; want < 0 {
			return min(upperBound(bucket), l.max)
		}
	}
	return l.max
}
