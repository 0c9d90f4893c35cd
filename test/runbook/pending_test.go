// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// TestPending declares a task with a misspelt id, and again with the right one.
func TestPending(t *testing.T) {
	w := start(t, local.Options{})
	w.declare(t, upgradeName, "7f2c9d3e41b84a6f9c05d1e8a2b7630F", 60)
	w.push(t, operationID, 60, 0.1)
	harness.Eventually(t, func() string {
		if placeholders := w.kubectl(t, "-n", "default", "get", "fwu", "-o",
			"jsonpath={.items[*].status.devices.succeeded}"); placeholders != "54" {
			return "the placeholder counts " + placeholders
		}
		return ""
	})

	s := w.section(t, "An upgrade stays Pending")
	s.await(t, "conditions")
	s.run(t, "del(.status)")
	w.awaitCounts(t, upgradeName, 54, 6)
	s.await(t, "get fwu -A")
}
