// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func object(n int) types.NamespacedName { return types.NamespacedName{Name: fmt.Sprint(n)} }

func TestThrottleKeepsThePeriodOfAnObject(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	th := newThrottle(rate.NewLimiter(100, 100), time.Second, clock)
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
	th := newThrottle(rate.NewLimiter(10, 1), time.Second, clock)
	for n := range 5 {
		if wait, want := th.wait(object(n)), time.Duration(n)*100*time.Millisecond; wait != want {
			t.Errorf("object %d: want %s, got %s", n, want, wait)
		}
	}
	// Asking again takes no further token, and news neither waits nor is held against who waits already.
	if wait := th.wait(object(4)); wait != 400*time.Millisecond {
		t.Errorf("an object that waits: want 400ms, got %s", wait)
	}
	th.writeNow(object(9))
	if wait := th.wait(object(5)); wait != 600*time.Millisecond {
		t.Errorf("after news: want 600ms, got %s", wait)
	}
	th.writeNow(object(4)) // it had a token
	if wait := th.wait(object(6)); wait != 700*time.Millisecond {
		t.Errorf("after news of an object that waited: want 700ms, got %s", wait)
	}
}
