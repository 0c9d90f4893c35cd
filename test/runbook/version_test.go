// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"net/http"
	"testing"

	"fwupgrade.io/operator/hack/local"
)

// TestPodsDoNotRun rolls out an image that nobody can pull, under which pushes are stored, and goes back.
func TestPodsDoNotRun(t *testing.T) {
	w := start(t, local.Options{})
	w.kubectl(t, "-n", operatorNamespace, "set", "image", "deployment/fwupgrade-webhook", "manager="+knownImage+badTag)
	w.kubectl(t, "-n", operatorNamespace, "wait", "--for=jsonpath={.status.unavailableReplicas}=1",
		"deployment/fwupgrade-webhook", "--timeout=1m")

	s := w.section(t, "Pods do not run")
	s.await(t, "get pods")
	w.awaitAnswer(t, http.StatusOK)
	s.run(t, "rollout history")
	s.run(t, "rollout undo")
	s.run(t, "rollout status")
	w.awaitAnswer(t, http.StatusOK)
}
