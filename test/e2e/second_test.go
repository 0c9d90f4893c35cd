// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// A second installation in the cluster says whose the FirmwareUpgrades are, and ends; nothing changes by it, even with
// the rights of an administrator.
func TestSecondInstallationDoesNothing(t *testing.T) {
	webhook := startWebhook(t)
	startControllers(t)
	plan := newPlan(t, platform.PlanOptions{Devices: 20, Tasks: 1, Seed: 21})
	fwu := declare(t, harness.NewNamespace(t, k8s), "mine", plan, 20)
	push(t, plan, platform.PushOptions{URL: callbackURL(webhook)})
	awaitStatus(t, fwu, func(st v1alpha1.FirmwareUpgradeStatus) string {
		if st.Phase != v1alpha1.PhaseSucceeded || len(st.OperatorState.Outbox) > 0 {
			return fmt.Sprintf("phase %s, %d Events wait", st.Phase, len(st.OperatorState.Outbox))
		}
		return ""
	})
	version := fwu.ResourceVersion

	other := harness.NewNamespace(t, k8s)
	second, err := local.StartManager(t.Context(), local.ManagerOptions{
		Config: cluster.Config(), Dir: t.TempDir(), ReadyTimeout: -1,
		Args: []string{"--operator-namespace=" + other, "--allow-anonymous"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Kill() })
	select {
	case <-second.Done():
	case <-t.Context().Done():
		t.Fatal("the second installation goes on")
	}
	want := "the FirmwareUpgrades of this cluster belong to the installation in namespace " + operatorNamespace
	if log := second.Tail(); !strings.Contains(log, want) {
		t.Errorf("want %q in what it says, got:\n%s", want, log)
	}
	get(t, fwu.Namespace, fwu.Name, fwu)
	if fwu.ResourceVersion != version {
		t.Errorf("the FirmwareUpgrade was written: %+v", fwu.Status)
	}
}
