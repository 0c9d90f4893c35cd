// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"net/http"
	"testing"

	"fwupgrade.io/operator/hack/local"
)

// TestWrongSecret replaces the callback's secret by another one, as somebody does who installs anew without the old
// file.
func TestWrongSecret(t *testing.T) {
	w := start(t, local.Options{})
	w.kubectl(t, "-n", operatorNamespace, "patch", "secret", "fwupgrade-callback", "-p",
		`{"stringData": {"paths": "another-secret-than-the-platform-has\n"}}`)
	w.awaitAnswer(t, http.StatusUnauthorized)

	s := w.section(t, "Wrong secret")
	s.run(t, "Turned away")
	s.run(t, "sha256sum")
	s.run(t, "patch secret")
	s.await(t, "ping")
	w.awaitAnswer(t, http.StatusOK)
}
