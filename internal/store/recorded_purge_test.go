// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// recordedPurges are the records of purges that are stored.
func (s *testStore) recordedPurges() (records []string) {
	s.t.Helper()
	for _, slice := range s.stored() {
		for _, r := range slice.Releases {
			switch {
			case r.FirmwareUpgrade != nil:
				records = append(records, string(r.Purge)+" "+r.FirmwareUpgrade.UID)
			case r.Purge != "":
				records = append(records, string(r.Purge))
			}
		}
	}
	return records
}

// purging says whether a purge of a task is due.
func (s *testStore) purging(task int) bool { return s.Purging(taskNumber(task)) }

// object is a FirmwareUpgrade with a UID.
func object(uid string) storage.ObjectReference {
	return storage.ObjectReference{Namespace: "fleet", Name: "name-of-" + uid, UID: uid}
}

// intend records that the results of a task go with an object.
func (s *testStore) intend(task int, uid string) {
	s.t.Helper()
	if err := s.IntendPurge(s.t.Context(), taskNumber(task), object(uid)); err != nil {
		s.t.Fatal(err)
	}
}

// A purge that no object stands for any more is kept as a record: compaction and retention leave it alone, a next
// leader goes on with it, and it goes when nothing of the task that was received until then is left.
func TestRecordedPurge(t *testing.T) {
	ns, until := harness.NewNamespace(t, k8s), time.Now().Truncate(time.Second)
	s := newStore(t, ns, k8s, keptAYear)
	s.objects = map[string]bool{"u1": true}
	s.create("r-0", sharedSlice(0, 2))
	s.create("r-1", sliceOf(failure(99, until.Add(time.Second), "Invalid URI"), failure(98, first, "Invalid URI")))
	s.awaitRead()
	other := s.summaries()[taskNumber(1)]
	s.clock.SetTime(until)
	for range 2 { // as when the answer was lost
		s.intend(0, "u1")
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

	next := newStore(t, ns, k8s, keptAYear) // for it the object is gone
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
	if diff := cmp.Diff([]string{"Due"}, next.recordedPurges()); diff != "" {
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

// An intended purge is forgotten when the object's results are to be kept, whoever notices, and when no deletion that
// began before the finalizer was there can be under way any more.
func TestIntendedPurgeIsForgotten(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.objects = map[string]bool{"u1": true, "u2": true, "u3": false}
	began := time.Now()
	s.clock.SetTime(began)
	s.intend(1, "u1")
	s.intend(2, "u2")
	s.intend(3, "u3")
	if err := s.ForgetPurge(t.Context(), object("u1")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  []string
	}{{requestTimeout - time.Second, []string{"Intended u2"}}, {requestTimeout, nil}} {
		s.clock.SetTime(began.Add(c.after))
		if err := s.purgeRecorded(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, s.recordedPurges()); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", c.after, diff)
		}
	}
	if s.purging(1) || s.purging(2) || s.purging(3) {
		t.Error("a purge is due of an object that exists")
	}
}

// An intended purge is recorded once for a while, however often its finalizer can't be written, and anew after that.
func TestIntendedPurgeIsRepeated(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.objects = map[string]bool{"u1": true}
	began := time.Now()
	for i, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {10 * time.Second, 1}, {requestTimeout / 2, 2}} {
		s.clock.SetTime(began.Add(c.after))
		s.intend(1, "u1")
		if got := len(s.recordedPurges()); got != c.want {
			t.Errorf("%d: %d records, want %d", i, got, c.want)
		}
	}
}

// A record that was restored from a backup removes nothing: its object is gone, as the one that was restored with it
// has another UID.
func TestRestoredRecordPurgesNothing(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.create("r-0", sharedSlice(0, 2))
	at := time.Now().Add(-time.Hour)
	record := releaseOf(taskNumber(0), at)
	record.Releases[0].Purge, record.Releases[0].FirmwareUpgrade = storage.PurgeIntended, new(object("u1"))
	s.create("intended-purge-restored", record)
	s.awaitRead()
	before := s.summaries()[taskNumber(0)]
	s.clock.SetTime(time.Now())
	if err := s.purgeRecorded(t.Context()); err != nil || s.purging(0) {
		t.Errorf("purging %t, error %v", s.purging(0), err)
	}
	if left := s.recordedPurges(); len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
	if diff := cmp.Diff(before, s.counted()[taskNumber(0)]); diff != "" {
		t.Errorf("the task changed (-want +got):\n%s", diff)
	}
}

// Who asks about one object or one task has no other one looked at.
func TestConfirmPurgesOfOne(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.clock.SetTime(time.Now())
	for i, uid := range []string{"u0", "u1", "u2"} {
		s.intend(i, uid)
	}
	if err := s.ConfirmPurgesOf(t.Context(), "fleet", "name-of-u1"); err != nil {
		t.Fatal(err)
	}
	if err := s.ConfirmPurges(t.Context(), taskNumber(2).OperationID); err != nil {
		t.Fatal(err)
	}
	if got, want := []bool{s.purging(0), s.purging(1), s.purging(2)}, []bool{false, true, true}; !cmp.Equal(got, want) {
		t.Errorf("purges are due: %v, want %v", got, want)
	}
}

// What is not read yet is not forgotten either: it would be there when the object is gone.
func TestForgetPurgeWaitsForTheStore(t *testing.T) {
	read := newStore(t, harness.NewNamespace(t, k8s), k8s)
	options := read.options
	options.Registerer = prometheus.NewRegistry()
	unread, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := unread.ForgetPurge(ctx, object("u1")); err == nil {
		t.Error("it says that it is done")
	}
}
