// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"testing"
	"time"
)

// How long Eventually waits, and how often it looks. Nothing that works takes nearly so long.
const (
	patience = 60 * time.Second
	pause    = 50 * time.Millisecond
)

// Eventually waits until the condition returns nothing, and fails the test with what it returned last.
func Eventually(t *testing.T, condition func() string) {
	t.Helper()
	EventuallyWithin(t, patience, condition)
}

// EventuallyWithin is Eventually with a patience of the test's own.
func EventuallyWithin(t *testing.T, patience time.Duration, condition func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		problem := condition()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", patience, problem)
		}
		time.Sleep(pause)
	}
}
