// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	clocktesting "k8s.io/utils/clock/testing"

	"fwupgrade.io/operator/test/harness"
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
		method, of string
		status     int
		leads      bool
	}{
		{http.MethodPost, "leases", http.StatusConflict, false},
		{http.MethodGet, "leases", http.StatusOK, false},
		{http.MethodPost, "events", http.StatusCreated, false},
		{http.MethodPost, "leases", http.StatusCreated, true},
		{http.MethodPut, "leases", http.StatusConflict, false},
		{http.MethodPut, "leases", http.StatusOK, true},
	} {
		clk.Step(leaseDuration)
		request, err := http.NewRequestWithContext(t.Context(), c.method, "https://api/"+c.of+"/x", http.NoBody)
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

// What the controllers write goes through the fence, and what they read does not; nothing does in a process that is
// never led by another one.
func TestWritesNeedTheLease(t *testing.T) {
	received := map[string]int{}
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received[r.Method]++ }))
	defer api.Close()
	clk := clocktesting.NewFakeClock(time.Now())
	lease := &fence{clock: clk}
	send := func(args []string, method string) error {
		t.Helper()
		o, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		mgr, err := newManager(o, &rest.Config{Host: api.URL}, time.Second, lease)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), method, api.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := mgr.GetHTTPClient().Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	methods := []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	for _, method := range methods {
		if err := send(nil, method); !errors.Is(err, errMayNotLead) {
			t.Errorf("%s without the lease: %v", method, err)
		}
	}
	if err := send(nil, http.MethodGet); err != nil || len(received) != 1 || received[http.MethodGet] == 0 {
		t.Errorf("without the lease: %v, the API server received %v", err, received)
	}
	for _, args := range [][]string{{"--leader-elect=false"}, {"--components=webhook"}} {
		if err := send(args, http.MethodPost); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	lease.renewed.Store(clk.Now().UnixNano())
	for _, method := range methods {
		if err := send(nil, method); err != nil {
			t.Errorf("%s with the lease: %v", method, err)
		}
	}
}

// A leader that gives its lease up does not lead from then on, by the requests that client-go makes.
func TestReleaseIsNoRenewal(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	f := &fence{clock: clk}
	config := rest.CopyConfig(admin)
	config.Wrap(f.observe)
	config.ContentType = runtime.ContentTypeJSON
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: harness.NewNamespace(t, k8s), Name: leaseName}, Client: leases,
	}
	now := metav1.Now()
	held := resourcelock.LeaderElectionRecord{
		HolderIdentity: "one", LeaseDurationSeconds: 15, AcquireTime: now, RenewTime: now,
	}
	if err := lock.Create(t.Context(), held); err != nil || !f.leads() {
		t.Errorf("acquired: %v, leads is %t", err, f.leads())
	}
	clk.Step(leaseDuration)
	if err := lock.Update(t.Context(), held); err != nil || !f.leads() {
		t.Errorf("renewed: %v, leads is %t", err, f.leads())
	}
	released := held
	released.HolderIdentity, released.LeaseDurationSeconds = "", 1
	if err := lock.Update(t.Context(), released); err != nil || f.leads() {
		t.Errorf("released: %v, leads is %t", err, f.leads())
	}
}
