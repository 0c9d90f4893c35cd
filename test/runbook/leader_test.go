// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// TestNoLeader gives the controllers a flag that ends them, and takes it away.
func TestNoLeader(t *testing.T) {
	w := start(t, local.Options{})
	w.declare(t, upgradeName, operationID, 20)
	w.kubectl(t, "-n", operatorNamespace, "patch", "deployment", "fwupgrade-controllers", "--type=json", "-p",
		`[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--undeclared=Adapt"},
		{"op": "add", "path": "/spec/strategy", "value": {"type": "Recreate"}}]`)
	harness.Eventually(t, func() string {
		restarts := w.kubectl(t, "-n", operatorNamespace, "get", "pods", "-l", "app.kubernetes.io/component=controllers",
			"-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}")
		if strings.Contains(" "+restarts, " 0") || strings.TrimSpace(restarts) == "" {
			return "the pods restarted so often: " + restarts
		}
		return ""
	})
	w.push(t, operationID, 20, 0.1)

	s := w.section(t, "No leader")
	s.run(t, "get lease")
	w.kubectl(t, "-n", operatorNamespace, "rollout", "undo", "deployment/fwupgrade-controllers")
	w.awaitCounts(t, upgradeName, 18, 2)
	s.run(t, "events")
}
