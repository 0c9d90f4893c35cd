// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import "time"

const minute = time.Minute

// window counts calls in a sliding minute: a call counts for less than a minute. Documented: 100 calls in 60 s; that
// the minute slides is inferred, and the strictest way to read it.
type window struct {
	limit int // 0: none
	times []time.Time
	max   int // the most that were ever in it
}

// admit counts a call, unless the window is full.
func (w *window) admit(now time.Time) bool {
	start := now.Add(-minute)
	gone := 0
	for gone < len(w.times) && !w.times[gone].After(start) {
		gone++
	}
	w.times = w.times[gone:]
	if w.limit > 0 && len(w.times) >= w.limit {
		return false
	}
	w.times = append(w.times, now)
	w.max = max(w.max, len(w.times))
	return true
}
