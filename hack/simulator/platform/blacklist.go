// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import "time"

// Blacklist is the platform's rule about a host that does not take its pushes: after so many failures in a row
// nothing is pushed for a while; then a single push tries the host, and a 200 clears it.
type Blacklist struct {
	// After is how many failures in a row blacklist the host; Duration, until when nothing is pushed.
	After    int
	Duration time.Duration

	consecutive int
	until       time.Time // nothing is pushed before
	trying      bool      // the host was blacklisted and no 200 has cleared it
	times       int       // how often it was blacklisted
}

// Admits tells whether a push may go out now, while inFlight others are under way. If not, it may at the returned
// time, or, if that is zero, when one of those under way was answered.
func (b *Blacklist) Admits(now time.Time, inFlight int) (bool, time.Time) {
	if now.Before(b.until) {
		return false, b.until
	}
	return !b.trying || inFlight == 0, time.Time{}
}

// Failed counts a push that failed. What was under way when the host was blacklisted counts no more.
func (b *Blacklist) Failed(now time.Time) {
	if now.Before(b.until) {
		return
	}
	b.consecutive++
	if b.trying || b.consecutive >= b.After {
		b.consecutive = 0
		b.trying = true
		b.until = now.Add(b.Duration)
		b.times++
	}
}

// Succeeded notes an answer 200, and returns true when it cleared the host.
func (b *Blacklist) Succeeded(now time.Time) bool {
	if now.Before(b.until) {
		return false
	}
	cleared := b.trying
	b.consecutive, b.trying = 0, false
	return cleared
}

// Listed tells whether the host is blacklisted: no 200 has cleared it yet.
func (b *Blacklist) Listed() bool { return b.trying }

// Times is how often the host was blacklisted.
func (b *Blacklist) Times() int { return b.times }
