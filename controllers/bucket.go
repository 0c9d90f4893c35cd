// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// backlogRate is how many results a second are a backlog: twice what the platform pushes, as they are read in bursts.
	backlogRate = 2000
	// leastWrites is how many writes a second there are at least meanwhile.
	leastWrites = 5
	// backlogRetry is when a write that found no token in a backlog is tried again.
	backlogRetry = 5 * time.Second
)

// bucket is the token bucket that the writes of statuses and Events share. While results come twice as fast as the
// platform pushes them, it fills more slowly, in proportion, and news waits for a token like progress: storing goes
// first. Safe for concurrent use.
type bucket struct {
	limiter *rate.Limiter
	most    int
	// received counts the results that the store has read.
	received func() int64
	clock    clock.PassiveClock

	mu sync.Mutex
	// since is when the counting began anew, count what received was then.
	since   time.Time
	count   int64
	backlog bool
}

func newBucket(mostPerSecond int, received func() int64, clk clock.PassiveClock) *bucket {
	return &bucket{
		limiter: rate.NewLimiter(rate.Limit(mostPerSecond), mostPerSecond/10+1), most: mostPerSecond,
		received: received, clock: clk, since: clk.Now(), count: received(),
	}
}

// hasBacklog says whether results came faster than backlogRate in the last second that was counted.
func (b *bucket) hasBacklog() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	passed := now.Sub(b.since).Seconds()
	if passed < 1 {
		return b.backlog
	}
	received := b.received()
	perSecond := float64(received-b.count) / passed
	b.since, b.count, b.backlog = now, received, perSecond > backlogRate
	limit := float64(b.most)
	if b.backlog {
		limit = max(leastWrites, limit*backlogRate/perSecond)
	}
	b.limiter.SetLimitAt(now, rate.Limit(limit))
	return b.backlog
}

// take takes a token, and returns in how long it may be used.
func (b *bucket) take(now time.Time) time.Duration {
	return b.limiter.ReserveN(now, 1).DelayFrom(now)
}

// takeNow takes a token if there is one.
func (b *bucket) takeNow(now time.Time) bool { return b.limiter.AllowN(now, 1) }
