// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// crowd is a task of many devices, which run at the same pace or not.
func crowd(devices int) northbound.Options {
	return northbound.Options{Tasks: []northbound.TaskSpec{
		{OperationID: "task", Count: devices, StartsIn: northbound.Duration(time.Minute)},
	}}
}

func TestPushesAreDiscarded(t *testing.T) {
	o := crowd(9) // one less than blacklists
	f := start(t, o)
	r := newReceiver(t)
	r.answer = func(n int) int { return []int{200, 500, 201, 200, 404, 204, 302, 200, 200}[n] }
	f.subscribe(resultNotify, r.path())
	f.pass(time.Hour)
	if r.count() != 9 {
		t.Errorf("%d pushes, want 9: none is repeated", r.count())
	}
	got := f.Report().Pushes
	want := northbound.PushCounts{
		Due: 9, Sent: 9, Delivered: 4, Discarded: 5,
		Answers: map[string]int{"200": 4, "500": 1, "201": 1, "404": 1, "204": 1, "302": 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in the ledger (-want +got):\n%s", diff)
	}
	delivered, discarded := 0, 0
	for _, d := range f.truth("task").Devices {
		delivered += d.Results.Delivered
		discarded += d.Results.Discarded
	}
	if delivered != 4 || discarded != 5 {
		t.Errorf("by device: %d delivered, %d discarded", delivered, discarded)
	}
}

func TestBlacklist(t *testing.T) {
	o := crowd(40)
	o.Push = northbound.PushOptions{Concurrency: 1}
	o.Devices = northbound.DeviceOptions{UpgradeTime: time.Second}
	f := start(t, o)
	r := newReceiver(t)
	r.answer = func(n int) int {
		if n < 11 { // ten blacklist the host, the eleventh is the try three minutes later
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
	f.subscribe(resultNotify, r.path())
	f.pass(time.Minute + 10*time.Second)
	if got := f.Report().Pushes; r.count() != 10 || got.Blacklistings != 1 || got.Waiting != 30 {
		t.Errorf("%d pushes to a host that fails, then: %+v", r.count(), got)
	}
	f.pass(3*time.Minute - time.Second)
	if r.count() != 10 {
		t.Errorf("%d pushes to a host that is blacklisted, want 10", r.count())
	}
	f.pass(time.Second)
	if got := f.Report().Pushes; r.count() != 11 || got.Blacklistings != 2 {
		t.Errorf("%d pushes, want one to try the host; %+v", r.count(), got)
	}
	f.pass(3 * time.Minute)
	for range 40 { // the backlog goes out at 800 a second
		f.pass(2 * time.Millisecond)
	}
	if got := f.Report().Pushes; r.count() != 40 || got.Delivered != 29 || got.Discarded != 11 || got.Waiting != 0 {
		t.Errorf("%d pushes when the host answers, want 40: %+v", r.count(), got)
	}
}

func TestBacklogOfADay(t *testing.T) {
	o := crowd(20)
	o.Push = northbound.PushOptions{Concurrency: 1, BlacklistDuration: 25 * time.Hour}
	o.Devices = northbound.DeviceOptions{UpgradeTime: time.Second}
	f := start(t, o)
	r := newReceiver(t)
	r.answer = func(n int) int {
		if n < 10 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
	f.subscribe(resultNotify, r.path())
	f.pass(time.Minute + 10*time.Second)
	f.pass(25 * time.Hour)
	f.pass(time.Second)
	if got := f.Report().Pushes; r.count() != 10 || got.Discarded != 20 || got.Waiting != 0 {
		t.Errorf("%d pushes, want 10: what waits for over a day is given up: %+v", r.count(), got)
	}
}

func TestPushTimeout(t *testing.T) {
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(release)
	o := crowd(2)
	o.Push.Timeout = 50 * time.Millisecond
	f := start(t, o)
	f.subscribe(resultNotify, slow.URL+"/hook")
	f.pass(time.Hour)
	if diff := cmp.Diff(map[string]int{"timeout": 2}, f.Report().Pushes.Answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestPushOverTLS(t *testing.T) {
	var presented int
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		presented += len(r.TLS.PeerCertificates)
	}))
	secure.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	defer secure.Close()
	pair, _ := clientCertificate(t)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	for name, tc := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"trusted":   {config, "200"},
		"untrusted": {nil, "connection broken"},
	} {
		o := crowd(1)
		o.Push.TLS = tc.config
		f := start(t, o)
		f.subscribe(resultNotify, secure.URL+"/hook")
		f.pass(time.Hour)
		if diff := cmp.Diff(map[string]int{tc.want: 1}, f.Report().Pushes.Answers); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if presented != 1 {
		t.Errorf("%d client certificates were presented, want 1", presented)
	}
}

func TestNobodySubscribed(t *testing.T) {
	f := start(t, crowd(3))
	r := newReceiver(t)
	f.subscribe(stateChangeNotify, r.path())
	f.pass(time.Hour)
	if got := f.Report().Pushes; got.Unsubscribed != 3 || got.Due != 0 || r.count() != 0 {
		t.Errorf("with a subscription to another type: %+v", got)
	}
}

func TestTwoReceivers(t *testing.T) {
	f := start(t, crowd(3))
	f.faults(northbound.Faults{SubscribeAgain: northbound.SubscribeAgainAdds})
	first, second := newReceiver(t), newReceiver(t)
	first.answer = func(int) int { return http.StatusInternalServerError }
	f.subscribe(resultNotify, first.path())
	f.subscribe(resultNotify, second.path())
	f.pass(time.Hour)
	if first.count() != 3 || second.count() != 3 {
		t.Errorf("%d and %d pushes, want 3 each", first.count(), second.count())
	}
}
