// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Priority is the class of a call. Of the calls that wait, one of a higher class goes first.
type Priority int

// The classes, from the lowest to the highest.
const (
	// PrioritySweep is for sub-tasks that are paged through. A sweep goes only while calls are plentiful.
	PrioritySweep Priority = iota
	// PriorityRound is for comparing tasks with the platform.
	PriorityRound
	// PrioritySubscribe is for subscriptions.
	PrioritySubscribe
	// PriorityResolve is for finding out whether a task was created.
	PriorityResolve
	// PriorityCreate is for creating tasks.
	PriorityCreate
	// PriorityLogin is for logins. While one is made, no other call is.
	PriorityLogin
)

const (
	// callWindow is the window in which at most callsPerMinute calls are let go: the platform's minute, and a second in
	// case one call takes longer to reach the platform than the next.
	callWindow = 61 * time.Second
	// maxBurst is how many calls may follow each other at once, at most.
	maxBurst = 10
	// maxInFlight is how many calls are made at a time; each may have an answer of 4 MiB.
	maxInFlight = 8
	// throttleQuiet is how long nothing is called after the platform said that it is too much.
	throttleQuiet = time.Minute
	// throttleHalf is for how long the rate is halved after that.
	throttleHalf = 10 * time.Minute
)

// limiter decides when a call may go. It is a token bucket, with a queue before it:
//
//  1. The bucket holds a burst of b calls, a sixth of a minute's but at most ten, and fills with the rest of a minute's
//     within callWindow. So what goes in any minute is at most b + (n − b) = n.
//  2. The queue is sorted by class, then by arrival. Only its head takes from the bucket, when it goes: who gives up
//     waiting has taken nothing.
//  3. A sweep goes only when the bucket is full. So sweeps live on what flows in, and a round finds the burst.
//  4. A login goes alone: it ends the token that other calls carry.
//  5. What the platform throttles is quiet for a minute, then goes at half the rate for ten.
type limiter struct {
	clock clock.WithTicker

	mu             sync.Mutex
	callsPerMinute int
	bucket         *rate.Limiter
	// quietUntil is until when nothing goes, throttled the same as far as the platform is the reason.
	quietUntil, throttled, halfUntil time.Time
	queue                            []*waiter
	inFlight                         int
	loginInFlight                    bool
}

// waiter is a call that waits for its turn.
type waiter struct {
	priority Priority
	wake     chan struct{}
}

func newLimiter(clk clock.WithTicker, callsPerMinute int, quietUntil time.Time) *limiter {
	perSecond, burst := limits(callsPerMinute, false)
	return &limiter{
		clock: clk, callsPerMinute: callsPerMinute, quietUntil: quietUntil, bucket: rate.NewLimiter(perSecond, burst),
	}
}

// limits returns how a bucket fills, and what it holds.
func limits(callsPerMinute int, half bool) (rate.Limit, int) {
	burst := max(1, min(maxBurst, callsPerMinute/6))
	// One call a minute is a burst of one, with nothing left that flows in.
	perWindow := float64(max(1, callsPerMinute-burst))
	if half {
		burst, perWindow = max(1, burst/2), perWindow/2
	}
	return rate.Limit(perWindow / callWindow.Seconds()), burst
}

// acquire waits for the turn of a call, and takes it. ready is asked when it is the call's turn; where it has an error,
// the call gives its turn up. Whoever acquired has to release. It returns how long it waited.
func (l *limiter) acquire(ctx context.Context, p Priority, ready func() error) (time.Duration, error) {
	began := l.clock.Now()
	w := &waiter{priority: p, wake: make(chan struct{}, 1)}
	l.enqueue(w)
	defer l.dequeue(w)
	for {
		if err := ctx.Err(); err != nil {
			return l.clock.Since(began), err
		}
		wait, err := l.tryAcquire(w, ready)
		if err != nil || wait == 0 {
			return l.clock.Since(began), err
		}
		timer := l.clock.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// untilWoken is how long a waiter waits that others will wake.
const untilWoken = time.Hour

// tryAcquire takes the turn if it has come; else it returns how long to wait before asking again.
func (l *limiter) tryAcquire(w *waiter, ready func() error) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	login := w.priority == PriorityLogin
	switch {
	case l.queue[0] != w, l.loginInFlight, login && l.inFlight > 0, l.inFlight >= maxInFlight:
		return untilWoken, nil
	}
	now := l.clock.Now()
	if quiet := l.quietUntil.Sub(now); quiet > 0 {
		return quiet, nil
	}
	l.adjust(now)
	if wait := l.untilFull(now); w.priority == PrioritySweep && wait > 0 {
		return wait, nil
	}
	taken := l.bucket.ReserveN(now, 1)
	if wait := taken.DelayFrom(now); wait > 0 {
		taken.CancelAt(now)
		return wait, nil
	}
	if err := ready(); err != nil {
		taken.CancelAt(now)
		return 0, err
	}
	l.inFlight++
	l.loginInFlight = login
	return 0, nil
}

// untilFull returns how long it takes until the bucket is full.
func (l *limiter) untilFull(now time.Time) time.Duration {
	const rounding = 1e-6 // of a call
	missing := float64(l.bucket.Burst()) - l.bucket.TokensAt(now)
	if missing <= rounding {
		return 0
	}
	return max(time.Microsecond, time.Duration(missing/float64(l.bucket.Limit())*float64(time.Second)))
}

// adjust sets the bucket to what applies now.
func (l *limiter) adjust(now time.Time) {
	perSecond, burst := limits(l.callsPerMinute, now.Before(l.halfUntil))
	if l.bucket.Limit() != perSecond {
		l.bucket.SetLimitAt(now, perSecond)
	}
	if l.bucket.Burst() != burst {
		l.bucket.SetBurstAt(now, burst)
	}
}

// release ends a call that acquired.
func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.loginInFlight = false // it was alone
	l.wakeHead()
}

// throttle is told that the platform refused a call as one too many.
func (l *limiter) throttle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.throttled = l.clock.Now().Add(throttleQuiet)
	if l.throttled.After(l.quietUntil) {
		l.quietUntil = l.throttled
	}
	l.halfUntil = l.throttled.Add(throttleHalf)
}

// throttledUntil returns until when nothing goes because the platform refused a call.
func (l *limiter) throttledUntil() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.throttled
}

// setLimit sets how many calls are made in a minute.
func (l *limiter) setLimit(callsPerMinute int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callsPerMinute = callsPerMinute
	l.adjust(l.clock.Now())
	l.wakeHead()
}

func (l *limiter) enqueue(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Behind all of its class.
	at, _ := slices.BinarySearchFunc(l.queue, w, func(other, w *waiter) int {
		return cmp.Or(cmp.Compare(w.priority, other.priority), -1)
	})
	l.queue = slices.Insert(l.queue, at, w)
}

func (l *limiter) dequeue(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.DeleteFunc(l.queue, func(other *waiter) bool { return other == w })
	l.wakeHead()
}

func (l *limiter) wakeHead() {
	if len(l.queue) == 0 {
		return
	}
	select {
	case l.queue[0].wake <- struct{}{}:
	default: // is being woken
	}
}
