// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"fmt"
	"runtime"
	"testing"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

func filled(devices int, failedEvery int) *tally.Tally {
	const step = 1000
	tallied := tally.New()
	for first := 0; first < devices; first += step {
		state := storage.StateSucceeded
		if failedEvery > 0 && first/step%failedEvery == 0 {
			state = storage.StateFailed
		}
		tallied.Add(resulttest.Many(first, step, state))
	}
	return tallied
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
	tallied := filled(devices, 0)
	used := heap() - before
	if tallied.Size() != int64(devices) {
		tb.Fatalf("The tally has %d devices", tallied.Size())
	}
	runtime.KeepAlive(tallied)
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
	for _, state := range []storage.State{storage.StateSucceeded, storage.StateFailed} {
		b.Run(string(state), func(b *testing.B) {
			const step, count = 500, 400
			batches := make([][]result.Result, count)
			for i := range batches {
				batches[i] = resulttest.Many(i*step, step, state)
			}
			tallied := tally.New()
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += step {
				if i/step%count == 0 {
					tallied = tally.New()
				}
				tallied.Add(batches[i/step%count])
			}
		})
	}
}

// BenchmarkSummary must not depend on the number of devices.
func BenchmarkSummary(b *testing.B) {
	for _, devices := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(devices), func(b *testing.B) {
			tallied := filled(devices, 10)
			b.ReportAllocs()
			for b.Loop() {
				tallied.Summary(tasks[0], tally.Query{TargetVersion: "1.6"})
			}
		})
	}
}

// BenchmarkDigestFailures digests 100,000 failures.
func BenchmarkDigestFailures(b *testing.B) {
	tallied := filled(100_000, 1)
	for b.Loop() {
		tallied.DigestFailures(tasks[0], 0, 3)
	}
}

func BenchmarkCause(b *testing.B) {
	for b.Loop() {
		tally.Cause("Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301 lost connection to 10.0.0.1:5683 after 30s")
	}
}
