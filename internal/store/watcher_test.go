// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// A watcher gets all tasks first, perhaps none, then those that changed, each once.
func TestWatcher(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	early := s.Watch()
	next := func(w *Watcher, want ...result.Task) {
		t.Helper()
		got, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(got)+len(want) > 0 && !cmp.Equal(want, got) {
			t.Errorf("want %v, got %v", want, got)
		}
	}
	next(early)
	s.create("r-0", sharedSlice(0, 2))
	s.create("r-1", sharedSlice(1, 2))
	s.awaitRead()
	next(early, taskNumber(0), taskNumber(1))
	late := s.Watch()
	next(late, taskNumber(0), taskNumber(1))
	r := failure(50, last, "Invalid URI")
	s.create("r-2", sliceOf(r))
	next(early, taskNumber(0))
	next(late, taskNumber(0))
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := early.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("want the context's error, got %v", err)
	}
}
