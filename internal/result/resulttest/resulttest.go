// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package resulttest makes results for tests: drawn ones over small alphabets for property tests, and many alike for
// tests of sizes.
package resulttest

import (
	"fmt"

	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// States returns one state of each rank, from the least.
func States() []storage.State {
	return []storage.State{
		"Unheard", storage.StateIdle, storage.StateDownloading, storage.StateDownloaded, storage.StateUpdating,
		storage.StateFailed, storage.StateSucceeded,
	}
}

// Tasks returns three tasks. Two share an OperationID and two an AppID, so that a test fails if only one of the ids is
// looked at.
func Tasks() []result.Task {
	return []result.Task{
		{OperationID: "op"}, {AppID: "app", OperationID: "op"}, {AppID: "app", OperationID: "other"},
	}
}

// Documented returns the failure texts that the platform documents.
func Documented() []string {
	return []string{
		"Device Abnormal is not online",
		"Task Conflict",
		"Waiting for the device online timeout",
		"Waiting for report cellId timeout",
		"Waiting for report device firmware version timeout",
		"Wait for the device to report upgrade result timeout",
		"Updating timeout and query device version for check timeout",
		"Waiting for device downloaded package timeout",
		"Integrity check failure for new downloaded package",
		"Unsupported package type",
		"Not enough storage for the new firmware package",
		"Out of memory during downloading process",
		"Connection lost during downloading process",
		"Invalid URI",
		"Firmware update failed",
	}
}

// Failed returns a failure of the first of Tasks.
func Failed(device string, receivedAt int64) result.Result {
	return result.Result{
		Task: Tasks()[0], DeviceID: device, ReceivedAt: receivedAt,
		ResultFields: storage.ResultFields{State: storage.StateFailed, StatusDesc: "Invalid URI"},
	}
}

// Succeeded returns a success of the first of Tasks.
func Succeeded(device string, receivedAt int64) result.Result {
	r := Failed(device, receivedAt)
	r.ResultFields = storage.ResultFields{State: storage.StateSucceeded}
	return r
}

// Many returns results of the first of Tasks, of devices whose ids have the 36 characters of a UUID. The devices are
// numbered from first.
func Many(first, count int, state storage.State) []result.Result {
	task, texts := Tasks()[0], Documented()
	results := make([]result.Result, count)
	for i := range results {
		n := first + i
		results[i] = result.Result{
			Task:           task,
			DeviceID:       fmt.Sprintf("%08x-0000-4000-8000-%012x", n*2654435761&0xffffffff, n),
			SubOperationID: fmt.Sprintf("sub-%032x", n),
			ResultFields: storage.ResultFields{
				State: state, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.6",
				StatusDesc: texts[n%len(texts)],
			},
			ReceivedAt: int64(1_700_000_000_000_000 + n),
		}
	}
	return results
}

// OfDevices draws a result of one of so many devices, d0, d1 and so on. The alphabets are so small that devices, times
// and texts meet often.
func OfDevices(devices int) *rapid.Generator[result.Result] {
	ids := make([]string, devices)
	texts := []string{"", "Other", "Recovered", "Code 17", "Code  18", "Connection lost", "a \"b\", c", "Two\r\nlines"}
	for i := range ids {
		ids[i] = fmt.Sprintf("d%d", i)
		texts = append(texts, fmt.Sprintf("Cause %c", 'a'+rune(i%20)))
	}
	states := States()
	states = append(states, states[4:]...) // the last three are drawn twice as often
	version := rapid.SampledFrom([]string{"", "1.5", "1.6"})
	return rapid.Custom(func(t *rapid.T) result.Result {
		return result.Result{
			Task:           rapid.SampledFrom(Tasks()).Draw(t, "task"),
			DeviceID:       rapid.SampledFrom(ids).Draw(t, "device"),
			SubOperationID: rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "sub-task"),
			ResultFields: storage.ResultFields{
				State:         rapid.SampledFrom(states).Draw(t, "state"),
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

// Results draws results of few or of many devices.
func Results() *rapid.Generator[[]result.Result] {
	return rapid.OneOf(rapid.SliceOf(OfDevices(3)), rapid.SliceOfN(OfDevices(40), 0, 150))
}

// Fataler is what Unpack needs of a test, of a property test or of a fuzz test.
type Fataler interface {
	Fatalf(format string, args ...any)
}

// Unpack returns the results of slices. It fails the test if they can't be read.
func Unpack(t Fataler, slices ...[]storage.ResultTable) []result.Result {
	var results []result.Result
	for _, tables := range slices {
		unpacked, err := result.Unpack(tables)
		if err != nil {
			t.Fatalf("Could not unpack: %v", err)
		}
		results = append(results, unpacked...)
	}
	return results
}

// Slices packs results into slices, cut at drawn places.
func Slices(t *rapid.T, results []result.Result) [][]storage.ResultTable {
	var slices [][]storage.ResultTable
	for len(results) > 0 {
		count := rapid.IntRange(1, len(results)).Draw(t, "results in slice")
		slices = append(slices, result.Pack(results[:count]))
		results = results[count:]
	}
	return slices
}

// Compact merges some of the slices and cuts the merge into slices again, as compaction does. The inputs are removed
// or, as after a crash, still there.
func Compact(t *rapid.T, slices [][]storage.ResultTable) [][]storage.ResultTable {
	var inputs, kept [][]storage.ResultTable
	for _, tables := range slices {
		if rapid.Bool().Draw(t, "compact") {
			inputs = append(inputs, tables)
		} else {
			kept = append(kept, tables)
		}
	}
	for _, merged := range result.Merge(Unpack(t, inputs...)) {
		kept = append(kept, result.Split(merged.Results, rapid.IntRange(1, 2000).Draw(t, "bytes"))...)
	}
	if rapid.Bool().Draw(t, "crash") {
		kept = append(kept, inputs...)
	}
	return kept
}
