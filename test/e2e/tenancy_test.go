// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// With an applications file only the application's namespace may claim its tasks, and a secret of one application is
// good for that application alone.
func TestTenancy(t *testing.T) {
	plan := newPlan(t, platform.PlanOptions{Devices: 20, Tasks: 1, Seed: 14})
	ours, theirs := harness.NewNamespace(t, k8s), harness.NewNamespace(t, k8s)
	dir := t.TempDir()
	const appSecret = "a-secret-of-one-application"
	must(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte(appSecret+"\n"), 0o600))
	file := filepath.Join(dir, "applications.yaml")
	must(
		t,
		os.WriteFile(
			file,
			fmt.Appendf(
				nil,
				"applications:\n- appId: %q\n  namespaces: [%s]\n  secretsFile: secrets\n",
				plan.Options().AppID,
				ours,
			),
			0o600,
		),
	)
	webhook := startWebhook(t, "--applications-file="+file)
	startControllers(t, "--applications-file="+file)

	intruder := declare(t, theirs, "intruder", plan, 20)
	awaitStatus(t, intruder, func(st v1alpha1.FirmwareUpgradeStatus) string {
		if stalled(st) != v1alpha1.ReasonNotPermitted {
			return "want NotPermitted, got " + stalled(st)
		}
		return ""
	})
	owner := declare(t, ours, "owner", plan, 20)
	url := "http://" + webhook.CallbackAddress + callbackPath + "/" + appSecret
	push(t, plan, platform.PushOptions{URL: url})
	awaitCounts(t, owner, pushed(plan.Counts(nil)[0]))
	get(t, theirs, "intruder", intruder)
	if n := intruder.Status.Devices.Succeeded; n != 0 {
		t.Errorf("the intruder counts %d devices", n)
	}
	if code, body := send(t, "POST", url, fmt.Sprintf(example, "somebody-else")); code != 200 ||
		!strings.Contains(body, "rejected") {
		t.Errorf("another application's push: want 200 rejected, got %d %s", code, body)
	}
}
