// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at returns a moment so many milliseconds after the first push of a test was due.
func at(ms int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// answered returns a push that was due, left and was answered 200 at those milliseconds.
func answered(due, left, done int) answer {
	return answer{due: at(due), left: at(left), at: at(done), status: http.StatusOK}
}

func TestPushed(t *testing.T) {
	refused := answered(20, 21, 900)
	refused.status = http.StatusServiceUnavailable
	broken := answered(30, 31, 950)
	broken.status = statusNoReply
	p := pushed{
		answered(10, 10, 15),
		answered(0, 1, 3),
		// Its connection was busy: that it left late must not shorten its latency.
		answered(40, 240, 250),
		refused, broken, {},
	}
	want := []time.Duration{3 * time.Millisecond, 5 * time.Millisecond, 210 * time.Millisecond}
	if diff := cmp.Diff(want, p.latencies()); diff != "" {
		t.Errorf("latencies (-want +got):\n%s", diff)
	}
	if got := p.took(); got != 250*time.Millisecond {
		t.Errorf("took %s, want 250ms", got)
	}
	if got := p.maxLate(); got != 200*time.Millisecond {
		t.Errorf("%s late at most, want 200ms", got)
	}
	counts := map[string]int{
		"ok": p.count(answer.ok), "refused": p.count(answer.refused), "unsent": p.count(answer.unsent), "late": p.count(answer.late),
	}
	if diff := cmp.Diff(map[string]int{"ok": 3, "refused": 2, "unsent": 1, "late": 1}, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if got := (pushed{{}, {}}).took(); got != 0 {
		t.Errorf("nothing took %s", got)
	}
}
