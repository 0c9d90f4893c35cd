// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// readyOf returns the reason and the message of Ready; empty before there is a status.
func readyOf(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) (reason, message string) {
	t.Helper()
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
		t.Fatal(err)
	}
	for _, c := range fwu.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Reason, c.Message
		}
	}
	return "", ""
}

// To rename a FirmwareUpgrade by Git is to create the new one and then to delete the old one: the new one waits and
// takes over, and no Warning is told.
func TestRenamingTakesOverWithoutAWarning(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	operation := "renamed-" + ns
	old := create(t, wrappers.MakeFirmwareUpgrade("old", ns).Operation(operation).App("app").Expected(1))
	startControllers(t, nil)
	storeSlice(t, reported(operation, 1, storage.StateSucceeded, ""))
	awaitFinished(t, ns, 1)
	renamed := create(t, wrappers.MakeFirmwareUpgrade("new", ns).Operation(operation).App("app").Expected(1))
	harness.Eventually(t, func() string {
		if reason, message := readyOf(t, renamed); reason != v1alpha1.ReasonAwaitingTask {
			return "Ready: want AwaitingTask, got " + reason + ": " + message
		}
		return ""
	})
	if err := k8s.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, func() string {
		if reason, message := readyOf(t, renamed); reason != v1alpha1.ReasonSucceeded {
			return "Ready: want Succeeded, got " + reason + ": " + message
		}
		if events, _ := eventsAbout(t, renamed); events["Finished"] != 1 {
			return "the end was not told yet"
		}
		return ""
	})
	if events, _ := eventsAbout(t, renamed); events[v1alpha1.ReasonDuplicateOperation] != 0 {
		t.Errorf("a duplicate was told: %v", events)
	}
}

// One whose operationId, or appId, is misspelt says what else was reported.
func TestPendingSaysWhatElseIsReported(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	operation := "spelt-" + ns
	startControllers(t, nil)
	storeSlice(t, reported(operation, 1, storage.StateSucceeded, ""))
	harness.Eventually(t, func() string { // the task has a placeholder
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := k8s.List(t.Context(), list, client.InNamespace("default")); err != nil {
			t.Fatal(err)
		}
		for _, f := range list.Items {
			if f.Spec.OperationID == operation && f.Status.StartTime != nil {
				return ""
			}
		}
		return "there is no placeholder"
	})
	misspelt := create(t, wrappers.MakeFirmwareUpgrade("operation", ns).Operation("speld-"+ns).Expected(1))
	otherApp := create(t, wrappers.MakeFirmwareUpgrade("application", ns).Operation(operation).App("other").Expected(1))
	for fwu, want := range map[*v1alpha1.FirmwareUpgrade]string{misspelt: "undeclared task", otherApp: "but from app"} {
		harness.Eventually(t, func() string {
			if _, message := readyOf(t, fwu); !strings.Contains(message, want) {
				return fwu.Name + " does not say \"" + want + "\": " + message
			}
			return ""
		})
	}
	if err := k8s.DeleteAllOf(t.Context(), &v1alpha1.FirmwareUpgrade{}, client.InNamespace("default")); err != nil {
		t.Fatal(err)
	}
}

// Devices that run another version close the gate, and are named with their versions.
func TestSuspectDevicesCloseTheGate(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	fwu := create(t, wrappers.MakeFirmwareUpgrade("wrong", ns).Operation("wrong-"+ns).App("app").Expected(2).Target("1.7"))
	startControllers(t, nil)
	wrong, right := reported(fwu.Spec.OperationID, 1, storage.StateSucceeded, ""),
		reported(fwu.Spec.OperationID, 2, storage.StateSucceeded, "")
	wrong.CurVersion, right.CurVersion = "1.6", "1.7"
	storeSlice(t, wrong, right)
	awaitFinished(t, ns, 1)
	if reason, message := readyOf(t, fwu); reason != v1alpha1.ReasonPartiallySucceeded {
		t.Errorf("Ready: want PartiallySucceeded, got %s: %s", reason, message)
	}
	st := fwu.Status
	if st.Reason != status.EventVersionSuspect+" (1)" || len(st.Details.SuspectDevices) != 1 {
		t.Errorf("REASON is %q, suspect devices are %+v", st.Reason, st.Details.SuspectDevices)
	}
}
