// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestBreaker has a platform fail for a day, and counts what it is called.
func TestBreaker(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"5xx":       always(http.StatusServiceUnavailable, ""),
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			c := connect(t, p)
			c.must("", c.list())
			p.set(nil, fail)
			for range 4 {
				_ = c.list()
			}
			p.set(nil, nil)
			c.must("", c.list()) // in between ends the row
			p.set(nil, fail)
			before := p.count(operationsPath)
			for i := range 5 {
				if e := c.list(); KindOf(e) == BreakerOpen || c.Status().Failures != i+1 {
					t.Fatalf("failure %d: %v, status %+v", i+1, e, c.Status())
				}
			}
			for _, open := range []int{30, 60, 120, 240, 480, 600, 600} {
				until := c.Status().BreakerOpenUntil
				if got := until.Sub(c.clock.Now()); got.Seconds() != float64(open) {
					t.Fatalf("open for %s, want %d s", got, open)
				}
				c.must(BreakerOpen, c.list())
				c.clock.SetTime(until.Add(-2 * time.Second))
				c.must(BreakerOpen, c.list())
				if e := c.list(); KindOf(e) == BreakerOpen { // one more second
					t.Errorf("no call after %d s: %v", open, e)
				}
			}
			if got := p.count(operationsPath) - before; got != 5+7 {
				t.Errorf("%d calls, want five and one for each time", got)
			}
			c.clock.SetTime(c.Status().BreakerOpenUntil)
			p.set(nil, nil)
			c.must("", c.list())
			if s := c.Status(); s.Failures != 0 || !s.BreakerOpenUntil.IsZero() {
				t.Errorf("closed, but %+v", s)
			}
		})
	}
}

// TestTaskOfTrouble holds that a platform that fails with some tasks is called for the others, and that one that fails
// with everything is left alone all the same.
func TestTaskOfTrouble(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	troubles := func(n int) {
		t.Helper()
		for range n {
			c.clock.Step(time.Second)
			_, err := c.Task(t.Context(), "bad", PriorityRound)
			c.must(Unexpected, err)
			_, err = c.SubTasks(t.Context(), "bad", "", 0, PriorityRound)
			c.must(Unexpected, err)
		}
	}
	only := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != operationsPath {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	p.set(nil, only)
	troubles(2 * breakerFailures)
	if s := c.Status(); s.Failures != 0 || !s.BreakerOpenUntil.IsZero() {
		t.Fatalf("by tasks alone: %+v", s)
	}
	p.set(nil, always(http.StatusInternalServerError, ""))
	for i := range breakerFailures { // between which calls for tasks end no row
		troubles(1)
		c.must(Unexpected, c.list())
		if got := c.Status().Failures; got != i+1 {
			t.Fatalf("%d failures, want %d", got, i+1)
		}
	}
	_, err := c.Task(t.Context(), "bad", PriorityRound)
	c.must(BreakerOpen, err)
	c.clock.SetTime(c.Status().BreakerOpenUntil)
	troubles(1)
	if s := c.Status(); s.Failures != breakerFailures {
		t.Errorf("a task's failure closed it: %+v", s)
	}
	c.must(Unexpected, c.list())
	c.must(BreakerOpen, c.list())
	if got := c.Status().BreakerOpenUntil.Sub(c.clock.Now()); got < breakerFirst {
		t.Errorf("open for %s, want twice as long as at first", got)
	}
	p.set(nil, nil)
	c.clock.SetTime(c.Status().BreakerOpenUntil)
	c.must("", c.list())
	p.set(nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range breakerFailures {
		_, err := c.Task(t.Context(), "bad", PriorityRound)
		c.must(Unreachable, err)
	}
	_, err = c.Task(t.Context(), "bad", PriorityRound)
	c.must(BreakerOpen, err) // without an answer it is no task's trouble
}

// TestCorrected has a platform work again while it is left alone: something corrected has one call try it.
func TestCorrected(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.must("", c.list())
	p.set(nil, always(http.StatusServiceUnavailable, ""))
	for range 5 {
		_ = c.list()
	}
	c.must(BreakerOpen, c.list())
	c.Corrected()
	c.must(Unexpected, c.list())
	c.must(BreakerOpen, c.list())
	p.set(nil, nil)
	c.Corrected()
	c.must("", c.list())
	c.must("", c.list())
}

// TestOneTries holds that of many calls one tries whether the platform works again.
func TestOneTries(t *testing.T) {
	b := &breaker{}
	now := time.Now()
	var attempts []attempt
	for range 8 {
		a, ok := b.begin(now)
		if !ok {
			t.Fatal("closed, but lets nothing go")
		}
		attempts = append(attempts, a)
	}
	for _, a := range attempts { // all of them began before it opened
		a.failed(now)
	}
	if _, until, _ := b.state(now); !until.Equal(now.Add(30 * time.Second)) {
		t.Errorf("open until %s, want 30 s", until)
	}
	now = now.Add(30 * time.Second)
	trial, ok := b.begin(now)
	if _, another := b.begin(now); !ok || another {
		t.Errorf("one may try: %t, another one: %t", ok, another)
	}
	trial.abandoned()
	if trial, ok = b.begin(now); !ok {
		t.Fatal("the one that tried gave up, and no other one may")
	}
	trial.succeeded()
	if open, _, failures := b.state(now); open || failures > 0 {
		t.Error("it works, but is open")
	}
}

// TestRefusalsAreNoFailures holds that a platform that says no works.
func TestRefusalsAreNoFailures(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	p.set(nil, always(http.StatusBadRequest, `{"error_code":"100022"}`))
	for range 10 {
		c.must(Refused, c.list())
	}
	if s := c.Status(); s.Failures != 0 {
		t.Errorf("%d failures", s.Failures)
	}
}

// TestBreakerOpensWhileCallsWait holds that calls that waited for their turn are not made when it comes.
func TestBreakerOpensWhileCallsWait(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(http.StatusServiceUnavailable, ""))
	c := connect(t, p, func(o *Options) { o.CallsPerMinute = 60 })
	c.must("", c.Login(t.Context()))
	c.patient()
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, _ = c.Tasks(ctx, TaskFilter{}, PriorityRound)
		})
	}
	all.Wait()
	// Eight may have been in flight; nine of the first burst were left.
	if got := p.count(operationsPath); got > 5+maxInFlight {
		t.Errorf("%d of 40 calls were made, want those before the breaker opened", got)
	}
}
