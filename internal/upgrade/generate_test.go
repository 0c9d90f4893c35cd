// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"fmt"

	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

var states = []v1alpha1.State{
	"Unheard", v1alpha1.StateIdle, v1alpha1.StateDownloading, v1alpha1.StateDownloaded, v1alpha1.StateUpdating,
	v1alpha1.StateFailed, v1alpha1.StateSucceeded,
}

// tasks are few and share ids, so that what is kept apart only by one of them shows.
var tasks = []upgrade.Task{
	{OperationID: "op"}, {AppID: "app", OperationID: "op"}, {AppID: "app", OperationID: "other"},
}

// results generates results over alphabets so small that devices, times and texts meet often.
func results(devices int) *rapid.Generator[upgrade.Result] {
	ids := make([]string, devices)
	texts := []string{"", "Other", "Recovered", "Code 17", "Code  18", "Connection lost", "a \"b\", c", "Two\r\nlines"}
	for i := range ids {
		ids[i] = fmt.Sprintf("d%d", i)
		texts = append(texts, fmt.Sprintf("Cause %c", 'a'+rune(i%20)))
	}
	version := rapid.SampledFrom([]string{"", "1.5", "1.6"})
	return rapid.Custom(func(t *rapid.T) upgrade.Result {
		return upgrade.Result{
			Task:           rapid.SampledFrom(tasks).Draw(t, "task"),
			DeviceID:       rapid.SampledFrom(ids).Draw(t, "device"),
			SubOperationID: rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "sub-task"),
			ResultFields: v1alpha1.ResultFields{
				State:         rapid.SampledFrom(append(states, states[4:]...)).Draw(t, "state"),
				TargetVersion: version.Draw(t, "target"),
				SourceVersion: version.Draw(t, "source"),
				CurVersion:    version.Draw(t, "current"),
				StatusDesc:    rapid.SampledFrom(texts).Draw(t, "text"),
				UpgradeTime:   rapid.SampledFrom([]string{"", "7"}).Draw(t, "duration"),
			},
			ReceivedAt: rapid.Int64Range(-1, 6).Draw(t, "received"),
			FailedAt:   max(0, rapid.Int64Range(-6, 6).Draw(t, "failed")),

			FirstReceivedAt: max(0, rapid.Int64Range(-6, 6).Draw(t, "first received")),
			LastReceivedAt:  max(0, rapid.Int64Range(-6, 6).Draw(t, "last received")),
		}
	})
}

// notifications generates results of few or of many devices.
func notifications() *rapid.Generator[[]upgrade.Result] {
	return rapid.OneOf(rapid.SliceOf(results(3)), rapid.SliceOfN(results(40), 0, 150))
}

// slicesOf packs results into slices, cut at random places.
func slicesOf(t *rapid.T, results []upgrade.Result) []v1alpha1.FirmwareUpgradeResultSliceSpec {
	var specs []v1alpha1.FirmwareUpgradeResultSliceSpec
	for len(results) > 0 {
		count := rapid.IntRange(1, len(results)).Draw(t, "results in slice")
		specs = append(specs, sliceOf(upgrade.Pack(results[:count])))
		results = results[count:]
	}
	return specs
}

func sliceOf(tables []v1alpha1.ResultTable) v1alpha1.FirmwareUpgradeResultSliceSpec {
	return v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: tables}
}

// unpack returns what slices hold, which has to be readable.
func unpack(t interface{ Fatalf(string, ...any) }, specs ...v1alpha1.FirmwareUpgradeResultSliceSpec) []upgrade.Result {
	var results []upgrade.Result
	for i := range specs {
		unpacked, err := upgrade.Unpack(&specs[i])
		if err != nil {
			t.Fatalf("Could not unpack: %v", err)
		}
		results = append(results, unpacked...)
	}
	return results
}

// compact merges some of the slices and cuts the merge into slices again. The inputs go or, as after a crash, stay.
func compact(
	t *rapid.T, specs []v1alpha1.FirmwareUpgradeResultSliceSpec,
) []v1alpha1.FirmwareUpgradeResultSliceSpec {
	var inputs, kept []v1alpha1.FirmwareUpgradeResultSliceSpec
	for _, spec := range specs {
		if rapid.Bool().Draw(t, "compact") {
			inputs = append(inputs, spec)
		} else {
			kept = append(kept, spec)
		}
	}
	for _, merged := range upgrade.Merge(unpack(t, inputs...)) {
		for _, tables := range upgrade.Split(merged.Results, rapid.IntRange(1, 2000).Draw(t, "bytes")) {
			kept = append(kept, sliceOf(tables))
		}
	}
	if rapid.Bool().Draw(t, "crash") {
		kept = append(kept, inputs...)
	}
	return kept
}
