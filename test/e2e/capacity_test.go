// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// At --max-stored-results the webhook answers 503 and what was stored stays; when room is made, by deleting a
// FirmwareUpgrade with its results, it takes results again.
func TestFullStoreRefusesAndReopens(t *testing.T) {
	purgeAll(t)
	webhook := startWebhook(t)
	startControllers(t, "--max-stored-results=100")
	plan := newPlan(t, platform.PlanOptions{Devices: 100, Tasks: 1, Seed: 13})
	fwu := declare(t, harness.NewNamespace(t, k8s), "full", plan, 100)
	push(t, plan, platform.PushOptions{URL: callbackURL(webhook), Concurrency: 4})
	awaitCounts(t, fwu, pushed(plan.Counts(nil)[0]))

	one := func() int {
		code, _ := send(t, "POST", callbackURL(webhook), fmt.Sprintf(example, "one-more"))
		return code
	}
	harness.Eventually(t, func() string {
		if code := one(); code != http.StatusServiceUnavailable {
			return fmt.Sprintf("want 503 from a full store, got %d", code)
		}
		return ""
	})
	// What the policy refuses is not tried again: the senders don't wait 10 s for it, one beside the other.
	start := time.Now()
	if code := one(); code != http.StatusServiceUnavailable {
		t.Errorf("want 503 from a full store, got %d", code)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the answer took %s", took)
	}
	get(t, fwu.Namespace, fwu.Name, fwu)
	if fwu.Status.Devices.Succeeded != 100 {
		t.Errorf("the counts moved: %+v", fwu.Status.Devices)
	}
	fwu.Spec.DeletionPolicy = v1alpha1.DeletionPolicyPurge
	must(t, k8s.Update(t.Context(), fwu))
	harness.Eventually(t, func() string {
		get(t, fwu.Namespace, fwu.Name, fwu)
		if len(fwu.Finalizers) == 0 {
			return "there is no finalizer"
		}
		return ""
	})
	remove(t, fwu, metav1.DeletePropagationBackground)
	harness.Eventually(t, func() string {
		if code := one(); code != http.StatusOK {
			return fmt.Sprintf("want 200 when there is room again, got %d", code)
		}
		return ""
	})
}

// purgeAll empties the store, while no operator runs.
func purgeAll(t *testing.T) {
	t.Helper()
	must(t, k8s.DeleteAllOf(t.Context(), &storage.ResultSlice{}, client.InNamespace(operatorNamespace)))
}
