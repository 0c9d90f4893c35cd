// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
)

// purgeRetry is when a purge that is not done yet is looked at again.
const purgeRetry = 2 * time.Second

// The finalizer is all that the operator writes of an object beside its status.
// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades,verbs=patch

// keepFinalizer sees to it that an object has the finalizer exactly where its results are to be removed with it, and
// says whether that had to be changed.
func (r *firmwareUpgradeReconciler) keepFinalizer(
	ctx context.Context,
	fwu *v1alpha1.FirmwareUpgrade,
) (changed bool, err error) {
	before := fwu.DeepCopy()
	if fwu.Spec.DeletionPolicy == v1alpha1.DeletionPolicyPurge {
		changed = controllerutil.AddFinalizer(fwu, v1alpha1.FinalizerPurge)
	} else {
		changed = controllerutil.RemoveFinalizer(fwu, v1alpha1.FinalizerPurge)
	}
	if !changed {
		return false, nil
	}
	return true, r.patchFinalizers(ctx, before, fwu)
}

// finalize removes the results of an object that is being deleted, where that is asked for, and then its finalizer. An
// object that did not have its task counted nothing, and removes nothing.
func (r *firmwareUpgradeReconciler) finalize(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(fwu, v1alpha1.FinalizerPurge) {
		return ctrl.Result{}, nil
	}
	same, err := sameOperation(ctx, r.client, fwu.Spec.OperationID)
	if err != nil {
		return ctrl.Result{}, err
	}
	if fwu.Spec.DeletionPolicy == v1alpha1.DeletionPolicyPurge && claim.Resolve(fwu, same, r.rules).Holds() {
		task, _, c := claim.Task(fwu, r.store.Tasks(fwu.Spec.OperationID), r.rules)
		if c.Holds() {
			// The API keeps seconds: what was received in the second of the deletion goes, too.
			done, err := r.store.Purge(ctx, task, fwu.DeletionTimestamp.Add(time.Second-time.Microsecond))
			if err != nil {
				return ctrl.Result{}, fmt.Errorf("purge results: %w", err)
			}
			if !done {
				return ctrl.Result{RequeueAfter: purgeRetry}, nil
			}
		}
	}
	before := fwu.DeepCopy()
	controllerutil.RemoveFinalizer(fwu, v1alpha1.FinalizerPurge)
	return afterWrite(r.patchFinalizers(ctx, before, fwu))
}

func (r *firmwareUpgradeReconciler) patchFinalizers(
	ctx context.Context,
	before, after *v1alpha1.FirmwareUpgrade,
) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, after, patch); err != nil {
		return fmt.Errorf("patch finalizers: %w", err)
	}
	return nil
}
