// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// recordCreated writes that the task of a FirmwareUpgrade was created, as another leader would have.
func recordCreated(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, operationID string) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			t.Fatal(err)
		}
		fwu.Status.OperationID, fwu.Status.Task = operationID, &v1alpha1.TaskStatus{
			State: v1alpha1.TaskCreated, RequestHash: creation.Hash(fwu.Spec.AppID, fwu.Spec.Task),
		}
		fwu.Status.OperatorState.Leader = "another"
		if err := k8s.Status().Update(t.Context(), fwu); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Those whose task is still to be created are no rivals, whatever they ask for, and hold nobody's placeholder back.
// Once the id is there, the FirmwareUpgrade has the task as one that named it from the beginning.
func TestTaskIsClaimedOnceItIsCreated(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	operation := "created-" + ns
	asked := func(name string) *wrappers.FirmwareUpgrade {
		return wrappers.MakeFirmwareUpgrade(name, ns).App("app").Task("d000001", "d000002", "d000001")
	}
	first, second := create(t, asked("first")), create(t, asked("second"))
	purged := create(t, asked("purged").DeletionPolicy(v1alpha1.DeletionPolicyPurge))
	startControllers(t, nil)
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{first, second, purged} {
		harness.Eventually(t, func() string {
			reason, message := readyOf(t, fwu)
			if reason != v1alpha1.ReasonApplicationNotFound || fwu.Status.OperationID != "" {
				return fwu.Name + ": want ApplicationNotFound without an operationId, got " + reason + ": " + message
			}
			return ""
		})
	}
	storeSlice(t, reported(operation, 1, storage.StateSucceeded, ""), reported(operation, 2, storage.StateSucceeded, ""))
	placeholders := func() int {
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := k8s.List(t.Context(), list, client.InNamespace("default")); err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range list.Items {
			if list.Items[i].OperationID() == operation {
				n++
			}
		}
		return n
	}
	harness.Eventually(t, func() string {
		if placeholders() != 1 {
			return "what nobody has gets no placeholder"
		}
		return ""
	})

	recordCreated(t, first, operation)
	awaitFinished(t, ns, 1)
	if reason, message := readyOf(t, first); reason != v1alpha1.ReasonSucceeded || first.Status.Progress != "2/2" ||
		first.Status.OperationID != operation || first.Status.Task == nil {
		t.Errorf("want Succeeded with 2/2 of %s, got %s: %s, %+v", operation, reason, message, first.Status)
	}
	harness.Eventually(t, func() string {
		if placeholders() != 0 {
			return "the placeholder stays"
		}
		return ""
	})
	recordCreated(t, second, operation)
	harness.Eventually(t, func() string {
		reason, message := readyOf(t, second)
		if reason != v1alpha1.ReasonAwaitingTask && reason != v1alpha1.ReasonDuplicateOperation {
			return "want another one to have the task, got " + reason + ": " + message
		}
		return ""
	})
	if err := k8s.Delete(t.Context(), purged); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, func() string { // it has counted nothing, so that nothing is to be removed first
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(purged), purged); !apierrors.IsNotFound(err) {
			return "it is still there"
		}
		return ""
	})
}
