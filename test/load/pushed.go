// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"slices"
	"time"
)

// What an answer has for a status where there was none.
const (
	statusUnsent  = 0  // the push never left
	statusNoReply = -1 // it left, and the connection broke or the time for the answer passed
)

// lateAfter is how long after it was due a push has to leave to be counted as late. Timers alone take up to 2 ms.
const lateAfter = 10 * time.Millisecond

// answer is how one push went.
type answer struct {
	// due is when the push had to leave, left when it did, and at when the answer to it had been read.
	due, left, at time.Time
	// status is the HTTP status, or one of those above.
	status int
}

// ok tells whether the result was taken: answered 200.
func (a answer) ok() bool { return a.status == http.StatusOK }

// latency is the time to the answer from when the push was due, not from when it left: that a slow answer kept its
// connection from the next push must not hide how long that one waited.
func (a answer) latency() time.Duration { return a.at.Sub(a.due) }

// unsent tells whether the push never left.
func (a answer) unsent() bool { return a.status == statusUnsent }

// refused tells whether the push left and was not answered 200.
func (a answer) refused() bool { return !a.ok() && !a.unsent() }

// late tells whether the push left well after it was due.
func (a answer) late() bool { return !a.unsent() && a.left.Sub(a.due) > lateAfter }

// pushed is how a series of pushes went: the answers, by the numbers of the pushes.
type pushed []answer

// took returns the time from when the first push was due to the last answer 200.
func (p pushed) took() time.Duration {
	var first, last time.Time
	for _, a := range p {
		if !a.due.IsZero() && (first.IsZero() || a.due.Before(first)) {
			first = a.due
		}
		if a.ok() && a.at.After(last) {
			last = a.at
		}
	}
	return max(0, last.Sub(first))
}

// latencies returns those of the answers 200, in ascending order.
func (p pushed) latencies() []time.Duration {
	var all []time.Duration
	for _, a := range p {
		if a.ok() {
			all = append(all, a.latency())
		}
	}
	slices.Sort(all)
	return all
}

// maxLate returns how much too late a push left at most.
func (p pushed) maxLate() time.Duration {
	var most time.Duration
	for _, a := range p {
		if !a.unsent() {
			most = max(most, a.left.Sub(a.due))
		}
	}
	return most
}

// count returns how many answers are so.
func (p pushed) count(is func(answer) bool) int {
	n := 0
	for _, a := range p {
		if is(a) {
			n++
		}
	}
	return n
}
