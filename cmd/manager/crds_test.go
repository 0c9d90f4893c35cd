// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/hack/local"
)

// Without the CRDs the controllers say so, with the command that installs them.
func TestMissingCRDs(t *testing.T) {
	config := withCRDs(t, "fwupgrade.io_firmwareupgrades.yaml")
	const want = "does not know the kind ResultSlice of storage.fwupgrade.io/v1alpha1: install the CRDs with " +
		"kubectl apply -k config/crd"
	m, out := launch(t, config, "controllers", "--operator-namespace=default")
	contains(t, refused(t, m, out), want)

	// The webhook receives all the same, and says what pushes are answered meanwhile.
	m, out = launch(t, config, "webhook", "--operator-namespace=default", "--allow-anonymous", "--drain-duration=0s")
	await(t, m)
	awaitText(t, out, want)
	contains(t, out.String(), "pushes are answered 503")
	stop(t, m)
}

// An installation from before IoTApplications, or before the records of tasks, whose CRDs were not upgraded is said by
// the controllers. The webhook stores: it needs the kinds of the store alone, and complains of no other.
func TestMissingCRDsOfThePlatform(t *testing.T) {
	config := withCRDs(t, "fwupgrade.io_firmwareupgrades.yaml", "storage.fwupgrade.io_resultslices.yaml",
		"storage.fwupgrade.io_resultstores.yaml")
	m, out := launch(t, config, "controllers", "--operator-namespace=default")
	contains(t, refused(t, m, out), "does not know the kind IoTApplication of fwupgrade.io/v1alpha1: install the CRDs "+
		"with kubectl apply -k config/crd")

	m, out = launch(t, config, "webhook", "--operator-namespace=default", "--allow-anonymous", "--drain-duration=0s")
	await(t, m)
	const notification = `{"notifyType":"fwUpgradeResultNotify","deviceId":"d","appId":"a","operationId":"o",` +
		`"status":"SUCCESS"}`
	answer, err := http.Post("http://"+m.CallbackAddress+local.CallbackPath, "application/json",
		strings.NewReader(notification))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("a push is answered %d", answer.StatusCode)
	}
	stop(t, m)
	if strings.Contains(out.String(), "Could not store results yet") {
		t.Errorf("it stores, and says that it does not:\n%s", out)
	}
}

// withCRDs starts a control plane with some of the CRDs, until the test ends.
func withCRDs(t *testing.T, files ...string) *rest.Config {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, file := range files {
		paths = append(paths, filepath.Join(root, "config", "crd", "bases", file))
	}
	cluster, err := local.Start(t.Context(), local.Options{WithoutControllerManager: true, CRDPaths: paths})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cluster.Config()
}
