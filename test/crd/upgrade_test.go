// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// older are manifests as people wrote them before there was spec.task.
const older = `
apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata: {name: minimal, namespace: default}
spec:
  operationId: "7f2c9d3e41b84a6f9c05d1e8a2b7630f"
---
apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata: {name: listed, namespace: default, labels: {wave: "1"}}
spec:
  operationId: "listed"
  appId: "app"
  targetVersion: "1.6"
  devices: [a, b, c]
  failurePolicy: {maxFailed: "5%", minReported: 2}
  deadlineSeconds: 172800
  settleSeconds: 3600
  retainResultsSeconds: 60
  deletionPolicy: Retain
---
apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata: {name: numbered, namespace: default}
spec:
  operationId: "numbered"
  expectedDevices: 1000
  failurePolicy: {maxFailed: 20}
  deletionPolicy: Purge
---
apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata: {name: undeclared-0123456789abcdef, namespace: default}
spec: {operationId: "placeholder", placeholder: true}
`

// What was stored and written before operationId became one of two goes on as it is: it is applied again without a
// change, shows no difference, is edited, and its status is written.
func TestUpgradeFromOperationID(t *testing.T) {
	cluster, err := local.Start(t.Context(), local.Options{
		WithoutControllerManager: true, CRDPaths: []string{filepath.Join("testdata", "before")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := harness.NewClient(cluster)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	kubeconfig, manifests := filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "upgrades.yaml")
	if err := cluster.WriteKubeconfig(kubeconfig); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifests, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) {
		t.Helper()
		if _, err := harness.Kubectl(t.Context(), kubeconfig, args...); err != nil {
			t.Error(err)
		}
	}
	byServer := []string{"--server-side", "--field-manager=kustomize-controller", "--force-conflicts"}
	kubectl(append([]string{"apply", "-f", manifests}, byServer...)...)
	stored := func() (all map[string]v1alpha1.FirmwareUpgrade) {
		t.Helper()
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := c.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		all = map[string]v1alpha1.FirmwareUpgrade{}
		for _, f := range list.Items {
			all[f.Name] = f
		}
		return all
	}
	at := metav1.Unix(1_800_000_000, 0)
	for name, f := range stored() {
		f.Status = v1alpha1.FirmwareUpgradeStatus{ObservedGeneration: f.Generation, Phase: v1alpha1.PhasePending}
		if name == "listed" { // it has ended, and is archived
			f.Status.Phase, f.Status.AppID, f.Status.StartTime = v1alpha1.PhaseSucceeded, "app", &at
			f.Status.CompletionTime, f.Status.ArchiveTime = &at, &at
			f.Status.Devices = v1alpha1.DeviceCounts{Expected: 3, Succeeded: 3}
		}
		if err := c.Status().Update(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
	}
	before := stored()
	if len(before) != 4 {
		t.Fatalf("want four objects, got %d", len(before))
	}

	kubectl("apply", "--server-side", "--force-conflicts", "-f", filepath.Join("..", "..", "config", "crd", "bases"))
	harness.Eventually(t, func() string { // the API server takes a moment to serve another schema
		if err := c.Create(t.Context(), toCreate("served").Obj(), client.DryRunAll); err != nil {
			return err.Error()
		}
		return ""
	})
	kubectl(append([]string{"diff", "-f", manifests}, byServer...)...)
	kubectl(append([]string{"apply", "-f", manifests}, byServer...)...)
	kubectl("diff", "-f", manifests)
	if diff := cmp.Diff(before, stored()); diff != "" {
		t.Errorf("applying again changes (-before +after):\n%s", diff)
	}

	for name, f := range before {
		for what, patch := range map[string]string{
			"a label":      `{"metadata":{"labels":{"a":"b"}}}`,
			"a finalizer":  `{"metadata":{"finalizers":["fwupgrade.io/purge"]}}`,
			"a deadline":   `{"spec":{"deadlineSeconds":7200}}`,
			"declared":     `{"spec":{"placeholder":false}}`,
			"no retention": `{"spec":{"retainResultsSeconds":0}}`,
		} {
			if err := c.Patch(t.Context(), f.DeepCopy(), mergePatch(patch), client.DryRunAll); err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		for patch, want := range map[string]string{
			`{"spec":{"operationId":"another"}}`: "operationId is immutable",
			`{"spec":{"operationId":null}}`:      "operationId can't be removed",
		} {
			checkRefusal(t, want, c.Patch(t.Context(), f.DeepCopy(), mergePatch(patch), client.DryRunAll))
		}
		f.Status.OperationID = f.Spec.OperationID
		if err := c.Status().Update(t.Context(), &f); err != nil {
			t.Errorf("%s, its status: %v", name, err)
		}
	}
	kubectl("apply", "--server-side", "--field-manager=kustomize-controller", "-f", writeFile(t, strings.NewReplacer(
		"expectedDevices: 1000", "expectedDevices: 999", "devices: [a, b, c]", "devices: [a, b, c, d]").Replace(older)))
	if got := stored(); *got["numbered"].Spec.ExpectedDevices != 999 || len(got["listed"].Spec.Devices) != 4 ||
		got["minimal"].Status.OperationID != got["minimal"].Spec.OperationID {
		t.Errorf("what was edited is not there: %+v", got)
	}
	kubectl("delete", "-f", manifests)
}

// writeFile writes a manifest, and returns its path.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
