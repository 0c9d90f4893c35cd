// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"runtime"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// virtualClock is a clock that goes on only where everybody waits for it, and then to the time at which the first wait
// ends. So days pass in moments, and no call takes any time: what the limiter let go arrives at that very time.
type virtualClock struct {
	*clocktesting.FakeClock
	mu    sync.Mutex
	waits map[*virtualTimer]time.Time
}

func newVirtualClock() *virtualClock {
	return &virtualClock{
		FakeClock: clocktesting.NewFakeClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)),
		waits:     map[*virtualTimer]time.Time{},
	}
}

// virtualTimer is a timer whose end is known.
type virtualTimer struct {
	clock.Timer
	of *virtualClock
}

// NewTimer implements clock.Clock.
func (c *virtualClock) NewTimer(d time.Duration) clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &virtualTimer{c.FakeClock.NewTimer(d), c}
	c.waits[t] = c.Now().Add(d)
	return t
}

// After implements clock.Clock.
func (c *virtualClock) After(d time.Duration) <-chan time.Time { return c.NewTimer(d).C() }

// Stop implements clock.Timer.
func (t *virtualTimer) Stop() bool {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	delete(t.of.waits, t)
	return t.Timer.Stop()
}

// proceed lets time pass until the first wait ends, but not beyond a time. It says whether anything ended.
func (c *virtualClock) proceed(until time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, found := until, false
	for _, at := range c.waits {
		if !at.After(next) {
			next, found = at, true
		}
	}
	for t, at := range c.waits {
		if !at.After(next) {
			delete(c.waits, t)
		}
	}
	if now := c.Now(); next.Before(now) {
		next = now
	}
	c.SetTime(next)
	return found
}

// awaitRest waits, in real time, until both loops of the link that runs wait for the clock or for each other, and no
// call is under way. That is seen in their stacks: nothing else tells a call that is about to be made from a wait.
func awaitRest() {
	stacks := make([]byte, 1<<20)
	for {
		resting := 0
		for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			state, _, _ := strings.Cut(stack, "\n")
			if strings.Contains(stack, "link.(*Link).keep") && strings.Contains(state, "[select") &&
				!strings.Contains(stack, "net/http.") {
				resting++
			}
		}
		if resting == 2 {
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
}
