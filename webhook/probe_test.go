// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"io"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// Load balancers find a path on the callback's own port, without a secret: 200 as long as pushes are welcome, 503 while
// the receiver drains. It is no push and is counted by itself.
func TestProbe(t *testing.T) {
	ca := makeAuthority(t, "platform")
	folder := t.TempDir()
	ca.server(folder, "callback")
	for name, secure := range map[string]bool{"HTTP": false, "HTTPS": true} {
		t.Run(name, func(t *testing.T) {
			clk := testclock.NewFakeClock(startTime())
			r := startReceiver(t, func(o *Options) {
				o.Clock, o.DrainDuration = clk, time.Minute
				if secure {
					o.CertDir = folder
				}
			})
			r.trust(ca, nil)
			for _, tc := range []struct {
				method, path string
				status       int
				body         string
			}{
				{"GET", ProbePath, 200, "ok"},
				{"HEAD", ProbePath, 200, ""},
				{"GET", ProbePath + "?from=balancer", 200, "ok"},
				{"POST", ProbePath, 405, "only GET and HEAD are served"},
				{"GET", ProbePath + "/", 404, `{"error":"no such path"}`},
				{"GET", ProbePath + "z", 404, `{"error":"no such path"}`},
			} {
				got := r.send(tc.method, tc.path, "")
				if got.status != tc.status || got.body != tc.body {
					t.Errorf("%s %s: got %d %s", tc.method, tc.path, got.status, got.body)
				}
			}
			r.stop()
			eventually(t, "readiness fails", func() bool { return r.Ready(nil) != nil })
			if got := r.send("GET", ProbePath, ""); got.status != 503 || got.body != "draining" {
				t.Errorf("while draining: %d %s", got.status, got.body)
			}
			for answer, want := range map[string]float64{probeReady: 3, probeDraining: 1, probeRefused: 1} {
				if n := r.metric("fwupgrade_webhook_probes_total", answer); n != want {
					t.Errorf("%s is counted %v times", answer, n)
				}
			}
			if n := r.metric("fwupgrade_webhook_notifications_total"); n != 2 {
				t.Errorf("counted %v times as pushes", n)
			}
			eventually(t, "it ends after the drain", func() bool { clk.Step(time.Minute); return len(r.ended) == 1 })
		})
	}
}

// Whoever probes holds no connection: neither afterwards nor with a body that does not come.
func TestProbeHoldsNoConnection(t *testing.T) {
	r := startReceiver(t, nil)
	c := r.connect("127.0.0.1")
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_ = c.SetReadDeadline(start.Add(patience))
	answer, err := io.ReadAll(c)
	if err != nil || len(answer) == 0 || time.Since(start) > readTimeout/2 {
		t.Errorf("after %s: %q, %v", time.Since(start), answer, err)
	}
}
