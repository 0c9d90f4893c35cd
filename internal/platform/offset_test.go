// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"net/http"
	"testing"
	"time"
)

func TestClockOffset(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 0, 300e6, time.UTC)
	var o clockOffset
	date := func(offset time.Duration) string { return now.Add(offset).Format(http.TimeFormat) }
	for name, bad := range map[string]struct {
		date string
		trip time.Duration
	}{
		"none": {"", 0}, "no date": {"yesterday", 0}, "slow": {date(time.Hour), 11 * time.Second},
		"backwards": {date(0), -1},
	} {
		if o.observe(bad.date, now, now.Add(bad.trip)); o.known {
			t.Errorf("%s: took %s", name, o.value)
		}
	}
	o.observe(date(2*time.Hour), now, now.Add(200*time.Millisecond))
	if (o.value - 2*time.Hour).Abs() > time.Second {
		t.Errorf("the first one: %s, want 2 h", o.value)
	}
	o.observe(date(0), now, now)
	if (o.value - 105*time.Minute).Abs() > time.Second {
		t.Errorf("the second one: %s, want 2 h smoothed", o.value)
	}
	for range 100 {
		o.observe(date(0), now, now)
	}
	if o.value.Abs() > time.Second {
		t.Errorf("after a hundred: %s", o.value)
	}
}

// TestClockOffsetOfAnswers holds that the Date of answers is looked at, of refusals as well.
func TestClockOffsetOfAnswers(t *testing.T) {
	p := startPlatform(t)
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-3*time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusUnauthorized)
	}, nil)
	c := connect(t, p)
	c.must(WrongCredentials, c.Login(t.Context()))
	if got := c.Status().ClockOffset; (got + 3*time.Hour).Abs() > time.Minute {
		t.Errorf("offset %s, want -3 h", got)
	}
}
