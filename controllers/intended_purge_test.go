// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// emptyCache is a cache that has not seen anything yet, as that of a new leader may be.
type emptyCache struct{ client.Reader }

func (emptyCache) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// What a cache does not know yet is not gone, and what it knows to be wanted may be kept by now.
func TestLookUpIsCertain(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	purged := create(t, wrappers.MakeFirmwareUpgrade("purged", ns).DeletionPolicy(v1alpha1.DeletionPolicyPurge))
	kept := create(t, wrappers.MakeFirmwareUpgrade("kept", ns))
	gone := objectReference(purged)
	gone.UID = "of one that had this name before"
	for name, cached := range map[string]client.Reader{"cached": k8s, "not cached": emptyCache{}} {
		t.Run(name, func(t *testing.T) {
			look := lookUp(cached, k8s)
			for _, c := range []struct {
				of             storage.ObjectReference
				exists, purges bool
			}{{objectReference(purged), true, true}, {objectReference(kept), true, false}, {gone, false, false}} {
				exists, purges, err := look(t.Context(), c.of)
				if err != nil || exists != c.exists || purges != c.purges {
					t.Errorf("%s: exists %t, purges %t, error %v", c.of.Name, exists, purges, err)
				}
			}
		})
	}
}

// Who sets the policy to Retain before the finalizer is there keeps the results, however fast the object is deleted.
func TestRetainForgetsAnIntendedPurge(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	fwu := create(t, wrappers.MakeFirmwareUpgrade("kept", ns).Operation("kept-"+ns).App("app"))
	results := startStore(t)
	task := result.Task{AppID: "app", OperationID: "kept-" + ns}
	if err := results.IntendPurge(t.Context(), task, objectReference(fwu)); err != nil {
		t.Fatal(err)
	}
	before := fwu.DeepCopy()
	before.Spec.DeletionPolicy = v1alpha1.DeletionPolicyPurge
	if !keepsNow(event.UpdateEvent{ObjectOld: before, ObjectNew: fwu}) {
		t.Error("the change is not looked at")
	}
	r := &purgeReconciler{client: k8s, store: results, rules: claim.Rules{}, clock: clock.RealClock{}, instance: "test"}
	_, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(fwu)})
	if err != nil {
		t.Fatal(err)
	}
	stored := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), stored, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	isOf := func(r storage.Release) bool { return r.FirmwareUpgrade != nil && *r.FirmwareUpgrade == objectReference(fwu) }
	for i := range stored.Items {
		if slices.ContainsFunc(stored.Items[i].Releases, isOf) {
			t.Errorf("slice %s still says that the results go with the object", stored.Items[i].Name)
		}
	}
}

// What was announced of one task is not missing of another one that is counted now.
func TestNothingIsLackingOfAnotherTask(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	storeSlice(t, reported("lacking-"+ns, 1, storage.StateFailed, "Invalid URI"))
	fwu := create(t, wrappers.MakeFirmwareUpgrade("other", ns).Operation("lacking-"+ns))
	fwu.Status.AppID, fwu.Status.LastResultTime = "another", &fwu.CreationTimestamp
	fwu.Status.OperatorState.Announced.Failures = 5
	whole := newWholeness(startStore(t))
	if n := whole.lacking(fwu, result.Task{AppID: "app", OperationID: "lacking-" + ns}); n != 0 {
		t.Errorf("%d failures are lacking of a task of which none was announced", n)
	}
	if n := whole.lacking(fwu, result.Task{AppID: "another", OperationID: "lacking-" + ns}); n != 5 {
		t.Errorf("%d failures are lacking of the task that was counted, want 5", n)
	}
}
