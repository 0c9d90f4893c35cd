// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

func TestMergeKeepsTheReceiveTimes(t *testing.T) {
	result := func(receivedAt int64, state v1alpha1.State) upgrade.Result {
		return upgrade.Result{
			Task: tasks[0], DeviceID: "d", ResultFields: v1alpha1.ResultFields{State: state}, ReceivedAt: receivedAt,
		}
	}
	first, best, last := result(2, v1alpha1.StateIdle), result(5, v1alpha1.StateSucceeded), result(7, v1alpha1.StateFailed)
	joined := best
	joined.FirstReceivedAt, joined.LastReceivedAt, joined.FailedAt = 2, 7, 7
	want := []upgrade.TaskResults{{Task: tasks[0], Results: []upgrade.Result{joined}}}
	merged := upgrade.Merge([]upgrade.Result{first, best, last})
	if diff := cmp.Diff(want, merged); diff != "" {
		t.Errorf("Unexpected merge (-want,+got):\n%s", diff)
	}
	again := upgrade.Merge(append([]upgrade.Result{best}, merged[0].Results...))
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("A second merge lost something (-want,+got):\n%s", diff)
	}
}

// TestMergeIgnoresTheOrder holds that two compactors write the same.
func TestMergeIgnoresTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := notifications().Draw(t, "results")
		shuffled := rapid.Permutation(seen).Draw(t, "shuffled")
		if diff := cmp.Diff(upgrade.Merge(seen), upgrade.Merge(shuffled)); diff != "" {
			t.Fatalf("Merge depends on the order of its input:\n%s", diff)
		}
	})
}
