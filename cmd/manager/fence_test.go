// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// answers is a transport that takes a second and answers with a status.
type answers struct {
	clock  *clocktesting.FakeClock
	status int
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	a.clock.Step(time.Second)
	return &http.Response{StatusCode: a.status, Body: http.NoBody}, nil
}

func TestFence(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	f := &fence{clock: clk}
	if f.leads() {
		t.Error("it leads before it has the lease")
	}
	for _, c := range []struct {
		method string
		status int
		leads  bool
	}{
		{http.MethodPost, http.StatusConflict, false},
		{http.MethodGet, http.StatusOK, false},
		{http.MethodPost, http.StatusCreated, true},
		{http.MethodPut, http.StatusConflict, false},
		{http.MethodPut, http.StatusOK, true},
	} {
		clk.Step(leaseDuration)
		request, err := http.NewRequestWithContext(t.Context(), c.method, "https://api/lease", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := f.observe(answers{clk, c.status}).RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if f.leads() != c.leads {
			t.Errorf("%s, answered %d: leads is %t", c.method, c.status, f.leads())
		}
	}
	clk.Step(leaseDuration - fenceMargin - 2*time.Second) // a second was the request's
	if !f.leads() {
		t.Error("it does not lead, long before its lease is over")
	}
	clk.Step(2 * time.Second)
	if f.leads() {
		t.Error("it leads although its lease may be over when what it sends arrives")
	}
}
