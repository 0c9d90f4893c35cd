// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// A task that nobody declared gets a placeholder; declared late, the declaration has every result and the placeholder
// goes. Deleted again, old results bring no placeholder back, new ones do.
func TestUndeclaredTask(t *testing.T) {
	webhook := startWebhook(t)
	startControllers(t)
	plan := newPlan(t, platform.PlanOptions{Devices: 50, Tasks: 1, Fail: 0.1, Seed: 5})
	push(t, plan, platform.PushOptions{URL: callbackURL(webhook)})
	want := pushed(plan.Counts(nil)[0])

	placeholder := placeholderOf(t, plan)
	awaitCounts(t, placeholder, want)

	declared := declare(t, harness.NewNamespace(t, k8s), "late", plan, 50)
	awaitCounts(t, declared, want)
	awaitGone(t, placeholder)

	remove(t, declared, metav1.DeletePropagationBackground)
	harness.AwaitReleased(t, k8s, operatorNamespace, plan.OperationID(0))
	if p := findPlaceholder(t.Context(), plan); p != nil {
		t.Fatalf("old results brought placeholder %s back", p.Name)
	}
	push(t, plan, platform.PushOptions{URL: callbackURL(webhook)}) // the platform repeats itself: that is new
	awaitCounts(t, placeholderOf(t, plan), want)
}

// An edited placeholder is declared: it stays, and Git's declaration is the duplicate.
func TestEditedPlaceholderIsDeclared(t *testing.T) {
	webhook := startWebhook(t)
	startControllers(t)
	plan := newPlan(t, platform.PlanOptions{Devices: 5, Tasks: 1, Seed: 6})
	push(t, plan, platform.PushOptions{URL: callbackURL(webhook)})
	placeholder := placeholderOf(t, plan)
	awaitCounts(t, placeholder, pushed(plan.Counts(nil)[0]))
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"placeholder":false,"expectedDevices":5}}`))
	if err := k8s.Patch(t.Context(), placeholder, patch); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, placeholder, func(st v1alpha1.FirmwareUpgradeStatus) string {
		if st.Phase != v1alpha1.PhaseSucceeded || st.Progress != "5/5" {
			return "not finished: " + string(st.Phase) + " " + st.Progress
		}
		return ""
	})
	awaitOlder(t, placeholder)
	late := declare(t, harness.NewNamespace(t, k8s), "late", plan, 5)
	awaitStatus(t, late, func(st v1alpha1.FirmwareUpgradeStatus) string {
		if stalled(st) != v1alpha1.ReasonDuplicateOperation {
			return "not a duplicate: " + stalled(st)
		}
		return ""
	})
}

func namespaceObject(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
