// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"sync"
	"time"
)

const (
	// breakerFailures is how many calls in a row have to fail for the breaker to open.
	breakerFailures = 5
	// breakerFirst and breakerMax are how long it stays open, at first and at most.
	breakerFirst = 30 * time.Second
	breakerMax   = 10 * time.Minute
)

// breaker stops calls to a platform that does not work. It opens after five failures in a row. When it has been open
// long enough, one call may try; if that fails, too, it opens for twice as long. A failure is no answer, or a 5xx; that
// of a call for one task is neither a failure nor a success.
type breaker struct {
	mu sync.Mutex
	// failures is how many calls failed in a row.
	failures int
	// openFor is 0 while the breaker is closed.
	openFor   time.Duration
	openUntil time.Time
	trial     bool
}

// attempt is a call that the breaker let go.
type attempt struct {
	breaker *breaker
	trial   bool
}

// state returns whether calls are let go, and if not, until when.
func (b *breaker) state(now time.Time) (open bool, until time.Time, failures int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.openFor > 0 && (b.trial || now.Before(b.openUntil)), b.openUntil, b.failures
}

// isClosed says whether the last calls did not fail, or one that tried succeeded.
func (b *breaker) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.openFor == 0
}

// begin lets a call go, or not. Of a call that was let go the attempt has to be told how it ended.
func (b *breaker) begin(now time.Time) (a attempt, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.openFor == 0 {
		return attempt{breaker: b}, true
	}
	if b.trial || now.Before(b.openUntil) {
		return attempt{}, false
	}
	b.trial = true
	return attempt{breaker: b, trial: true}, true
}

// succeeded says that the platform works.
func (a attempt) succeeded() {
	b := a.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.openFor, b.openUntil, b.trial = 0, 0, time.Time{}, false
}

// failed says that it does not. A call that began before the breaker opened does not make it stay open for longer.
func (a attempt) failed(now time.Time) {
	b := a.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	switch {
	case a.trial:
		b.trial = false
		b.openFor = min(2*b.openFor, breakerMax)
	case b.openFor == 0 && b.failures >= breakerFailures:
		b.openFor = breakerFirst
	default:
		return
	}
	b.openUntil = now.Add(b.openFor)
}

// tryNow lets one call try at once.
func (b *breaker) tryNow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.openUntil = time.Time{}
}

// abandoned says that the call tells nothing about the platform, as when the caller gave up.
func (a attempt) abandoned() {
	a.breaker.mu.Lock()
	defer a.breaker.mu.Unlock()
	if a.trial {
		a.breaker.trial = false
	}
}
