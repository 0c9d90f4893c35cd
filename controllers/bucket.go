// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// backlogRate is how many results a second are a backlog: twice what the platform pushes, as they are read in bursts.
	backlogRate = 2000
	// backlogWindow is over which time they are counted: what is read at once after a second's pause is no backlog.
	backlogWindow = 2 * time.Second
	// backlogWrites is how many writes a second a bucket allows meanwhile.
	backlogWrites = 10
	// backlogPause is how long changes gather meanwhile before they are looked at: each task changes many times a second.
	backlogPause = 2 * time.Second
)

// bucket is a token bucket, one for statuses and one for Events. Mere progress takes a token for each write, news
// where there is one. While results come twice as fast as the platform pushes them, the bucket fills slowly, and news
// waits for a token like progress: storing goes first. What the API server can bear beyond that is decided there, by
// Priority and Fairness. Safe for concurrent use.
type bucket struct {
	limiter *rate.Limiter
	most    rate.Limit
	// received counts the results that the store has read.
	received func() int64
	clock    clock.Clock

	mu sync.Mutex
	// since is when the counting began anew, count what received was then.
	since   time.Time
	count   int64
	backlog bool
}

func newBucket(mostPerSecond int, received func() int64, clk clock.Clock) *bucket {
	return &bucket{
		limiter: rate.NewLimiter(rate.Limit(mostPerSecond), mostPerSecond/10+1), most: rate.Limit(mostPerSecond),
		received: received, clock: clk, since: clk.Now(), count: received(),
	}
}

// take takes a token for a write. The worker itself waits for it, so that nothing is queued twice: that is as long as a
// few other writes take, since each worker holds one token at most. An error is that of the context.
func (b *bucket) take(ctx context.Context, isNews bool) error {
	backlog := b.hasBacklog()
	now := b.clock.Now()
	if isNews && !backlog {
		b.limiter.AllowN(now, 1)
		return nil
	}
	delay := b.limiter.ReserveN(now, 1).DelayFrom(now)
	if delay <= 0 {
		return nil
	}
	timer := b.clock.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hasBacklog says whether results came faster than backlogRate in the last backlogWindow. It does so as soon as more
// have come than in a whole window at that rate.
func (b *bucket) hasBacklog() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	passed, received := now.Sub(b.since), b.received()
	if early := float64(received-b.count) > backlogRate*backlogWindow.Seconds(); passed < backlogWindow && !early {
		return b.backlog
	}
	perSecond := float64(received-b.count) / passed.Seconds()
	b.since, b.count, b.backlog = now, received, perSecond > backlogRate
	limit := b.most
	if b.backlog {
		limit = min(limit, backlogWrites)
	}
	b.limiter.SetLimitAt(now, limit)
	return b.backlog
}
