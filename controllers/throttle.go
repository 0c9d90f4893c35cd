// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// throttle spreads writes that tell mere progress: an object is written once in a period, and all objects together as
// often as a token bucket allows. News is written at once, unless there is a backlog; it takes a token if there is one.
// Events follow the same rule: those that somebody waits for are created at once, and the others of an outbox wait for
// one token. What the API server can bear beyond that is decided there, by Priority and Fairness. Safe for concurrent
// use.
type throttle struct {
	bucket *bucket
	period time.Duration
	clock  clock.PassiveClock

	mu    sync.Mutex
	turns map[types.NamespacedName]turn
}

// turn is what is known of the writes of an object.
type turn struct {
	// written is when it was last written.
	written time.Time
	// due is when it is its turn; zero where it does not wait.
	due time.Time
}

// newThrottle returns a throttle of an object's writes, which shares the bucket with others.
func newThrottle(bucket *bucket, period time.Duration, clk clock.PassiveClock) *throttle {
	return &throttle{bucket: bucket, period: period, clock: clk, turns: map[types.NamespacedName]turn{}}
}

// wait returns how long a write of an object has to wait; 0 means that it is to be made now. An object keeps its turn
// until it is written.
func (t *throttle) wait(object types.NamespacedName) time.Duration {
	backlog := t.bucket.hasBacklog()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	next := t.turns[object]
	if next.due.IsZero() && backlog { // a turn would be far away, and the backlog may end before
		if !t.bucket.takeNow(now) {
			return backlogRetry
		}
		next.due = now
	}
	if next.due.IsZero() {
		next.due = now.Add(t.bucket.take(now))
	}
	if period := next.written.Add(t.period); next.due.Before(period) {
		next.due = period
	}
	if wait := next.due.Sub(now); wait > 0 {
		t.turns[object] = next
		return wait
	}
	t.note(object, now)
	return 0
}

// waitForNews returns how long a write that tells news has to wait: not at all, unless there is a backlog.
func (t *throttle) waitForNews(object types.NamespacedName) time.Duration {
	if t.bucket.hasBacklog() {
		return t.wait(object)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	if t.turns[object].due.IsZero() { // else it has a token already
		t.bucket.takeNow(now)
	}
	t.note(object, now)
	return 0
}

// waits says whether an object waits for its turn.
func (t *throttle) waits(object types.NamespacedName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.turns[object].due.IsZero()
}

// sinceWrite returns how long ago the object was last written.
func (t *throttle) sinceWrite(object types.NamespacedName) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clock.Since(t.turns[object].written)
}

// forget drops what is known of an object that is gone.
func (t *throttle) forget(object types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.turns, object)
}

func (t *throttle) note(object types.NamespacedName, now time.Time) {
	t.turns[object] = turn{written: now}
}
