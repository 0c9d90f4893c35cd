// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// Whatever is done to FirmwareUpgrades while pushes go on, no result is lost.
func TestMovesLoseNothing(t *testing.T) {
	webhook := startWebhook(t)
	startControllers(t)
	plan := newPlan(
		t,
		platform.PlanOptions{Devices: 1500, Tasks: 1, Fail: 0.05, Retries: 0.5, Duplicates: 0.02, Reorder: 50, Seed: 3},
	)
	here, there := harness.NewNamespace(t, k8s), harness.NewNamespace(t, k8s)

	pushes := make(chan error, 1)
	go func() {
		report, err := platform.Push(
			t.Context(),
			plan,
			platform.PushOptions{URL: callbackURL(webhook), Rate: 250, Concurrency: 8},
		)
		if err == nil && !report.Complete {
			t.Errorf("not everything was delivered: %+v", report)
		}
		pushes <- err
	}()
	current := declare(t, here, "first", plan, 1500)
	awaitSome(t, current)
	remove(t, current, metav1.DeletePropagationBackground)
	current = declare(t, here, "first", plan, 1500) // created anew
	awaitSome(t, current)
	remove(t, current, metav1.DeletePropagationForeground)
	current = declare(t, here, "renamed", plan, 1500)
	awaitSome(t, current)
	awaitOlder(t, current)
	moved := declare(t, there, "renamed", plan, 1500) // the new one first: it waits until the old one goes
	awaitStatus(t, moved, func(st v1alpha1.FirmwareUpgradeStatus) string {
		if reason := stalled(st); reason != v1alpha1.ReasonDuplicateOperation {
			return "Stalled: want DuplicateOperation, got " + reason
		}
		return ""
	})
	remove(t, current, metav1.DeletePropagationForeground)
	awaitSome(t, moved)
	if err := k8s.Delete(t.Context(), namespaceObject(here)); err != nil {
		t.Fatal(err)
	}
	if err := <-pushes; err != nil {
		t.Fatal(err)
	}
	want := plan.Counts(nil)[0]
	awaitCounts(t, moved, pushed(want))
	awaitAnnounced(t, moved, want.Failures())
	out, err := kubectl(t.Context(), "-n", there, "wait", "--for=condition=Finished", "fwu/renamed", "--timeout=30s")
	if err != nil {
		t.Errorf("kubectl wait: %v: %s", err, out)
	}
}

// awaitSome waits until some devices are counted.
func awaitSome(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	awaitStatus(t, fwu, func(st v1alpha1.FirmwareUpgradeStatus) string {
		if st.Devices.Succeeded == 0 {
			return "nothing is counted yet"
		}
		return ""
	})
}

// awaitOlder waits until whatever is created now is younger: creation times have seconds, and among equals the UID
// decides.
func awaitOlder(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	harness.Eventually(t, func() string {
		if time.Since(fwu.CreationTimestamp.Time) < 2*time.Second {
			return fwu.Name + " is not older yet"
		}
		return ""
	})
}

// remove deletes the object and waits until it is gone.
func remove(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, propagation metav1.DeletionPropagation) {
	t.Helper()
	if err := k8s.Delete(t.Context(), fwu, client.PropagationPolicy(propagation)); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, fwu)
}

func awaitGone(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	harness.Eventually(t, func() string {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), &v1alpha1.FirmwareUpgrade{})
		switch {
		case apierrors.IsNotFound(err):
			return ""
		case err != nil:
			return err.Error()
		default:
			return fwu.Name + " is still there"
		}
	})
}

func stalled(st v1alpha1.FirmwareUpgradeStatus) string {
	for _, c := range st.Conditions {
		if c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue {
			return c.Reason
		}
	}
	return ""
}

func get(t *testing.T, namespace, name string, into *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, into); err != nil {
		t.Fatal(err)
	}
}

// placeholderOf waits for the placeholder of the plan's task and returns it.
func placeholderOf(t *testing.T, plan *platform.Plan) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	var found *v1alpha1.FirmwareUpgrade
	harness.Eventually(t, func() string {
		found = findPlaceholder(t.Context(), plan)
		if found == nil {
			return "there is no placeholder"
		}
		return ""
	})
	if !strings.HasPrefix(found.Name, "undeclared-") || found.Namespace != "default" {
		t.Errorf("placeholder %s/%s", found.Namespace, found.Name)
	}
	return found
}

func findPlaceholder(ctx context.Context, plan *platform.Plan) *v1alpha1.FirmwareUpgrade {
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := k8s.List(ctx, list); err != nil {
		return nil
	}
	for i := range list.Items {
		if f := &list.Items[i]; f.Spec.Placeholder && f.Spec.OperationID == plan.OperationID(0) {
			return f
		}
	}
	return nil
}
