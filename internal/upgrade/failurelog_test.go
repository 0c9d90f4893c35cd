// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

func checkFailureLog(
	t *rapid.T, want map[string]modelDevice, tally *upgrade.Tally, task upgrade.Task, summary upgrade.Summary,
) {
	log := tally.FailuresFrom(task, 0, math.MaxInt)
	if int64(len(log)) != summary.Failures {
		t.Fatalf("The failure log has %d entries, want %d", len(log), summary.Failures)
	}
	logged := map[string]bool{}
	for _, got := range log {
		device := want[got.DeviceID]
		if logged[got.DeviceID] || device.failedAt == 0 {
			t.Fatalf("The failure log has %s wrongly or twice", got.DeviceID)
		}
		logged[got.DeviceID] = true
		wanted := got // of a device that recovered, what is known depends on what compaction left
		wanted.FailedAt = device.failedAt
		wanted.Recovered = device.best.State == v1alpha1.StateSucceeded
		if device.best.State == v1alpha1.StateFailed {
			wanted.SubOperationID, wanted.CurVersion = device.best.SubOperationID, device.best.CurVersion
			wanted.Reason, wanted.ReceivedAt = upgrade.Reason(device.best.StatusDesc), device.best.ReceivedAt
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Fatalf("Unexpected failure (-want,+got):\n%s", diff)
		}
	}
	from := rapid.Int64Range(-1, int64(len(log))+1).Draw(t, "from")
	checkDigest(t, log[min(max(from, 0), int64(len(log))):], tally.DigestFailures(task, from, 2))
}

func checkDigest(t *rapid.T, log []upgrade.Failure, got []upgrade.FailureGroup) {
	want := map[string]upgrade.FailureGroup{}
	for _, failure := range log {
		reason := failure.Reason
		if reason == "" {
			reason = upgrade.ReasonRecovered
		}
		group := want[reason]
		group.Reason = reason
		group.Count++
		if len(group.Devices) < 2 {
			group.Devices = append(group.Devices, failure.DeviceID)
		}
		want[reason] = group
	}
	byReason := map[string]upgrade.FailureGroup{}
	for i, group := range got {
		byReason[group.Reason] = group
		if i > 0 && group.Count > got[i-1].Count {
			t.Fatalf("The groups are not sorted: %v", got)
		}
	}
	if diff := cmp.Diff(want, byReason); diff != "" || len(got) != len(want) {
		t.Fatalf("Unexpected groups (-want,+got):\n%s", diff)
	}
}

func logged(tally *upgrade.Tally, from int64, limit int) []string {
	devices := []string{}
	for _, failure := range tally.FailuresFrom(tasks[0], from, limit) {
		devices = append(devices, failure.DeviceID)
	}
	return devices
}

// TestSealMakesLogsAlike holds that two leaders that read the same slices in different orders continue at the same
// place, and that the log does not change behind a leader afterwards.
func TestSealMakesLogsAlike(t *testing.T) {
	stored := []upgrade.Result{failed("d4", 2), failed("d1", 3), failed("d3", 1), succeeded("d3", 5), failed("d2", 2)}
	for range 10 {
		tally := upgrade.NewTally()
		for _, result := range stored {
			add(tally, result)
		}
		tally.Seal()
		add(tally, failed("d9", 9))
		add(tally, failed("d0", 1), failed("d1", 1))
		if diff := cmp.Diff([]string{"d3", "d2", "d4", "d1", "d9", "d0"}, logged(tally, 0, 10)); diff != "" {
			t.Errorf("Unexpected log (-want,+got):\n%s", diff)
		}
		stored = append(stored[1:], stored[0])
	}
}

func TestFailuresFromBounds(t *testing.T) {
	tally := upgrade.NewTally()
	add(tally, failed("d1", 1), failed("d2", 2), failed("d3", 3))
	cases := map[string]struct {
		from  int64
		limit int
		want  []string
	}{
		"all":               {0, 9, []string{"d1", "d2", "d3"}},
		"a part":            {1, 1, []string{"d2"}},
		"before the start":  {-1, 1, []string{"d1"}},
		"at the end":        {3, 9, []string{}},
		"beyond the end":    {math.MaxInt64, 9, []string{}},
		"no room":           {0, 0, []string{}},
		"less than no room": {0, -1, []string{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, logged(tally, c.from, c.limit)); diff != "" {
				t.Errorf("Unexpected failures (-want,+got):\n%s", diff)
			}
		})
	}
}

// TestRecoveredBeforeSeenFailed holds that a failure of which compaction left only the time is in the log, and that its
// details follow when an older slice has them.
func TestRecoveredBeforeSeenFailed(t *testing.T) {
	tally := upgrade.NewTally()
	recovered := succeeded("d", 5)
	recovered.FailedAt = 3
	add(tally, recovered)
	want := []upgrade.Failure{{DeviceID: "d", FailedAt: 3, ReceivedAt: 3, Recovered: true}}
	if diff := cmp.Diff(want, tally.FailuresFrom(tasks[0], 0, 9)); diff != "" {
		t.Errorf("Unexpected failures (-want,+got):\n%s", diff)
	}
	wantGroups := []upgrade.FailureGroup{{Reason: upgrade.ReasonRecovered, Count: 1, Devices: []string{"d"}}}
	if diff := cmp.Diff(wantGroups, tally.DigestFailures(tasks[0], 0, 3)); diff != "" {
		t.Errorf("Unexpected groups (-want,+got):\n%s", diff)
	}
	add(tally, failed("d", 4))
	want[0].Reason, want[0].ReceivedAt = "Invalid URI", 4
	if diff := cmp.Diff(want, tally.FailuresFrom(tasks[0], 0, 9)); diff != "" {
		t.Errorf("Unexpected failures with the details (-want,+got):\n%s", diff)
	}
}
