// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBlacklist(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := Blacklist{After: 10, Duration: 3 * time.Minute}
	admitted := func(now time.Time, inFlight int) bool { ok, _ := b.Admits(now, inFlight); return ok }

	for range 9 {
		b.Failed(start)
	}
	if b.Succeeded(start) {
		t.Error("a 200 cleared a host that was not blacklisted")
	}
	for range 9 {
		b.Failed(start)
	}
	if !admitted(start, 100) {
		t.Error("blacklisted after nine failures in a row")
	}
	b.Failed(start)
	b.Failed(start) // was under way
	b.Succeeded(start)
	if ok, at := b.Admits(start.Add(3*time.Minute-1), 0); ok || !at.Equal(start.Add(3*time.Minute)) {
		t.Errorf("admitted %t, or at %s, while blacklisted", ok, at)
	}
	retry := start.Add(3 * time.Minute)
	if !admitted(retry, 0) || admitted(retry, 1) {
		t.Error("want exactly one push to try the host")
	}
	b.Failed(retry)
	if admitted(retry, 0) {
		t.Error("admitted although the trial failed")
	}
	again := retry.Add(3 * time.Minute)
	if !b.Succeeded(again) || !admitted(again, 100) {
		t.Error("not cleared by a 200")
	}
	if b.times != 2 {
		t.Errorf("blacklisted %d times, want 2", b.times)
	}
}

func TestScheduleDrainsTheBacklogFirst(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := schedule{
		total: 100, limit: 1, start: now, interval: 100 * time.Millisecond, retryDelay: time.Second,
		backlogGap: 10 * time.Millisecond,
		blacklist:  Blacklist{After: 2, Duration: 2 * time.Second},
	}
	var order []int
	// step advances to the time at which the schedule wants to push and answers that push.
	step := func(delivered bool) time.Duration {
		t.Helper()
		began := now
		for {
			number, at, ok, done := s.take(now)
			if done {
				t.Fatal("done too early")
			}
			if ok {
				order = append(order, number)
				s.answered(now, number, delivered)
				return now.Sub(began)
			}
			now = at
		}
	}
	step(true)
	step(false)
	step(false) // blacklists the host at 0.2 s until 2.2 s
	step(true)  // tries it: everything that fell due before 2.2 s is backlog
	var gaps []time.Duration
	for range 21 {
		gaps = append(gaps, step(true))
	}
	// The retries fell due at 1.1 and 1.2 s, among the fresh ones.
	want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 11, 2, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if gaps[5] != 10*time.Millisecond || gaps[20] == 10*time.Millisecond {
		t.Errorf("pauses: %v, want 10 ms within the backlog and more after it", gaps)
	}
	if s.retried != 2 {
		t.Errorf("retried %d, want 2", s.retried)
	}
}

// receiver is a callback that answers by script: the status of the n-th push, 200 beyond the script.
type receiver struct {
	mu     sync.Mutex
	script []int
	count  int
	stored map[string]int // deviceId/status → how often it was answered 200
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var body struct{ DeviceID, Status, NotifyType string }
	err := json.NewDecoder(request.Body).Decode(&body)
	r.mu.Lock()
	defer r.mu.Unlock()
	status := http.StatusOK
	if r.count < len(r.script) {
		status = r.script[r.count]
	}
	r.count++
	if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/json" {
		status = http.StatusBadRequest
	}
	if status == http.StatusOK {
		if r.stored == nil {
			r.stored = map[string]int{}
		}
		r.stored[body.DeviceID+"/"+body.Status]++
	}
	w.WriteHeader(status)
}

func push(t *testing.T, handler http.Handler, plan *Plan, o PushOptions) *Report {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	o.URL = server.URL + "/v1.0.0/messageReceiver/secret-in-the-path"
	report, err := Push(t.Context(), plan, o)
	if err != nil {
		t.Fatal(err)
	}
	var text, asJSON bytes.Buffer
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteJSON(&asJSON); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String()+asJSON.String(), "secret") {
		t.Errorf("the report has the secret:\n%s\n%s", text.String(), asJSON.String())
	}
	return report
}

func TestPushDeliversThePlan(t *testing.T) {
	plan := mustPlan(t, PlanOptions{
		Devices: 500, Tasks: 5, Fail: 0.1, Retries: 0.5, StateChanges: 0.2, Duplicates: 0.1, Reorder: 10,
	})
	r := &receiver{}
	report := push(t, r, plan, PushOptions{Concurrency: 8})
	if !report.Complete || report.Delivered != plan.Len() || report.Sent != plan.Len() {
		t.Errorf("delivered %d of %d by %d pushes", report.Delivered, plan.Len(), report.Sent)
	}
	if diff := cmp.Diff(plan.Counts(nil), report.Counts); diff != "" {
		t.Errorf("counts (-plan +report):\n%s", diff)
	}
	total, succeeded, failed := 0, 0, 0
	for key, times := range r.stored {
		total += times
		if strings.HasSuffix(key, "/SUCCESS") {
			succeeded++
		}
		if strings.HasSuffix(key, "/FAIL") {
			failed++
		}
	}
	if total != plan.Len() || succeeded != 475 || failed != 50 {
		t.Errorf("the receiver got %d pushes, %d devices succeeded, %d failed; want %d, 475, 50",
			total, succeeded, failed, plan.Len())
	}
}

func refusals(n int) []int {
	script := make([]int, n)
	for i := range script {
		script[i] = http.StatusServiceUnavailable
	}
	return script
}

func TestPushBlacklists(t *testing.T) {
	cases := map[string]struct {
		script        []int
		discard       bool
		delivered     int
		sent          int
		blacklistings int
	}{
		"nine failures are pushed again":            {script: refusals(9), delivered: 40, sent: 49},
		"the tenth in a row blacklists":             {script: refusals(10), delivered: 40, sent: 50, blacklistings: 1},
		"a failed trial does so again":              {script: refusals(11), delivered: 40, sent: 51, blacklistings: 2},
		"what failed is discarded, if told so":      {script: refusals(10), discard: true, delivered: 30, sent: 40, blacklistings: 1},
		"a 200 between is no row":                   {script: append(append(refusals(9), 200), refusals(9)...), delivered: 40, sent: 58},
		"anything but 200 is a failure":             {script: []int{201, 204, 302, 404, 500}, delivered: 40, sent: 45},
		"discarded without a row are not retried":   {script: refusals(3), discard: true, delivered: 37, sent: 40},
		"a redirect is not followed, but a failure": {script: []int{307}, discard: true, delivered: 39, sent: 40},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plan := mustPlan(t, PlanOptions{Devices: 40, Tasks: 1})
			report := push(t, &receiver{script: tc.script}, plan, PushOptions{
				Concurrency: 1, Discard: tc.discard, RetryDelay: time.Millisecond,
				BlacklistDuration: 20 * time.Millisecond, BacklogRate: 10000,
			})
			if report.Delivered != tc.delivered || report.Sent != tc.sent || report.Blacklistings != tc.blacklistings {
				t.Errorf("delivered %d by %d pushes, %d blacklistings; want %d, %d, %d",
					report.Delivered, report.Sent, report.Blacklistings, tc.delivered, tc.sent, tc.blacklistings)
			}
			if want := 40 - tc.delivered; report.Discarded != want || len(report.DiscardedSamples) != want {
				t.Errorf("discarded %d, named %d, want %d", report.Discarded, len(report.DiscardedSamples), want)
			}
			if c := report.Counts[0]; c.Succeeded != int64(tc.delivered) || c.Pending != int64(40-tc.delivered) {
				t.Errorf("to be counted: %+v", c)
			}
		})
	}
}

func TestPushGivesUpOnSlowAnswers(t *testing.T) {
	release := make(chan struct{})
	slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	plan := mustPlan(t, PlanOptions{Devices: 2, Tasks: 1})
	server := httptest.NewServer(slow)
	defer server.Close()
	defer close(release)
	report, err := Push(t.Context(), plan, PushOptions{URL: server.URL, Timeout: 20 * time.Millisecond, Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"timeout": 2}, report.Answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestPushEndsInTime(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	plan := mustPlan(t, PlanOptions{Devices: 100, Tasks: 1})
	report := push(t, refuse, plan, PushOptions{MaxDuration: 100 * time.Millisecond})
	if report.Complete || report.Undelivered != 100 {
		t.Errorf("complete %t, undelivered %d, want 100", report.Complete, report.Undelivered)
	}
}

func TestPushKeepsTheRate(t *testing.T) {
	report := push(t, &receiver{}, mustPlan(t, PlanOptions{Devices: 21, Tasks: 1}), PushOptions{Rate: 200})
	if report.DurationSeconds < 0.1 {
		t.Errorf("21 pushes at 200/s took %.3f s, want at least 0.1", report.DurationSeconds)
	}
}

func TestPushOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(&receiver{})
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the failed handshakes are the test
	server.StartTLS()
	defer server.Close()
	plan := mustPlan(t, PlanOptions{Devices: 3, Tasks: 1})
	trusting := server.Client().Transport.(*http.Transport).TLSClientConfig
	cases := map[string]struct {
		config *tls.Config
		want   map[string]int
	}{
		"trusted":   {config: trusting, want: map[string]int{"200": 3}},
		"untrusted": {config: nil, want: map[string]int{"connection broken": 3}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			report, err := Push(t.Context(), plan, PushOptions{URL: server.URL, TLS: tc.config, Discard: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, report.Answers); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPushRefuses(t *testing.T) {
	plan := mustPlan(t, PlanOptions{Devices: 1, Tasks: 1})
	cases := map[string]PushOptions{
		"a remote host":        {URL: "https://192.0.2.1:443/secret"},
		"a name":               {URL: "https://example.com/secret"},
		"no URL":               {},
		"another scheme":       {URL: "ftp://127.0.0.1/secret"},
		"what can't be parsed": {URL: "http://127.0.0.1/secret\x7f"},
		"too much concurrency": {URL: "http://127.0.0.1/secret", Concurrency: maxConcurrency + 1},
		"a negative rate":      {URL: "http://127.0.0.1/secret", Rate: -1},
		"a negative duration":  {URL: "http://127.0.0.1/secret", Timeout: -1},
	}
	for name, options := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Push(context.Background(), plan, options)
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want an error without the path", err)
			}
		})
	}
}

func TestLatencies(t *testing.T) {
	var l latencies
	for ms := range 1000 {
		l.add(time.Duration(ms+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 501 * time.Millisecond, 0.99: 991 * time.Millisecond} {
		if got := l.quantile(q); got < want || got > want+want/32 {
			t.Errorf("quantile %v: %s, want %s or at most 1/32 more", q, got, want)
		}
	}
	if l.max != time.Second || l.quantile(1) != time.Second {
		t.Errorf("greatest %s and %s, want 1 s", l.max, l.quantile(1))
	}
	durations := []time.Duration{
		0, 1, time.Microsecond, 31 * time.Microsecond, 32 * time.Microsecond, 64 * time.Microsecond, time.Hour,
	}
	for _, d := range durations {
		if bound := upperBound(bucketOf(d)); bound < d.Truncate(time.Microsecond) {
			t.Errorf("%s is in a bucket up to %s", d, bound)
		}
	}
}
