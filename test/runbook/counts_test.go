// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"testing"

	"fwupgrade.io/operator/hack/local"
)

// TestCountsAreDoubted deletes slices by hand, looks as the page says, and restores them.
func TestCountsAreDoubted(t *testing.T) {
	w := start(t, local.Options{})
	w.declare(t, upgradeName, operationID, 60)
	plan := w.push(t, operationID, 60, 0.1)
	w.awaitCounts(t, upgradeName, 54, 6)
	w.write(t, "devices.txt", plan.DeviceID(0)+"\n")
	for _, b := range runbook(t) { // as the page backs up
		if b.Section == "Back up" {
			w.terminal.Run(t, b)
		}
	}
	w.kubectl(t, "-n", operatorNamespace, "delete", "resultslices", "--all")
	w.kubectl(t, "-n", fleet, "wait", "--for=condition=Stalled", "fwu/"+upgradeName, "--timeout=1m")

	s := w.section(t, "Counts are doubted")
	s.run(t, "verify")
	s.run(t, "stored.json")
	s.run(t, "--device")
	s.await(t, "conditions")
	w.awaitCounts(t, upgradeName, 54, 6)
}
