// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"fmt"
	"runtime"
	"testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// resultsOf are results of one task, of devices whose ids have the 36 characters of a UUID.
func resultsOf(first, count int, state v1alpha1.State) []upgrade.Result {
	results := make([]upgrade.Result, count)
	for i := range results {
		n := first + i
		results[i] = upgrade.Result{
			Task:           tasks[0],
			DeviceID:       fmt.Sprintf("%08x-0000-4000-8000-%012x", n*2654435761&0xffffffff, n),
			SubOperationID: fmt.Sprintf("sub-%032x", n),
			ResultFields: v1alpha1.ResultFields{
				State: state, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.6",
				StatusDesc: documented[n%len(documented)],
			},
			ReceivedAt: int64(1_700_000_000_000_000 + n),
		}
	}
	return results
}

func filled(devices int, failedEvery int) *upgrade.Tally {
	const step = 1000
	tally := upgrade.NewTally()
	for first := 0; first < devices; first += step {
		state := v1alpha1.StateSucceeded
		if failedEvery > 0 && first/step%failedEvery == 0 {
			state = v1alpha1.StateFailed
		}
		tally.Add(resultsOf(first, step, state))
	}
	return tally
}

// BenchmarkTallyMemory reports what a million devices that succeeded take; the bound is 150 bytes each.
func BenchmarkTallyMemory(b *testing.B) {
	const devices = 1_000_000
	for b.Loop() {
		b.ReportMetric(bytesADevice(b, devices), "bytes/device")
	}
}

// maxBytesADevice is the target: a million devices that succeeded fit into 150 MB of the leader's memory.
const maxBytesADevice = 150

func TestTallyMemory(t *testing.T) {
	for _, devices := range []int{200_000, 300_000} { // hash tables grow in steps
		if got := bytesADevice(t, devices); got > maxBytesADevice {
			t.Errorf("%d devices take %.0f bytes each, more than %d", devices, got, maxBytesADevice)
		}
	}
}

// bytesADevice returns what each of so many devices that succeeded takes in a tally.
func bytesADevice(tb testing.TB, devices int) float64 {
	tb.Helper()
	before := heap()
	tally := filled(devices, 0)
	used := heap() - before
	if tally.Results() != int64(devices) {
		tb.Fatalf("The tally has %d devices", tally.Results())
	}
	runtime.KeepAlive(tally)
	return float64(used) / float64(devices)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// BenchmarkTallyAdd adds slices of 500 results each; an operation is one result.
func BenchmarkTallyAdd(b *testing.B) {
	for _, state := range []v1alpha1.State{v1alpha1.StateSucceeded, v1alpha1.StateFailed} {
		b.Run(string(state), func(b *testing.B) {
			const step, count = 500, 400
			batches := make([][]upgrade.Result, count)
			for i := range batches {
				batches[i] = resultsOf(i*step, step, state)
			}
			tally := upgrade.NewTally()
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += step {
				if i/step%count == 0 {
					tally = upgrade.NewTally()
				}
				tally.Add(batches[i/step%count])
			}
		})
	}
}

// BenchmarkSummary must not depend on the number of devices.
func BenchmarkSummary(b *testing.B) {
	for _, devices := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(devices), func(b *testing.B) {
			tally := filled(devices, 10)
			b.ReportAllocs()
			for b.Loop() {
				tally.Summary(tasks[0], upgrade.Query{TargetVersion: "1.6"})
			}
		})
	}
}

// BenchmarkDigestFailures digests 100,000 failures.
func BenchmarkDigestFailures(b *testing.B) {
	tally := filled(100_000, 1)
	for b.Loop() {
		tally.DigestFailures(tasks[0], 0, 3)
	}
}

func BenchmarkPack(b *testing.B) {
	results := resultsOf(0, 1000, v1alpha1.StateSucceeded)
	b.ReportAllocs()
	for b.Loop() {
		upgrade.Pack(results)
	}
}

func BenchmarkUnpack(b *testing.B) {
	spec := sliceOf(upgrade.Pack(resultsOf(0, 1000, v1alpha1.StateSucceeded)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := upgrade.Unpack(&spec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReason(b *testing.B) {
	for b.Loop() {
		upgrade.Reason("Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301 lost connection to 10.0.0.1:5683 after 30s")
	}
}
