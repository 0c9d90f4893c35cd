// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// When the served certificate expires is a metric, from the start and after each renewal, which is logged. One that has
// expired, or does soon, is warned of at once and once a day, also where it comes by a renewal.
func TestExpiryOfTheCertificateIsSeen(t *testing.T) {
	day := 24 * time.Hour
	now := time.Now().Truncate(time.Second)
	clk := testclock.NewFakeClock(now)
	ca := makeAuthority(t, "platform")
	folder := t.TempDir()
	ca.serverUntil(folder, "first", now.Add(-80*day), now.Add(10*day))
	r := startReceiver(t, func(o *Options) { o.Clock, o.CertDir = clk, folder })
	expiry := func() float64 { return r.metric("fwupgrade_webhook_certificate_expiry_timestamp_seconds") }
	warned := func(what string) int { return strings.Count(r.logs.text(), "Served a certificate that "+what) }
	if got, want := expiry(), float64(now.Add(10*day).Unix()); got != want {
		t.Errorf("want it to expire at %v, got %v", want, got)
	}
	if n := warned("expires soon"); n != 1 {
		t.Errorf("warned %d times at the start", n)
	}
	eventually(t, "it is warned of a day later", func() bool {
		clk.Step(12 * time.Hour)
		return warned("expires soon") > 1
	})

	renewed := clk.Now().Add(90 * day).Truncate(time.Second)
	ca.serverUntil(folder, "second", clk.Now(), renewed)
	eventually(t, "the renewed one is served", func() bool {
		clk.Step(reloadInterval)
		return expiry() == float64(renewed.Unix())
	})
	if !strings.Contains(r.logs.text(), `"Reloaded" "file"="certificate" "notAfter"=`) {
		t.Errorf("the renewal was not logged:\n%s", r.logs.text())
	}
	before := warned("expires soon")
	for range 10 {
		clk.Step(reloadInterval)
	}

	ca.serverUntil(folder, "third", clk.Now().Add(-day), clk.Now().Add(-time.Hour))
	eventually(t, "an expired one is warned of", func() bool {
		clk.Step(reloadInterval)
		return warned("has expired") == 1
	})
	if n := warned("expires soon"); n != before {
		t.Errorf("the renewed one was warned of")
	}

	overwrite(t, folder+"/tls.key", "no key")
	eventually(t, "the mistake is counted", func() bool {
		clk.Step(reloadInterval)
		return r.metric("fwupgrade_webhook_reload_errors_total", reloadCertificate) > 0
	})
}

// A certificate that lives for a day is not warned of for its whole life.
func TestShortLivedCertificateIsWarnedOfLate(t *testing.T) {
	now := time.Now()
	clk := testclock.NewFakeClock(now)
	folder, logs := t.TempDir(), &logBook{}
	makeAuthority(t, "platform").serverUntil(folder, "callback", now, now.Add(24*time.Hour))
	c, err := newCertificate(folder, clk, logs.logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, 12 * time.Hour, 20 * time.Hour} {
		clk.SetTime(now.Add(after))
		if _, err := c.reload(); err != nil {
			t.Fatal(err)
		}
		if got := logs.text(); strings.Contains(got, "expires soon") != (after == 20*time.Hour) {
			t.Errorf("after %s: %q", after, got)
		}
	}
}
