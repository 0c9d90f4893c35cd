// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"encoding/json"
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

// awkward generates strings with what JSON escapes, and with what is not UTF-8.
func awkward() *rapid.Generator[string] {
	special := rapid.SampledFrom([]string{
		"\x00", "\b", "\f", "\n", "\x1f", "\x7f", "<", ">", "&", `"`, `\`, "/", "\u2028", "\u2029", "\u2027", "\xff",
		"\xe2\x80", "é", "\U0001F600", "\ufffd", "a",
	})
	return rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Custom(func(t *rapid.T) string {
		text := ""
		for _, part := range rapid.SliceOfN(special, 0, 10).Draw(t, "parts") {
			text += part
		}
		return text
	}))
}

func awkwardEntries() *rapid.Generator[[]v1alpha1.TaskResults] {
	fields := rapid.Custom(func(t *rapid.T) v1alpha1.ResultFields {
		text := awkward()
		return v1alpha1.ResultFields{
			State: v1alpha1.State(text.Draw(t, "state")), TargetVersion: text.Draw(t, "target"),
			SourceVersion: text.Draw(t, "source"), CurVersion: text.Draw(t, "current"),
			StatusDesc: text.Draw(t, "text"), UpgradeTime: text.Draw(t, "duration"),
		}
	})
	result := rapid.Custom(func(t *rapid.T) v1alpha1.DeviceResult {
		return v1alpha1.DeviceResult{
			DeviceID: awkward().Draw(t, "device"), SubOperationID: awkward().Draw(t, "sub-task"),
			ResultFields: fields.Draw(t, "fields"),
			ReceivedAt:   rapid.Int64().Draw(t, "received"), FailedAt: rapid.Int64().Draw(t, "failed"),
		}
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) v1alpha1.TaskResults {
		return v1alpha1.TaskResults{
			AppID: awkward().Draw(t, "app"), OperationID: awkward().Draw(t, "operation"),
			ResultFields:    fields.Draw(t, "fields"),
			FirstReceivedAt: rapid.Int64().Draw(t, "first"), LastReceivedAt: rapid.Int64().Draw(t, "last"),
			Results: rapid.SliceOfN(result, 0, 5).Draw(t, "results"),
		}
	}), 0, 4)
}

func TestSizeIsAnUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := awkwardEntries().Draw(t, "entries")
		if len(entries) > 0 && rapid.Bool().Draw(t, "null") {
			entries[0].Results = nil
		}
		checkSize(t, entries)
	})
}

func FuzzSize(f *testing.F) {
	f.Add("<\x00&>\u2028\xff\"\\", int64(-1<<63))
	f.Add("\b\f\n\r\t\x7f", int64(1<<63-1))
	f.Fuzz(func(t *testing.T, text string, number int64) {
		checkSize(t, []v1alpha1.TaskResults{{
			OperationID: text, LastReceivedAt: number,
			Results: []v1alpha1.DeviceResult{{DeviceID: text, ReceivedAt: number, FailedAt: -number / 10}},
		}})
	})
}

func checkSize(t interface{ Fatalf(string, ...any) }, entries []v1alpha1.TaskResults) {
	encoded, err := json.Marshal(entries)
	if err != nil {
		t.Fatalf("Could not encode the entries: %v", err)
	}
	if size := upgrade.Size(entries); size < len(encoded) {
		t.Fatalf("Size is %d, below the %d bytes of %q", size, len(encoded), encoded)
	}
}

// TestSizeIsClose holds that the bound is not bought with space: plain entries cost at most three bytes too much, and
// each result one.
func TestSizeIsClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := upgrade.Pack(notifications().Draw(t, "results"))
		spec := sliceOf(entries)
		encoded, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		// Each object writes one comma less after its last field; an object's own comma is missing once in each list.
		limit := len(encoded) + 6*len(entries) + 2*upgrade.Count(&spec)
		if size := upgrade.Size(entries); size > max(limit, len("null")) {
			t.Fatalf("Size is %d, far above the %d bytes of %s", size, len(encoded), encoded)
		}
	})
}

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := awkwardEntries().Draw(t, "entries")
		maxBytes := rapid.IntRange(0, 3000).Draw(t, "bytes")
		var rejoined []v1alpha1.TaskResults
		for _, chunk := range upgrade.Split(entries, maxBytes) {
			count := 0
			for _, entry := range chunk {
				count += len(entry.Results)
			}
			if upgrade.Size(chunk) >= maxBytes && count != 1 {
				t.Fatalf("A chunk of %d results takes %d bytes, limit %d", count, upgrade.Size(chunk), maxBytes)
			}
			if count == 0 {
				t.Fatal("A chunk has no results")
			}
			rejoined = append(rejoined, chunk...)
		}
		checkRejoined(t, entries, rejoined)
	})
}

// checkRejoined takes the parts of each entry from the front of parts and holds that they make up the entry.
func checkRejoined(t *rapid.T, entries, parts []v1alpha1.TaskResults) {
	for _, entry := range entries {
		if len(entry.Results) == 0 {
			continue
		}
		if len(parts) == 0 {
			t.Fatal("An entry is lost")
		}
		joined := parts[0]
		joined.Results = slices.Clone(joined.Results)
		parts = parts[1:]
		for len(joined.Results) < len(entry.Results) && len(parts) > 0 {
			rest := parts[0]
			if rest.ResultFields != entry.ResultFields || rest.OperationID != entry.OperationID || rest.AppID != entry.AppID {
				t.Fatal("A part of an entry lost what its results share")
			}
			joined.Results = append(joined.Results, rest.Results...)
			parts = parts[1:]
		}
		if diff := cmp.Diff(entry, joined); diff != "" {
			t.Fatalf("An entry differs after Split (-want,+got):\n%s", diff)
		}
	}
	if len(parts) > 0 {
		t.Fatalf("%d parts belong to no entry", len(parts))
	}
}

func TestSplitLimitsTheEntriesOfASlice(t *testing.T) {
	many := make([]v1alpha1.TaskResults, v1alpha1.MaxSliceTasks+1)
	for i := range many {
		many[i] = v1alpha1.TaskResults{OperationID: fmt.Sprint(i), Results: make([]v1alpha1.DeviceResult, 1)}
	}
	got := []int{}
	for _, chunk := range upgrade.Split(many, v1alpha1.MaxSliceBytes) {
		got = append(got, len(chunk))
	}
	if diff := cmp.Diff([]int{v1alpha1.MaxSliceTasks, 1}, got); diff != "" {
		t.Errorf("Unexpected entries per chunk (-want,+got):\n%s", diff)
	}
}
