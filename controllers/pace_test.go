// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"math"
	"testing"
	"time"

	"golang.org/x/time/rate"
	clocktesting "k8s.io/utils/clock/testing"

	"fwupgrade.io/operator/test/harness"
)

func TestRestAfter(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0:              0,
		busyWrite / 4:  busyWrite / 16,
		busyWrite:      busyWrite,
		2 * busyWrite:  4 * busyWrite,
		10 * busyWrite: 10 * maxRests * busyWrite,
		time.Minute:    maxRest,
	} {
		if got := restAfter(took); got != want {
			t.Errorf("after a write of %s: want %s, got %s", took, want, got)
		}
	}
}

// TestLimits has fewer statuses and Events written when results come faster than a platform pushes them, and as many as before
// once they don't.
func TestLimits(t *testing.T) {
	clock := clocktesting.NewFakeClock(first)
	p := newPace(150, clock)
	for i, step := range []struct {
		results int
		want    rate.Limit
	}{{800, 150}, {1000, 150}, {3000, 50}, {1_000_000, minWrites}, {0, 150}} {
		p.received(step.results)
		clock.Step(time.Second)
		if err := p.awaitStatusWrite(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := p.events.Limit(), max(minWrites, step.want*eventsPerSecond/150); math.Abs(float64(got-want)) > 1e-9 {
			t.Errorf("step %d: after %d results a second %v Events may be created, want %v", i, step.results, got, want)
		}
		if got, want := p.hasBacklog(), step.results > calmResults; got != want {
			t.Errorf("step %d: after %d results a second there is a backlog: %t", i, step.results, got)
		}
		if got := p.statusWrites.Limit(); got != step.want {
			t.Errorf("step %d: after %d results a second %v statuses may be written, want %v", i, step.results, got, step.want)
		}
	}
	if got := writeLimit(2, 1e6); got != 2 {
		t.Errorf("the least limit is %v, not the flag's 2", got)
	}
}

// A writer rests after a slow write, which is how it notices that the API server is busy.
func TestWritersRest(t *testing.T) {
	clock := clocktesting.NewFakeClock(first)
	p := newPace(1000, clock)
	done := make(chan error)
	go func() {
		done <- p.write(t.Context(), func() error { clock.Step(busyWrite); return errKilled })
	}()
	harness.Eventually(t, func() string {
		if !clock.HasWaiters() {
			return "the writer does not rest"
		}
		return ""
	})
	clock.Step(busyWrite - 1)
	select {
	case err := <-done:
		t.Errorf("the writer rested for too short: %v", err)
	default:
	}
	clock.Step(1)
	if err := <-done; err != errKilled { //nolint:errorlint // it must come as it is
		t.Errorf("want the write's error, got %v", err)
	}

	if err := p.write(t.Context(), func() error { return nil }); err != nil {
		t.Errorf("a write that took no time: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	if err := p.write(ended, func() error { clock.Step(time.Hour); cancel(); return nil }); err != nil {
		t.Errorf("a write during which the leader ended: %v", err)
	}
}
