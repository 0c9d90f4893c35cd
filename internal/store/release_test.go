// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// Creating and deleting a FirmwareUpgrade in a loop leaves one record of its task, and one in memory.
func TestReleasesAreBounded(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s, keptADay)
	s.clock.SetTime(first)
	s.create("r-0", sharedSlice(0, 2))
	s.awaitRead()
	other := first.Add(time.Second)
	if err := s.Release(t.Context(), taskNumber(1), other); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		at := first.Add(time.Duration(n) * time.Second)
		for _, at := range []time.Time{at, at, at.Add(-time.Hour)} { // a repetition, and one that comes late
			if err := s.Release(t.Context(), taskNumber(0), at); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(at, s.ReleaseTime(taskNumber(0)).UTC()); diff != "" {
			t.Fatalf("release %d (-want +got):\n%s", n, diff)
		}
	}
	if got := len(s.stored()); got != 3 {
		t.Errorf("want 3 slices, got %d", got)
	}
	if diff := cmp.Diff(other, s.ReleaseTime(taskNumber(1)).UTC()); diff != "" {
		t.Errorf("the other task's release (-want +got):\n%s", diff)
	}
	if !s.ReleaseTime(taskNumber(2)).IsZero() {
		t.Error("a task that was not released has a release time")
	}

	// The records go with the results, and memory with the records.
	s.clock.SetTime(first.Add(48 * time.Hour))
	for range 2 {
		if err := s.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.stored()); got != 0 {
		t.Errorf("%d slices are left", got)
	}
	if got := len(s.index.releases); got != 0 {
		t.Errorf("%d releases are remembered", got)
	}
	s.expectTrue()
}

// A record stays while results that were received before may be on their way.
func TestReleaseStaysForResultsOnTheirWay(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	for after, want := range map[time.Duration]int{arrivalDelay - time.Second: 1, arrivalDelay: 0} {
		s.clock.SetTime(first)
		if err := s.Release(t.Context(), taskNumber(0), first); err != nil {
			t.Fatal(err)
		}
		s.clock.Step(after)
		if err := s.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.stored()); got != want {
			t.Errorf("after %s: want %d records, got %d", after, want, got)
		}
	}
}

// Compaction gathers records, one for a task, the later one.
func TestReleasesAreMerged(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.clock.SetTime(time.Now())
	want := map[result.Task]time.Time{}
	for n := range mergeAtSlices {
		task := taskNumber(n / 2)
		at := first.Add(time.Duration(n%3) * time.Hour)
		slice := releaseOf(task, at)
		slice.Namespace, slice.Name = s.namespace, "release-"+string(rune('a'+n))
		if err := k8s.Create(t.Context(), slice); err != nil {
			t.Fatal(err)
		}
		if at.After(want[task]) {
			want[task] = at
		}
	}
	s.awaitRead()
	s.compact(t.Context())
	stored := s.stored()
	if len(stored) != 1 || len(stored[0].Releases) != mergeAtSlices/2 {
		t.Errorf("want one slice with %d releases, got %d slices", mergeAtSlices/2, len(stored))
	}
	got := map[result.Task]time.Time{}
	for task := range want {
		got[task] = s.ReleaseTime(task).UTC()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("releases (-want +got):\n%s", diff)
	}
}
