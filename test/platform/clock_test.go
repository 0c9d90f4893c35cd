// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"fwupgrade.io/operator/test/harness"
)

// steppedClock is the clock of the controllers and of the platform: the real one, and so much ahead. Timers fire when
// the time that they wait for is stepped over. Tickers go by the real time: nothing here waits for one.
type steppedClock struct {
	clock.RealClock
	mu     sync.Mutex
	ahead  time.Duration
	timers map[*steppedTimer]struct{}
}

func newSteppedClock() *steppedClock { return &steppedClock{timers: map[*steppedTimer]struct{}{}} }

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

// now is Now for those who hold the lock.
func (c *steppedClock) now() time.Time { return c.RealClock.Now().Add(c.ahead) }

func (c *steppedClock) Since(at time.Time) time.Duration { return c.Now().Sub(at) }

func (c *steppedClock) After(d time.Duration) <-chan time.Time { return c.NewTimer(d).C() }

func (c *steppedClock) NewTimer(d time.Duration) clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for t := range c.timers { // of some nobody says that they are not waited for any more
		if t.due.Before(now) {
			delete(c.timers, t)
		}
	}
	t := &steppedTimer{clock: c, Timer: c.RealClock.NewTimer(d), due: now.Add(d)}
	c.timers[t] = struct{}{}
	return t
}

// step makes it so much later at once.
func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	now := c.now()
	for t := range c.timers {
		if t.Timer.Stop() { // it has not fired
			t.Timer.Reset(max(0, t.due.Sub(now)))
		}
	}
}

// steppedTimer is a timer of a steppedClock.
type steppedTimer struct {
	clock.Timer
	clock *steppedClock
	due   time.Time
}

func (t *steppedTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
	return t.Timer.Stop()
}

func (t *steppedTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.due = t.clock.now().Add(d)
	t.clock.timers[t] = struct{}{}
	return t.Timer.Reset(d)
}

// Timers fire when their time was stepped over, once, and not before.
func TestSteppedTimers(t *testing.T) {
	c := newSteppedClock()
	began := c.Now()
	after, timer := c.After(time.Hour), c.NewTimer(2*time.Hour)
	stopped, reset := c.NewTimer(time.Hour), c.NewTimer(time.Hour)
	if !stopped.Stop() {
		t.Error("a timer that waits can't be stopped")
	}
	reset.Reset(4 * time.Hour)
	fired := func(timer <-chan time.Time) bool {
		select {
		case <-timer:
			return true
		default:
			return false
		}
	}
	step := func(d time.Duration, want string) {
		t.Helper()
		c.step(d)
		time.Sleep(20 * time.Millisecond) // those that should not fire have time to
		for name, timer := range map[string]<-chan time.Time{
			"after": after, "timer": timer.C(), "stopped": stopped.C(), "reset": reset.C(),
		} {
			if name == want {
				harness.Eventually(t, func() string {
					if !fired(timer) {
						return name + " does not fire"
					}
					return ""
				})
			}
			if fired(timer) {
				t.Errorf("%s fires after %s", name, c.Since(began))
			}
		}
	}
	step(59*time.Minute, "")
	step(time.Minute, "after")
	step(time.Hour, "timer")
	step(90*time.Minute, "")
	step(time.Hour, "reset")
	if later := c.Since(began); later < 4*time.Hour+30*time.Minute {
		t.Errorf("it is %s later", later)
	}
}
