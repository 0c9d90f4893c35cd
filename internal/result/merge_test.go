// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
)

func TestMergeKeepsTheReceiveTimes(t *testing.T) {
	task := resulttest.Tasks()[0]
	reported := func(receivedAt int64, state storage.State) result.Result {
		return result.Result{
			Task: task, DeviceID: "d", ResultFields: storage.ResultFields{State: state}, ReceivedAt: receivedAt,
		}
	}
	first, last := reported(2, storage.StateIdle), reported(7, storage.StateFailed)
	best := reported(5, storage.StateSucceeded)
	joined := best
	joined.FirstReceivedAt, joined.LastReceivedAt, joined.FailedAt = 2, 7, 7
	want := []result.TaskResults{{Task: task, Results: []result.Result{joined}}}
	merged := result.Merge([]result.Result{first, best, last})
	if diff := cmp.Diff(want, merged); diff != "" {
		t.Errorf("Unexpected merge (-want,+got):\n%s", diff)
	}
	again := result.Merge(append([]result.Result{best}, merged[0].Results...))
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("A second merge lost something (-want,+got):\n%s", diff)
	}
}

// TestMergeIgnoresTheOrder holds that two compactors write the same.
func TestMergeIgnoresTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := resulttest.Results().Draw(t, "results")
		shuffled := rapid.Permutation(seen).Draw(t, "shuffled")
		if diff := cmp.Diff(result.Merge(seen), result.Merge(shuffled)); diff != "" {
			t.Fatalf("Merge depends on the order of its input:\n%s", diff)
		}
	})
}
