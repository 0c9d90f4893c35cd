// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

// second is a time of the tests in seconds, as a receive time.
func second(n int64) int64 { return (1_700_000_000 + n) * 1_000_000 }

func stepOf(device string, at int64) result.Result {
	r := resulttest.Succeeded(device, at)
	r.State = storage.StateDownloading
	return r
}

// A device that failed and reports a step more than 2 s later is tried again, until it fails again or succeeds. A step
// that comes sooner may have overtaken the failure on its way.
func TestRetried(t *testing.T) {
	tallied := tally.New()
	retried := func() [2]int64 {
		s := tallied.Summary(tasks[0], tally.Query{Devices: []string{"d"}})
		return [2]int64{s.Retried, s.Listed.Retried}
	}
	for _, c := range []struct {
		what string
		r    result.Result
		want int64
	}{
		{"it fails", resulttest.Failed("d", second(0)), 0},
		{"a step of before comes again", stepOf("d", second(2)), 0},
		{"it downloads anew", stepOf("d", second(3)), 1},
		{"it fails again", resulttest.Failed("d", second(90)), 0},
		{"it downloads once more", stepOf("d", second(200)), 1},
		{"it succeeds", resulttest.Succeeded("d", second(300)), 0},
	} {
		add(tallied, c.r)
		if got := retried(); got != [2]int64{c.want, c.want} {
			t.Errorf("%s: want %d, got %v of all and of the listed", c.what, c.want, got)
		}
	}
	last := tallied.Summary(tasks[0], tally.Query{Devices: []string{"d"}}).Listed.LastReceivedAt
	if last != second(300) {
		t.Errorf("something arrived last at %d, want %d", last, second(300))
	}
}

// Who is tried again, and when something arrived last, follows from what is stored, not from the order in which it is
// read nor from compaction.
func TestRetriedInAnyOrder(t *testing.T) {
	query := tally.Query{Devices: []string{"d0", "d1"}}
	rapid.Check(t, func(t *rapid.T) {
		seen := rapid.SliceOf(rapid.Custom(func(t *rapid.T) result.Result {
			r := resulttest.OfDevices(3).Draw(t, "result")
			r.Task, r.FailedAt, r.FirstReceivedAt, r.LastReceivedAt = tasks[0], 0, 0, 0
			r.ReceivedAt = second(rapid.Int64Range(0, 120).Draw(t, "second"))
			return r
		})).Draw(t, "notifications")
		want := tally.New()
		add(want, seen...)
		stored := resulttest.Slices(t, rapid.Permutation(seen).Draw(t, "order"))
		for range rapid.IntRange(0, 3).Draw(t, "compactions") {
			stored = resulttest.Compact(t, stored)
		}
		got := tally.New()
		for _, tables := range rapid.Permutation(stored).Draw(t, "slices") {
			add(got, resulttest.Unpack(t, tables)...)
		}
		diff := cmp.Diff(want.Summary(tasks[0], query), got.Summary(tasks[0], query))
		if diff != "" {
			t.Fatalf("Unexpected summary (-want,+got):\n%s", diff)
		}
	})
}

// However large a task, and whoever came first, there are names for those that are suspect, in progress and unexpected.
func TestEveryCountHasNames(t *testing.T) {
	const many = 3000
	tallied := tally.New()
	var listed []string
	for i := range 1000 {
		listed = append(listed, fmt.Sprintf("listed-%04d", i))
		add(tallied, resulttest.Succeeded(listed[i], second(int64(i))))
	}
	for i := range many { // strangers that succeeded, and some that go on
		id := fmt.Sprintf("stranger-%04d", i)
		add(tallied, stepOf(id, second(int64(i))))
		if i%100 != 99 {
			add(tallied, resulttest.Succeeded(id, second(int64(i))))
		}
	}
	late := resulttest.Succeeded(listed[999], second(5000))
	late.TargetVersion, late.CurVersion = "1.6", "1.5"
	add(tallied, late)
	s := tallied.Summary(tasks[0], tally.Query{TargetVersion: "1.6", Devices: listed})
	if len(s.Unexpected) != 20 || slices.Contains(s.Unexpected, listed[0]) {
		t.Errorf("20 unexpected devices are to be named, got %v", s.Unexpected)
	}
	if diff := cmp.Diff([]tally.SuspectDevice{{
		DeviceID: listed[999], TargetVersion: "1.6", CurVersion: "1.5",
	}}, s.SuspectDevices); diff != "" {
		t.Errorf("Unexpected suspect devices (-want,+got):\n%s", diff)
	}
	if len(s.InProgressDevices) != 20 || s.InProgressDevices[0].DeviceID != "stranger-0099" ||
		s.InProgressDevices[0].State != storage.StateDownloading || s.InProgressDevices[0].ReceivedAt != second(99) {
		t.Errorf("the one that was silent for the longest time is to come first, got %+v", s.InProgressDevices)
	}
}

// The ids of devices in progress are kept while they are in progress only.
func TestDevicesInProgressLeave(t *testing.T) {
	const devices = 5000
	tallied := tally.New()
	for i := range devices {
		add(tallied, stepOf(fmt.Sprint("d", i), second(int64(i))))
	}
	for i := range devices - 3 {
		add(tallied, resulttest.Succeeded(fmt.Sprint("d", (i*7)%(devices-3)), second(devices)))
	}
	s := tallied.Summary(tasks[0], tally.Query{})
	var got []string
	for _, d := range s.InProgressDevices {
		got = append(got, d.DeviceID)
	}
	if diff := cmp.Diff([]string{"d4997", "d4998", "d4999"}, got); diff != "" || s.InProgress != 3 {
		t.Errorf("%d are in progress (-want,+got):\n%s", s.InProgress, diff)
	}
}
