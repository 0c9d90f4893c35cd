// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

// none says that nothing was received.
func none() int64 { return 0 }

func object(n int) types.NamespacedName { return types.NamespacedName{Name: fmt.Sprint(n)} }

func TestThrottleKeepsThePeriodOfAnObject(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	th := newThrottle(newBucket(990, none, clock), time.Second, clock)
	if wait := th.wait(object(1)); wait != 0 {
		t.Errorf("the first write waits %s", wait)
	}
	clock.Step(300 * time.Millisecond)
	if wait := th.wait(object(1)); wait != 700*time.Millisecond {
		t.Errorf("the second write: want 700ms, got %s", wait)
	}
	if wait := th.wait(object(2)); wait != 0 {
		t.Errorf("another object waits %s", wait)
	}
	clock.Step(700 * time.Millisecond)
	if wait := th.wait(object(1)); wait != 0 {
		t.Errorf("it is its turn, but it waits %s", wait)
	}
}

func TestThrottleSharesTheBucket(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	th := newThrottle(newBucket(9, none, clock), time.Second, clock)
	for n := range 5 {
		if wait, want := th.wait(object(n)), time.Duration(n)*time.Second/9; wait != want {
			t.Errorf("object %d: want %s, got %s", n, want, wait)
		}
	}
	// Asking again takes no further token, and news neither waits nor makes others wait.
	if wait := th.wait(object(4)); wait != 4*time.Second/9 {
		t.Errorf("an object that waits: want 444ms, got %s", wait)
	}
	if wait := th.waitForNews(object(9)); wait != 0 {
		t.Errorf("news waits %s", wait)
	}
	if wait := th.wait(object(5)); wait != 5*time.Second/9 {
		t.Errorf("after news: want 556ms, got %s", wait)
	}
	th.waitForNews(object(4)) // it had a token
	if wait := th.wait(object(6)); wait != 6*time.Second/9 {
		t.Errorf("after news of an object that waited: want 667ms, got %s", wait)
	}
}

// In a backlog, the bucket fills more slowly, news waits for a token, too, and nobody gets a turn far away.
func TestThrottleInABacklog(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	received := int64(0)
	b := newBucket(100, func() int64 { return received }, clock)
	th := newThrottle(b, 0, clock)
	second := func(results int64, objects int) (written int) {
		clock.Step(time.Second)
		received += results
		b.hasBacklog() // the second is counted
		for n := range objects {
			if th.waitForNews(object(n)) == 0 {
				written++
			}
		}
		return written
	}
	second(1000, 0)
	if b.hasBacklog() {
		t.Error("what the platform pushes is taken for a backlog")
	}
	second(20_000, 200)
	if got := second(20_000, 200); got < 8 || got > 12 {
		t.Errorf("at ten times the rate of a backlog: want a tenth of 100 writes, got %d", got)
	}
	second(1_000_000, 200)
	if got := second(1_000_000, 200); got != leastWrites {
		t.Errorf("want %d writes at least, got %d", leastWrites, got)
	}
	if wait := th.waitForNews(object(1)); wait != backlogRetry {
		t.Errorf("without a token: want %s, got %s", backlogRetry, wait)
	}
	second(0, 0)
	if wait := th.waitForNews(object(1)); wait != 0 {
		t.Errorf("after the backlog, news waits %s", wait)
	}
}
