// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"fmt"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// declare creates the FirmwareUpgrade of the page.
func (w *world) declare(t *testing.T, name, operation string, expected int64) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: fleet, Name: name},
		Spec: v1alpha1.FirmwareUpgradeSpec{
			OperationID: operation, AppID: appID, ExpectedDevices: &expected, SettleSeconds: new(int64(0)),
		},
	}
	if err := w.k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	return fwu
}

// push pushes what the devices of a task report, and wants all of it to be stored.
func (w *world) push(t *testing.T, operation string, devices int, fail float64) *platform.Plan {
	t.Helper()
	plan := planOf(t, operation, devices, fail)
	report, err := platform.Push(t.Context(), plan, platform.PushOptions{URL: w.url(), Concurrency: 4})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Complete {
		t.Fatalf("not everything was delivered: %+v", report)
	}
	return plan
}

// planOf is what the devices of a task report.
func planOf(t *testing.T, operation string, devices int, fail float64) *platform.Plan {
	t.Helper()
	plan, err := platform.NewPlan(platform.PlanOptions{
		Devices: devices, Tasks: 1, Fail: fail, Seed: 1, AppID: appID, OperationID: operation,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// awaitCounts waits until the status counts so many devices.
func (w *world) awaitCounts(t *testing.T, name string, succeeded, failed int64) {
	t.Helper()
	harness.Eventually(t, func() string {
		fwu := &v1alpha1.FirmwareUpgrade{}
		if err := w.k8s.Get(t.Context(), client.ObjectKey{Namespace: fleet, Name: name}, fwu); err != nil {
			return err.Error()
		}
		if d := fwu.Status.Devices; d.Succeeded != succeeded || d.Failed != failed {
			return fmt.Sprintf("%s: %d succeeded and %d failed, want %d and %d", name, d.Succeeded, d.Failed,
				succeeded, failed)
		}
		if len(fwu.Status.OperatorState.Outbox) > 0 {
			return name + ": Events wait"
		}
		return ""
	})
}

// events returns the Events about FirmwareUpgrades of a name, by reason, and how many failures they announce.
func (w *world) events(t *testing.T, name string) (byReason map[string]int, failures int) {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := w.k8s.List(t.Context(), list, client.InNamespace(fleet)); err != nil {
		t.Fatal(err)
	}
	byReason = map[string]int{}
	for i := range list.Items {
		e := &list.Items[i]
		if e.Regarding.Name != name {
			continue
		}
		byReason[e.Reason]++
		if text := e.Annotations["fwupgrade.io/failures"]; text != "" {
			var n int
			if _, err := fmt.Sscan(text, &n); err != nil {
				t.Fatal(err)
			}
			failures += n
		}
	}
	return byReason, failures
}
