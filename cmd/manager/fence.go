// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
)

const (
	// leaseDuration is how long after a renewal nobody else takes the leader's lease.
	leaseDuration = 15 * time.Second
	// fenceMargin is how much earlier this process takes its lease to be over: what it sends then is still to arrive.
	fenceMargin = 3 * time.Second
)

// errMayNotLead is the error of what only the leader writes.
var errMayNotLead = errors.New("another process may lead by now")

// fence says whether this process leads for certain, and lets nothing be written by the controllers while it does not.
// One that stood still (a suspended machine, no processor) goes on for some seconds, until it finds that it can't renew
// its lease, while another one leads: it would bring back what that one has purged, and tell what is not so any more.
type fence struct {
	clock clock.PassiveClock
	// renewed is when the last renewal of the lease began that succeeded, in nanoseconds since 1970-01-01 UTC.
	renewed atomic.Int64
}

// leads says whether the lease is this process's for certain. It goes by the wall clock: the monotonic one stands still
// with a suspended machine.
func (f *fence) leads() bool {
	return f.clock.Now().UnixNano()-f.renewed.Load() < int64(leaseDuration-fenceMargin)
}

// observe notes the renewals among the requests that a transport makes for the leader election: those of the lease, not
// the Events about it.
func (f *fence) observe(next http.RoundTripper) http.RoundTripper {
	return observedTransport{f, next}
}

// guard refuses writes among the requests that a transport makes for the controllers.
func (f *fence) guard(next http.RoundTripper) http.RoundTripper {
	return guardedTransport{f, next}
}

type guardedTransport struct {
	fence *fence
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t guardedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet && !t.fence.leads() {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, errMayNotLead
	}
	return t.next.RoundTrip(request)
}

type observedTransport struct {
	fence *fence
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t observedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if !strings.Contains(request.URL.Path, "/leases") { // an Event about the lease
		return t.next.RoundTrip(request)
	}
	began, releases := t.fence.clock.Now().UnixNano(), isRelease(request)
	if releases {
		t.fence.renewed.Store(0)
	}
	response, err := t.next.RoundTrip(request)
	wrote := request.Method == http.MethodPut || request.Method == http.MethodPost
	if err == nil && wrote && !releases && response.StatusCode < http.StatusMultipleChoices {
		t.fence.renewed.Store(began)
	}
	return response, err
}

// isRelease says whether a request gives the lease up: it names no holder. What can't be read is taken for a renewal,
// as a leader that takes its renewals for releases would write nothing.
func isRelease(request *http.Request) bool {
	if request.GetBody == nil {
		return false
	}
	body, err := request.GetBody()
	if err != nil {
		return false
	}
	defer func() { _ = body.Close() }()
	lease := &coordinationv1.Lease{}
	return json.NewDecoder(body).Decode(lease) == nil && ptr.Deref(lease.Spec.HolderIdentity, "") == ""
}
