// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

// A task that was replaced is as if only the sibling's results had been added, and the other tasks are as before. Its
// failure log begins with the devices that were in it, in their order.
func TestReplaceEqualsTheSibling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := resulttest.Results().Draw(t, "before")
		stored := rapid.SliceOfDistinct(rapid.IntRange(0, max(0, len(before)-1)), rapid.ID[int]).Draw(t, "stored")
		replaced, tallied := rapid.SampledFrom(tasks).Draw(t, "replaced"), tally.New()
		tallied.Add(before)
		var left, want []result.Result
		for _, i := range stored {
			if i < len(before) {
				left = append(left, before[i])
			}
		}
		left = append(left, resulttest.Results().Draw(t, "later")...)
		for _, r := range before {
			if r.Task != replaced {
				want = append(want, r)
			}
		}
		sibling := tallied.Sibling()
		for _, r := range left {
			if r.Task == replaced {
				sibling.Add([]result.Result{r})
				want = append(want, r)
			}
		}
		position := map[string]int{}
		for i, f := range tallied.FailuresFrom(replaced, 0, math.MaxInt) {
			position[f.DeviceID] = i + 1
		}
		tallied.Replace(replaced, sibling)
		wanted := tally.New()
		wanted.Add(want)
		if diff := cmp.Diff(wanted.All(), tallied.All()); diff != "" || wanted.Size() != tallied.Size() {
			t.Fatalf("Tasks, %d devices, want %d (-want +got):\n%s", tallied.Size(), wanted.Size(), diff)
		}
		for _, task := range tasks {
			if diff := cmp.Diff(wanted.Summary(task, queries[1]), tallied.Summary(task, queries[1])); diff != "" {
				t.Fatalf("Summary (-want +got):\n%s", diff)
			}
		}
		last := 0
		for _, f := range tallied.FailuresFrom(replaced, 0, math.MaxInt) {
			at, known := position[f.DeviceID]
			if !known {
				at = len(position) + 1
			}
			if at < last {
				t.Fatalf("The failure log has %s before its place", f.DeviceID)
			}
			last = at
		}
	})
}
