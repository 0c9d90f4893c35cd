// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

func TestPackHoistsWhatResultsShare(t *testing.T) {
	task := upgrade.Task{AppID: "app", OperationID: "op"}
	succeeded := v1alpha1.ResultFields{State: v1alpha1.StateSucceeded, TargetVersion: "1.6", CurVersion: "1.6"}
	failed := v1alpha1.ResultFields{State: v1alpha1.StateFailed, TargetVersion: "1.6", StatusDesc: "Invalid URI"}
	with := func(fields v1alpha1.ResultFields, source string) v1alpha1.ResultFields {
		fields.SourceVersion = source
		return fields
	}
	got := upgrade.Pack([]upgrade.Result{
		{Task: task, DeviceID: "d3", ResultFields: succeeded, ReceivedAt: 3, FailedAt: 1},
		{Task: task, DeviceID: "d1", ResultFields: with(succeeded, "1.3"), ReceivedAt: 2},
		{Task: task, DeviceID: "d2", ResultFields: failed, ReceivedAt: 4, FailedAt: 2},
		{Task: task, DeviceID: "d4", SubOperationID: "s", ResultFields: with(failed, "1.3"), ReceivedAt: 4},
		{Task: upgrade.Task{OperationID: "op"}, DeviceID: "d1", ResultFields: with(failed, "1.3"), ReceivedAt: 9},
	})
	want := []v1alpha1.TaskResults{
		{
			OperationID: "op", ResultFields: with(failed, "1.3"),
			Results: []v1alpha1.DeviceResult{{DeviceID: "d1", ReceivedAt: 9}},
		},
		{
			AppID: "app", OperationID: "op", ResultFields: failed,
			Results: []v1alpha1.DeviceResult{
				{DeviceID: "d2", ReceivedAt: 4, FailedAt: 2},
				{
					DeviceID: "d4", SubOperationID: "s", ReceivedAt: 4,
					ResultFields: v1alpha1.ResultFields{SourceVersion: "1.3"},
				},
			},
		},
		{
			AppID: "app", OperationID: "op", ResultFields: succeeded,
			Results: []v1alpha1.DeviceResult{
				{DeviceID: "d1", ReceivedAt: 2, ResultFields: v1alpha1.ResultFields{SourceVersion: "1.3"}},
				{DeviceID: "d3", ReceivedAt: 3, FailedAt: 1},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Unexpected entries (-want,+got):\n%s", diff)
	}
}

// TestPackIgnoresTheOrder holds that results that differ in one field alone come out in one order.
func TestPackIgnoresTheOrder(t *testing.T) {
	change := map[string]func(*upgrade.Result){
		"deviceId":       func(r *upgrade.Result) { r.DeviceID = "a" },
		"subOperationId": func(r *upgrade.Result) { r.SubOperationID = "a" },
		"targetVersion":  func(r *upgrade.Result) { r.TargetVersion = "a" },
		"sourceVersion":  func(r *upgrade.Result) { r.SourceVersion = "a" },
		"curVersion":     func(r *upgrade.Result) { r.CurVersion = "a" },
		"statusDesc":     func(r *upgrade.Result) { r.StatusDesc = "a" },
		"upgradeTime":    func(r *upgrade.Result) { r.UpgradeTime = "a" },
		"receivedAt":     func(r *upgrade.Result) { r.ReceivedAt = 1 },
		"failedAt":       func(r *upgrade.Result) { r.FailedAt = 1 },
		"state":          func(r *upgrade.Result) { r.State = "Unheard" },
		"another state":  func(r *upgrade.Result) { r.State = "" },
		"operationId":    func(r *upgrade.Result) { r.OperationID = "a" },
		"appId":          func(r *upgrade.Result) { r.AppID = "a" },
	}
	for name, change := range change {
		t.Run(name, func(t *testing.T) {
			one := succeeded("d", 5)
			other := one
			change(&other)
			forth, back := []upgrade.Result{one, other}, []upgrade.Result{other, one}
			if diff := cmp.Diff(upgrade.Pack(forth), upgrade.Pack(back)); diff != "" {
				t.Errorf("Pack depends on the order of its input:\n%s", diff)
			}
		})
	}
}

func TestPackLimitsTheResultsOfAnEntry(t *testing.T) {
	many := make([]upgrade.Result, v1alpha1.MaxTaskResults+1)
	for i := range many {
		many[i] = upgrade.Result{Task: tasks[0], DeviceID: fmt.Sprint(i), ReceivedAt: int64(i + 1)}
	}
	got := []int{}
	for _, entry := range upgrade.Pack(many) {
		got = append(got, len(entry.Results))
	}
	if diff := cmp.Diff([]int{v1alpha1.MaxTaskResults, 1}, got); diff != "" {
		t.Errorf("Unexpected results per entry (-want,+got):\n%s", diff)
	}
}

func TestUnpackPrefersTheEntry(t *testing.T) {
	entry := v1alpha1.TaskResults{
		OperationID: "op",
		ResultFields: v1alpha1.ResultFields{
			State: v1alpha1.StateFailed, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.4", StatusDesc: "x",
			UpgradeTime: "7",
		},
		Results: []v1alpha1.DeviceResult{{
			DeviceID: "d", ReceivedAt: 5,
			ResultFields: v1alpha1.ResultFields{
				State: v1alpha1.StateSucceeded, TargetVersion: "2", SourceVersion: "2", CurVersion: "2", StatusDesc: "2",
				UpgradeTime: "2",
			},
		}},
	}
	spec := sliceOf([]v1alpha1.TaskResults{entry})
	want := []upgrade.Result{{
		Task: upgrade.Task{OperationID: "op"}, DeviceID: "d", ResultFields: entry.ResultFields, ReceivedAt: 5, FailedAt: 5,
	}}
	if diff := cmp.Diff(want, slices.Collect(upgrade.Unpack(&spec))); diff != "" {
		t.Errorf("Unexpected results (-want,+got):\n%s", diff)
	}
}

func TestUnpackIsTheInverseOfPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := notifications().Draw(t, "results")
		entries := upgrade.Pack(want)
		shuffled := rapid.Permutation(want).Draw(t, "shuffled")
		if diff := cmp.Diff(entries, upgrade.Pack(shuffled)); diff != "" {
			t.Fatalf("Pack depends on the order of its input:\n%s", diff)
		}
		spec := sliceOf(entries)
		got := slices.Collect(upgrade.Unpack(&spec))
		if upgrade.Count(&spec) != len(want) {
			t.Fatalf("Count is %d, want %d", upgrade.Count(&spec), len(want))
		}
		if diff := cmp.Diff(normalizedAndSorted(want), normalizedAndSorted(got)); diff != "" {
			t.Fatalf("Unpacked results differ (-want,+got):\n%s", diff)
		}
		checkEntries(t, entries)
	})
}

func normalizedAndSorted(results []upgrade.Result) []string {
	texts := []string{}
	for _, r := range results {
		r.Normalize()
		texts = append(texts, fmt.Sprintf("%+q", fmt.Sprintf("%#v", r)))
	}
	slices.Sort(texts)
	return texts
}

// checkEntries holds that a state stands in the entry, and that a field that all results have alike does not stand in
// each of them.
func checkEntries(t *rapid.T, entries []v1alpha1.TaskResults) {
	for _, entry := range entries {
		if entry.State == "" {
			t.Fatal("An entry has no state")
		}
		sources := map[string]int{}
		for _, result := range entry.Results {
			if result.State != "" {
				t.Fatal("A result has a state beside that of its entry")
			}
			if entry.SourceVersion != "" && result.SourceVersion != "" {
				t.Fatal("A field stands in the entry and in a result")
			}
			sources[result.SourceVersion]++
		}
		if len(sources) == 1 && sources[""] == 0 {
			t.Fatal("A field that all results share does not stand in the entry")
		}
	}
}

func TestMergeKeepsTheReceiveTimes(t *testing.T) {
	slice := func(receivedAt int64, state v1alpha1.State) v1alpha1.FirmwareUpgradeResultSliceSpec {
		return sliceOf(upgrade.Pack([]upgrade.Result{{
			Task: tasks[0], DeviceID: "d", ResultFields: v1alpha1.ResultFields{State: state}, ReceivedAt: receivedAt,
		}}))
	}
	entry := func(first, last int64) []upgrade.TaskMerge {
		return []upgrade.TaskMerge{{Task: tasks[0], Results: 1, Entries: []v1alpha1.TaskResults{{
			OperationID: "op", FirstReceivedAt: first, LastReceivedAt: last,
			ResultFields: v1alpha1.ResultFields{State: v1alpha1.StateSucceeded},
			Results:      []v1alpha1.DeviceResult{{DeviceID: "d", ReceivedAt: 5, FailedAt: 7}},
		}}}}
	}
	first := slice(2, v1alpha1.StateIdle)
	best := slice(5, v1alpha1.StateSucceeded)
	last := slice(7, v1alpha1.StateFailed)
	merged := upgrade.Merge([]v1alpha1.FirmwareUpgradeResultSliceSpec{first, best, last})
	if diff := cmp.Diff(entry(2, 7), merged); diff != "" {
		t.Errorf("Unexpected merge (-want,+got):\n%s", diff)
	}
	again := upgrade.Merge([]v1alpha1.FirmwareUpgradeResultSliceSpec{sliceOf(merged[0].Entries), best})
	if diff := cmp.Diff(merged, again); diff != "" {
		t.Errorf("A second merge lost something (-want,+got):\n%s", diff)
	}
	within := upgrade.Merge([]v1alpha1.FirmwareUpgradeResultSliceSpec{best})
	within[0].Entries[0].Results[0].FailedAt = 7
	if diff := cmp.Diff(entry(0, 0), within); diff != "" {
		t.Errorf("Receive times stand beside results that have them (-want,+got):\n%s", diff)
	}
}

// TestMergeIgnoresSlicesAndOrder holds that two compactors write the same.
func TestMergeIgnoresSlicesAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := notifications().Draw(t, "results")
		want := upgrade.Merge(slicesOf(t, seen))
		got := upgrade.Merge(slicesOf(t, rapid.Permutation(seen).Draw(t, "shuffled")))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("Merge depends on the order or the slices of its input:\n%s", diff)
		}
		for _, merge := range got {
			spec := sliceOf(merge.Entries)
			if merge.Results != upgrade.Count(&spec) {
				t.Fatalf("A merge says %d results and has %d", merge.Results, upgrade.Count(&spec))
			}
		}
	})
}
