// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	testclock "k8s.io/utils/clock/testing"
)

func startTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC) }

func TestTimeOfArrivalIsStored(t *testing.T) {
	clk := testclock.NewFakeClock(startTime())
	r := startReceiver(t, func(o *Options) { o.Clock = clk })
	r.sendAt(clk, DefaultCallbackPath+"/"+testSecret, push("d"))
	later := clk.Now()
	r.sendAt(clk, DefaultCallbackPath+"/"+testSecret, "x")
	stored := storedIn(t, r.namespace)
	if len(stored.results) != 1 || stored.results[0].ReceivedAt != startTime().UnixMicro() {
		t.Errorf("stored %+v", stored.results)
	}
	if len(stored.rejected) != 1 || !stored.rejected[0].ReceiveTime.Time.Equal(later) {
		t.Errorf("stored %+v", stored.rejected)
	}
}

func TestNotStoredInTime(t *testing.T) {
	clk := testclock.NewFakeClock(startTime())
	r := startReceiver(t, func(o *Options) { o.Clock, o.Namespace = clk, "missing" })
	got := make(chan reply, 1)
	failed := make(chan error, 1)
	go func() {
		answer, err := r.try("POST", DefaultCallbackPath+"/"+testSecret, push("d"))
		got <- answer
		failed <- err
	}()
	waiting := func() bool { return r.metric("fwupgrade_webhook_queue_entries") == 1 }
	eventually(t, "the push waits", waiting)
	eventually(t, "the push is taken", func() bool { clk.Step(batchDelay); return !waiting() })
	eventually(
		t,
		"an attempt failed",
		func() bool { return r.metric("fwupgrade_webhook_commit_errors_total", "not_found") > 0 },
	)
	select {
	case answer := <-got:
		t.Fatalf("was answered at once: %+v", answer)
	default:
	}
	eventually(t, "the push is answered", func() bool { clk.Step(StoreDeadline); return len(got) == 1 })
	answer := <-got
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if answer.status != 503 || answer.header.Get("Retry-After") != "5" ||
		!strings.HasPrefix(answer.body, `{"error":"could not be stored`) {
		t.Errorf("got %d %s %v", answer.status, answer.body, answer.header)
	}
	if n := r.metric("fwupgrade_webhook_notifications_total", "not_stored"); n != 1 {
		t.Errorf("counted %v times", n)
	}
	if n := strings.Count(r.logs.text(), "Could not store results"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, r.logs.text())
	}
}

func TestOrderOfStopping(t *testing.T) {
	clk := testclock.NewFakeClock(startTime())
	file, registry := writeFile(t, "secrets", testSecret), prometheus.NewRegistry()
	o := Options{
		BindAddress: "127.0.0.1:0", SecretsFile: file, Namespace: makeNamespace(t), Config: cluster.Config(),
		Clock: clk, DrainDuration: time.Minute, Registerer: registry,
	}
	receiver, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if receiver.Ready(nil) == nil || receiver.Addr() != nil {
		t.Error("is ready before it listens")
	}
	if receiver.NeedLeaderElection() {
		t.Error("needs to be the leader")
	}
	r := run(t, receiver, registry, &logBook{})
	path := DefaultCallbackPath + "/" + testSecret
	if err := r.Ready(nil); err != nil {
		t.Errorf("is not ready: %v", err)
	}
	if got := r.sendAt(clk, path, push("before")); got.status != 200 || got.header.Get("Connection") == "close" {
		t.Errorf("before: %d %s", got.status, got.header)
	}

	r.stop()
	eventually(t, "readiness fails", func() bool { return r.Ready(nil) != nil })
	for range 3 {
		if got := r.sendAt(clk, path, push("while draining")); got.status != 200 || got.body != `{"result":"recorded"}` {
			t.Errorf("while draining: %d %s", got.status, got.body)
		}
	}
	select {
	case err := <-r.ended:
		t.Fatalf("ended during the drain: %v", err)
	default:
	}

	eventually(t, "it ends after the drain", func() bool { clk.Step(o.DrainDuration); return len(r.ended) == 1 })
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := r.try("POST", path, push("after")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
	devices := map[string]bool{}
	for _, stored := range storedIn(t, r.namespace).results {
		devices[stored.DeviceID] = true
	}
	if !devices["before"] || !devices["while draining"] {
		t.Errorf("stored %v", devices)
	}
}

func TestPushInFlightIsAnsweredWhenStopping(t *testing.T) {
	release := make(chan struct{})
	api := &gate{release: release}
	o := Options{
		BindAddress: "127.0.0.1:0", AllowAnonymous: true, Namespace: "default", Config: cluster.Config(),
	}
	receiver, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	receiver.committer.store = api
	r := run(t, receiver, prometheus.NewRegistry(), &logBook{})
	got := make(chan reply, 1)
	go func() {
		answer, err := r.try("POST", DefaultCallbackPath, push("d"))
		if err != nil {
			t.Errorf("the push failed: %v", err)
		}
		got <- answer
	}()
	eventually(t, "the slice is being written", func() bool { return api.calls() == 1 })
	r.stop()
	eventually(t, "the listener is closed", func() bool {
		connection, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.Addr().String())
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	})
	select {
	case <-got:
		t.Fatal("was answered before it was stored")
	case err := <-r.ended:
		t.Fatalf("ended before the push was answered: %v", err)
	default:
	}
	close(release)
	if answer := <-got; answer.status != http.StatusOK {
		t.Errorf("got %+v", answer)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if results, _ := api.stored(); results["d"] != 1 {
		t.Errorf("stored %v", results)
	}
}

func TestStartFailsWhereAnotherListens(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	receiver, err := New(Options{
		BindAddress: listener.Addr().String(), AllowAnonymous: true, Namespace: "default", Config: cluster.Config(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	if receiver.Ready(nil) == nil {
		t.Error("is ready")
	}
}
