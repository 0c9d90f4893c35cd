// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// recordedPurges are the records of purges that are stored.
func (s *testStore) recordedPurges() (records []string) {
	s.t.Helper()
	for _, slice := range s.stored() {
		for _, r := range slice.Releases {
			if r.Purge != "" {
				records = append(records, string(r.Purge)+" "+r.UID)
			}
		}
	}
	return records
}

// purging says whether a purge of a task is due.
func (s *testStore) purging(task int) bool {
	s.t.Helper()
	purging, err := s.Purging(s.t.Context(), taskNumber(task))
	if err != nil {
		s.t.Error(err)
	}
	return purging
}

// A purge that no object stands for any more is kept as a record: compaction and retention leave it alone, a next
// leader goes on with it, and it goes when nothing of the task that was received until then is left.
func TestRecordedPurge(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	s := newStore(t, ns, k8s, keptADay)
	s.objects = map[types.UID]bool{"u1": true}
	s.create("r-0", sharedSlice(0, 2))
	s.create("r-1", sliceOf(failure(99, last, "Invalid URI"), failure(98, first, "Invalid URI")))
	s.awaitRead()
	other := s.summaries()[taskNumber(1)]
	until := last.Add(-time.Second)
	s.clock.SetTime(until)
	for range 2 { // as when the answer was lost
		if err := s.IntendPurge(t.Context(), taskNumber(0), "u1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.purgeRecorded(t.Context()); err != nil || s.purging(0) {
		t.Errorf("while the object is there: purging %t, error %v", s.purging(0), err)
	}
	if !s.ReleaseTime(taskNumber(0)).IsZero() {
		t.Error("the task counts as released")
	}
	for range mergeAtSlices {
		if err := s.Release(t.Context(), taskNumber(1), until); err != nil {
			t.Fatal(err)
		}
	}
	s.compact(t.Context())
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.close()

	next := newStore(t, ns, k8s, keptADay) // for it the object is gone
	next.clock.SetTime(until.Add(arrivalDelay - time.Second))
	watcher := next.Watch()
	if _, err := watcher.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := next.purgeRecorded(t.Context()); err != nil || !next.purging(0) || next.purging(1) {
		t.Errorf("while results may be on their way: purging %t, error %v", next.purging(0), err)
	}
	if changed, err := watcher.Next(t.Context()); err != nil || !cmp.Equal(changed, []result.Task{taskNumber(0)}) {
		t.Errorf("want task 0 published, as who counts it has to wait, got %v, error %v", changed, err)
	}
	if diff := cmp.Diff([]string{"Due "}, next.recordedPurges()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	next.clock.SetTime(until.Add(arrivalDelay))
	if err := next.purgeRecorded(t.Context()); err != nil || next.purging(0) {
		t.Errorf("when nothing is on its way: purging %t, error %v", next.purging(0), err)
	}
	if changed, err := watcher.Next(t.Context()); err != nil || !cmp.Equal(changed, []result.Task{taskNumber(0)}) {
		t.Errorf("want task 0 published, as who waited for it may count it now, got %v, error %v", changed, err)
	}
	if got := next.counted()[taskNumber(0)]; got.Reported() != 1 {
		t.Errorf("of task 0 want the later result alone, got %d", got.Reported())
	}
	if diff := cmp.Diff(other, next.counted()[taskNumber(1)]); diff != "" {
		t.Errorf("the other task changed (-want +got):\n%s", diff)
	}
	if left := next.recordedPurges(); len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
	next.awaitTold()
	next.expectTrue()
}

// An intended purge is forgotten when the object's results are to be kept, and when no deletion that began before the
// finalizer was there can be under way any more.
func TestIntendedPurgeIsForgotten(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.objects = map[types.UID]bool{"u1": true, "u2": true}
	s.clock.SetTime(last)
	for _, object := range []types.UID{"u1", "u2"} {
		if err := s.IntendPurge(t.Context(), taskNumber(int(object[1]-'0')), object); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ForgetPurge(t.Context(), "u1"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  []string
	}{{requestTimeout - time.Second, []string{"Intended u2"}}, {requestTimeout, nil}} {
		s.clock.SetTime(last.Add(c.after))
		if err := s.purgeRecorded(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, s.recordedPurges()); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", c.after, diff)
		}
	}
}
