// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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
		status := answer(n, string(body))
		n++
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/callback" || r.Header.Get("Content-Type") != "application/json" {
			status = http.StatusTeapot
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "an answer")
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func push(t *testing.T, plan *platform.Plan, address string, connections int) (*pushed, error) {
	t.Helper()
	requests, err := requestsOf(plan, address, "/callback")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPusher(t.Context(), address, connections)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	return p.push(t.Context(), requests)
}

func TestPushSendsEachOnce(t *testing.T) {
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
	done, err := push(t, plan, address, 7)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bodies, and how often each was pushed (-want +got):\n%s", diff)
	}
	if len(done.latencies) != 50 || done.took <= 0 {
		t.Errorf("%d latencies in %s, want 50", len(done.latencies), done.took)
	}
	for _, latency := range done.latencies {
		if latency <= 0 || latency > done.took {
			t.Errorf("a latency of %s within %s", latency, done.took)
		}
	}
}

func TestPushFailsOnRefusal(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	address := startCallback(t, func(n int, _ string) int {
		if n == 30 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	_, err := push(t, planOf(t, 50), address, 4)
	if err == nil || !strings.Contains(err.Error(), "answered 503") {
		t.Errorf("error %v, want one that says 503", err)
	}
}
