// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// reported is what a device of an application reports. Unless it failed, it has the target version 1.6.
func reported(app, operation string, device int, state storage.State, cause string, ago time.Duration) result.Result {
	fields := storage.ResultFields{State: state, StatusDesc: cause, CurVersion: "1.5", TargetVersion: "1.6"}
	if state == storage.StateSucceeded {
		fields.CurVersion = "1.6"
	}
	return result.Result{
		Task: result.Task{AppID: app, OperationID: operation}, DeviceID: fmt.Sprintf("meter-%04d", device),
		ReceivedAt: time.Now().Add(-ago).UnixMicro(), ResultFields: fields,
	}
}

// devices are what so many devices of the application "app" report now: some succeeded, the others failed.
func devices(operation string, succeeded, failed int) []result.Result {
	var all []result.Result
	for d := range succeeded {
		all = append(all, reported("app", operation, d, storage.StateSucceeded, "", 0))
	}
	for d := range failed {
		all = append(all, reported("app", operation, succeeded+d, storage.StateFailed, "Invalid URI", 0))
	}
	return all
}

// storeResults stores results in one slice, as the webhook does.
func storeResults(t *testing.T, results ...result.Result) *storage.ResultSlice {
	t.Helper()
	return harness.StoreResults(t, k8s, operatorNamespace, results...)
}

// get reads an object.
func get(t *testing.T, namespace, name string) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	fwu := &v1alpha1.FirmwareUpgrade{}
	must(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, fwu))
	return fwu
}

// await waits until the object satisfies the condition, which says what is wrong, and returns it.
func await(
	t *testing.T, namespace, name string, condition func(*v1alpha1.FirmwareUpgrade) string,
) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	fwu := &v1alpha1.FirmwareUpgrade{}
	harness.Eventually(t, func() string {
		fwu = &v1alpha1.FirmwareUpgrade{}
		if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, fwu); err != nil {
			return err.Error()
		}
		if problem := condition(fwu); problem != "" {
			return name + ": " + problem
		}
		return ""
	})
	return fwu
}

// hasReason wants this reason of Ready, for the present generation.
func hasReason(want string) func(*v1alpha1.FirmwareUpgrade) string {
	return func(fwu *v1alpha1.FirmwareUpgrade) string {
		c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case c == nil || fwu.Status.ObservedGeneration != fwu.Generation:
			return "the operator has not seen it"
		case c.Reason != want:
			return fmt.Sprintf("want the reason %s, got %s: %s", want, c.Reason, c.Message)
		}
		return ""
	}
}

// isQuiet wants that the operator has written everything that there is to say, Events included.
func isQuiet(fwu *v1alpha1.FirmwareUpgrade) string {
	if fwu.Status.ObservedGeneration != fwu.Generation {
		return "the operator has not seen it"
	}
	if n := len(fwu.Status.OperatorState.Outbox); n > 0 {
		return fmt.Sprintf("%d Events wait in the outbox", n)
	}
	return ""
}

// awaitGone waits until the object is gone.
func awaitGone(t *testing.T, namespace, name string) {
	t.Helper()
	harness.Eventually(t, func() string {
		err := k8s.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &v1alpha1.FirmwareUpgrade{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("%s is still there: %v", name, err)
	})
}

// patchSpec merges this into the spec.
func patchSpec(t *testing.T, namespace, name, spec string) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec": `+spec+`}`))
	must(t, k8s.Patch(t.Context(), get(t, namespace, name), patch))
}
