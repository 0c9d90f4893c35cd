// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

func checkFailureLog(
	t *rapid.T, want map[string]modelDevice, tallied *tally.Tally, task result.Task, summary tally.Summary,
) {
	log := tallied.FailuresFrom(task, 0, math.MaxInt)
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
		wanted.Recovered = device.best.State == storage.StateSucceeded
		if device.best.State == storage.StateFailed {
			wanted.SubOperationID, wanted.CurVersion = device.best.SubOperationID, device.best.CurVersion
			wanted.Text = result.Clean(device.best.StatusDesc, 256)
			wanted.Cause, wanted.ReceivedAt = tally.Cause(device.best.StatusDesc), device.best.ReceivedAt
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Fatalf("Unexpected failure (-want,+got):\n%s", diff)
		}
	}
	from := rapid.Int64Range(-1, int64(len(log))+1).Draw(t, "from")
	checkDigest(t, log[min(max(from, 0), int64(len(log))):], tallied.DigestFailures(task, from, 2))
}

func checkDigest(t *rapid.T, log []tally.Failure, got []tally.FailureGroup) {
	want := map[string]tally.FailureGroup{}
	for _, failure := range log {
		cause := failure.Cause
		if cause == "" {
			cause = tally.CauseRecovered
		}
		group := want[cause]
		if group.Count == 0 && failure.Text != cause {
			group.Example = failure.Text
		}
		group.Cause = cause
		group.Count++
		if len(group.Devices) < 2 {
			group.Devices = append(group.Devices, failure.DeviceID)
		}
		want[cause] = group
	}
	byCause := map[string]tally.FailureGroup{}
	for i, group := range got {
		byCause[group.Cause] = group
		if i > 0 && group.Count > got[i-1].Count {
			t.Fatalf("The groups are not sorted: %v", got)
		}
	}
	if diff := cmp.Diff(want, byCause); diff != "" || len(got) != len(want) {
		t.Fatalf("Unexpected groups (-want,+got):\n%s", diff)
	}
}

func logged(tallied *tally.Tally, from int64, limit int) []string {
	devices := []string{}
	for _, failure := range tallied.FailuresFrom(tasks[0], from, limit) {
		devices = append(devices, failure.DeviceID)
	}
	return devices
}

// TestSealMakesLogsAlike holds that two leaders that read the same slices in different orders continue at the same
// place, and that the log does not change behind a leader afterwards.
func TestSealMakesLogsAlike(t *testing.T) {
	stored := []result.Result{
		resulttest.Failed("d4", 2), resulttest.Failed("d1", 3), resulttest.Failed("d3", 1),
		resulttest.Succeeded("d3", 5), resulttest.Failed("d2", 2),
	}
	for range 10 {
		tallied := tally.New()
		for _, r := range stored {
			add(tallied, r)
		}
		tallied.Seal()
		add(tallied, resulttest.Failed("d9", 9))
		add(tallied, resulttest.Failed("d0", 1), resulttest.Failed("d1", 1))
		if diff := cmp.Diff([]string{"d3", "d2", "d4", "d1", "d9", "d0"}, logged(tallied, 0, 10)); diff != "" {
			t.Errorf("Unexpected log (-want,+got):\n%s", diff)
		}
		stored = append(stored[1:], stored[0])
	}
}

func TestFailuresFromBounds(t *testing.T) {
	tallied := tally.New()
	add(tallied, resulttest.Failed("d1", 1), resulttest.Failed("d2", 2), resulttest.Failed("d3", 3))
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
			if diff := cmp.Diff(c.want, logged(tallied, c.from, c.limit)); diff != "" {
				t.Errorf("Unexpected failures (-want,+got):\n%s", diff)
			}
		})
	}
}

// TestFailuresCarryTheirTexts holds that beside the cause, which is for all devices, stands what a device reported, as
// a person may see it: in the log, and as an example in each group, that of the newest device in a summary and that of
// the first in a digest.
func TestFailuresCarryTheirTexts(t *testing.T) {
	tallied := tally.New()
	for device, desc := range []string{"Lost 17 bytes", "Lost \x1b18 bytes\n", "Lost 19 bytes"} {
		r := resulttest.Failed(fmt.Sprintf("d%d", device), int64(device+1))
		r.StatusDesc = desc
		add(tallied, r)
	}
	add(tallied, resulttest.Failed("d9", 9))
	texts := []string{}
	for _, failure := range tallied.FailuresFrom(tasks[0], 0, 9) {
		texts = append(texts, failure.Text)
	}
	wantTexts := []string{"Lost 17 bytes", "Lost \ufffd18 bytes", "Lost 19 bytes", "Invalid URI"}
	if diff := cmp.Diff(wantTexts, texts); diff != "" {
		t.Errorf("Unexpected texts (-want,+got):\n%s", diff)
	}
	wantCauses := []tally.CauseCount{
		{Cause: "Lost <n> bytes", Example: "Lost 19 bytes", Count: 3, Devices: []string{"d2", "d1", "d0"}},
		{Cause: "Invalid URI", Count: 1, Devices: []string{"d9"}},
	}
	if diff := cmp.Diff(wantCauses, tallied.Summary(tasks[0], tally.Query{}).Causes); diff != "" {
		t.Errorf("Unexpected causes (-want,+got):\n%s", diff)
	}
	wantGroups := []tally.FailureGroup{
		{Cause: "Lost <n> bytes", Example: "Lost 17 bytes", Count: 3, Devices: []string{"d0"}},
		{Cause: "Invalid URI", Count: 1, Devices: []string{"d9"}},
	}
	if diff := cmp.Diff(wantGroups, tallied.DigestFailures(tasks[0], 0, 1)); diff != "" {
		t.Errorf("Unexpected groups (-want,+got):\n%s", diff)
	}
}

// TestRecoveredBeforeSeenFailed holds that a failure of which compaction left only the time is in the log, and that its
// details follow when an older slice has them.
func TestRecoveredBeforeSeenFailed(t *testing.T) {
	tallied := tally.New()
	recovered := resulttest.Succeeded("d", 5)
	recovered.FailedAt = 3
	add(tallied, recovered)
	want := []tally.Failure{{DeviceID: "d", FailedAt: 3, ReceivedAt: 3, Recovered: true}}
	if diff := cmp.Diff(want, tallied.FailuresFrom(tasks[0], 0, 9)); diff != "" {
		t.Errorf("Unexpected failures (-want,+got):\n%s", diff)
	}
	wantGroups := []tally.FailureGroup{{Cause: tally.CauseRecovered, Count: 1, Devices: []string{"d"}}}
	if diff := cmp.Diff(wantGroups, tallied.DigestFailures(tasks[0], 0, 3)); diff != "" {
		t.Errorf("Unexpected groups (-want,+got):\n%s", diff)
	}
	add(tallied, resulttest.Failed("d", 4))
	want[0].Cause, want[0].Text, want[0].ReceivedAt = "Invalid URI", "Invalid URI", 4
	if diff := cmp.Diff(want, tallied.FailuresFrom(tasks[0], 0, 9)); diff != "" {
		t.Errorf("Unexpected failures with the details (-want,+got):\n%s", diff)
	}
}
