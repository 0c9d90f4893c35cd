// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"fwupgrade.io/operator/hack/simulator/platform"
)

func planOf(t *testing.T, devices int) *platform.Plan {
	t.Helper()
	plan, err := platform.NewPlan(platform.PlanOptions{Devices: devices, Tasks: 2, Fail: 0.2})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// startCallback serves a callback that answers the push with the number n, from 0, with what answer returns.
func startCallback(t *testing.T, answer func(n int, body string) int) (address string) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		n++
		status := answer(n-1, string(body))
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/callback" ||
			r.Header.Get("Content-Type") != "application/json" {
			status = http.StatusTeapot
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "an answer")
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// push pushes the plan over so many connections; with perSecond 0 in a closed loop.
func push(t *testing.T, plan *platform.Plan, address string, connections, perSecond int, strict bool) (pushed, error) {
	t.Helper()
	requests, err := requestsOf(plan, address, "/callback")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPusher(t.Context(), address, connections, strict)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	return p.push(t.Context(), requests, perSecond)
}

func TestPushSendsEachOnce(t *testing.T) {
	cases := map[string]struct {
		connections, perSecond int
		interval               time.Duration
	}{
		"closed loop":                   {connections: 7},
		"open loop":                     {connections: 7, perSecond: 5000, interval: 200 * time.Microsecond},
		"open loop with one connection": {connections: 1, perSecond: 10_000, interval: 100 * time.Microsecond},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { goleak.VerifyNone(t) })
			plan := planOf(t, 50)
			want, got := map[string]int{}, map[string]int{}
			for i := range plan.Len() {
				body, err := plan.Body(i)
				if err != nil {
					t.Fatal(err)
				}
				want[string(body)] = 1
			}
			address := startCallback(t, func(_ int, body string) int {
				got[body]++
				return http.StatusOK
			})
			done, err := push(t, plan, address, c.connections, c.perSecond, true)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("bodies, and how often each was pushed (-want +got):\n%s", diff)
			}
			if len(done) != 50 || len(done.latencies()) != 50 {
				t.Fatalf("%d answers, %d latencies, want 50", len(done), len(done.latencies()))
			}
			for i, a := range done {
				if a.left.Before(a.due) || !a.at.After(a.left) || a.latency() > done.took() {
					t.Errorf("push %d was due %s, left %s and was answered %s", i, a.due, a.left, a.at)
				}
				if due := done[0].due.Add(time.Duration(i) * c.interval); c.interval > 0 && !a.due.Equal(due) {
					t.Errorf("push %d was due %s after the first, want %s", i, a.due.Sub(done[0].due), due.Sub(done[0].due))
				}
			}
		})
	}
}

// TestOpenLoopDoesNotWait answers the first push only when a later one has come: nothing but an open loop gets there.
func TestOpenLoopDoesNotWait(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	var arrived atomic.Int64
	later := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch arrived.Add(1) {
		case 1:
			select {
			case <-later:
			case <-r.Context().Done():
			}
		case 20:
			close(later)
		}
	}))
	t.Cleanup(server.Close)
	done, err := push(t, planOf(t, 30), server.Listener.Addr().String(), 2, 10_000, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(done.latencies()); got != 30 {
		t.Errorf("%d answers, want 30", got)
	}
}

func TestRefusals(t *testing.T) {
	unavailable := func(n int, _ string) int {
		if n%10 == 3 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
	t.Run("fail a strict side", func(t *testing.T) {
		t.Cleanup(func() { goleak.VerifyNone(t) })
		_, err := push(t, planOf(t, 50), startCallback(t, unavailable), 4, 0, true)
		if err == nil || !strings.Contains(err.Error(), "answered 503") {
			t.Errorf("error %v, want one that says 503", err)
		}
	})
	t.Run("are counted of another", func(t *testing.T) {
		t.Cleanup(func() { goleak.VerifyNone(t) })
		done, err := push(t, planOf(t, 50), startCallback(t, unavailable), 4, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if refused, ok := done.count(answer.refused), done.count(answer.ok); refused != 5 || ok != 45 {
			t.Errorf("%d refused, %d answered 200, want 5 and 45", refused, ok)
		}
	})
}

// TestBrokenConnections breaks some connections instead of answering: they are counted and replaced.
func TestBrokenConnections(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	address := startCallback(t, func(n int, _ string) int {
		if n%10 == 3 {
			panic(http.ErrAbortHandler)
		}
		return http.StatusOK
	})
	done, err := push(t, planOf(t, 50), address, 2, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if refused := done.count(func(a answer) bool { return a.status == statusNoReply }); refused != 5 {
		t.Errorf("%d without an answer, want 5", refused)
	}
	if _, err := push(t, planOf(t, 50), address, 2, 0, true); err == nil {
		t.Error("a strict side broke a connection without an error")
	}
}
