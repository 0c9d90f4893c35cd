// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/harness"
)

// polled are results of task 0 that were asked for, of devices that succeeded.
func polled(devices ...int) (results []result.Result) {
	for _, device := range devices {
		r := failure(device, first, "")
		r.State, r.TargetVersion = storage.StateSucceeded, "1.6"
		r.FailedAt = 0
		r.Normalize()
		results = append(results, r)
	}
	return results
}

// What was asked for is stored in slices that are named after their content, and counts at once: who stores the same
// again, another leader too, stores nothing.
func TestPolledResultsAreStoredOnce(t *testing.T) {
	namespace := harness.NewNamespace(t, k8s)
	s, other := newStore(t, namespace, k8s), newStore(t, namespace, k8s)
	results := polled(1, 2, 3)
	for range 2 {
		for _, leader := range []*testStore{s, other} {
			if err := leader.AddPolled(t.Context(), taskNumber(0), results); err != nil {
				t.Fatal(err)
			}
			if got := leader.Summary(taskNumber(0), tally.Query{}); got.Succeeded != 3 {
				t.Fatalf("it does not count at once: %+v", got)
			}
		}
	}
	stored := s.stored()
	if len(stored) != 1 || !strings.HasPrefix(stored[0].Name, polledPrefix) ||
		stored[0].Labels[storage.LabelTask] != taskNumber(0).Hash() {
		t.Fatalf("stored are %d slices: %+v", len(stored), stored)
	}
	if err := s.AddPolled(t.Context(), taskNumber(0), polled(4)); err != nil {
		t.Fatal(err)
	}
	if got := len(s.stored()); got != 2 {
		t.Errorf("%d slices, another result makes another one", got)
	}
	for _, leader := range []*testStore{s, other} {
		leader.awaitRead()
		leader.expectTrue()
	}
}

// What the tally lacks is what counts less than what was asked for, whatever it is.
func TestHeard(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	step := failure(1, last, "")
	step.State, step.FailedAt = storage.StateDownloading, 0
	s.create("r-0", sliceOf(failure(0, last, "Invalid URI"), step))
	s.create("r-1", sliceOf(polled(2)...))
	s.awaitRead()
	for _, c := range []struct {
		device int
		state  storage.State
		lacks  bool
		last   time.Time
	}{
		{0, storage.StateFailed, false, last}, {0, storage.StateSucceeded, true, last},
		{1, storage.StateFailed, true, last}, {1, storage.StateSucceeded, true, last},
		{2, storage.StateFailed, false, first}, {2, storage.StateSucceeded, false, first},
		{3, storage.StateFailed, true, time.UnixMicro(0)}, {3, storage.StateSucceeded, true, time.UnixMicro(0)},
	} {
		lacks, at := s.Heard(taskNumber(0), fmt.Sprintf("device-%d", c.device), c.state)
		if lacks != c.lacks || at != c.last.UnixMicro() {
			t.Errorf("device %d, %s: lacks %t, last %d", c.device, c.state, lacks, at)
		}
	}
	if lacks, at := s.Heard(taskNumber(1), "device-0", storage.StateFailed); !lacks || at != 0 {
		t.Errorf("of another task: lacks %t, last %d", lacks, at)
	}
}

// A page's results fit into slices however long their texts are, and many pages are compacted as anything else is.
func TestPolledResultsAreCompacted(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	var all []result.Result
	for page := range 3 {
		var results []result.Result
		for n := range 100 {
			r := failure(100*page+n, first, strings.Repeat(fmt.Sprintf("%c", 'a'+n%26), storage.MaxStatusDescBytes))
			results = append(results, r)
		}
		if err := s.AddPolled(t.Context(), taskNumber(0), results); err != nil {
			t.Fatal(err)
		}
		all = append(all, results...)
	}
	// A push of the same failure, which came later and says more, is what counts.
	push := failure(7, last, "Invalid URI")
	s.create("r-0", sliceOf(push))
	s.awaitRead()
	s.clock.Step(time.Hour)
	s.compact(t.Context())
	s.awaitRead()
	s.expectTrue()
	if diff := cmp.Diff(summariesOf(append(all, push)), s.counted()); diff != "" {
		t.Errorf("(-asked for +counted):\n%s", diff)
	}
	if got := len(s.stored()); got > 3 {
		t.Errorf("%d slices are left", got)
	}
}
