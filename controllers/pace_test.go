// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"fwupgrade.io/operator/test/harness"
)

// A writer rests for as long as its write took, which is how it notices that the API server is busy.
func TestWritersRestAsLongAsTheyWrote(t *testing.T) {
	clock := clocktesting.NewFakeClock(first)
	p := newPace(1000, clock)
	done := make(chan error)
	go func() {
		done <- p.write(t.Context(), func() error { clock.Step(3 * time.Second); return errKilled })
	}()
	harness.Eventually(t, func() string {
		if !clock.HasWaiters() {
			return "the writer does not rest"
		}
		return ""
	})
	clock.Step(3*time.Second - 1)
	select {
	case <-done:
		t.Error("the writer rested for less than its write took")
	default:
	}
	clock.Step(1)
	if err := <-done; err != errKilled { //nolint:errorlint // it must come as it is
		t.Errorf("want the write's error, got %v", err)
	}

	if err := p.write(t.Context(), func() error { return nil }); err != nil {
		t.Errorf("a write that took no time: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	if err := p.write(ended, func() error { clock.Step(time.Hour); cancel(); return nil }); err != nil {
		t.Errorf("a write during which the leader ended: %v", err)
	}
}
