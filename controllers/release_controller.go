// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// releaseRequest is a FirmwareUpgrade that was deleted.
type releaseRequest struct {
	// deleted is its last state. Its UID names the record, so that a repetition makes no second one.
	deleted *v1alpha1.FirmwareUpgrade
	// at is when the deletion was seen.
	at metav1.MicroTime
}

// releaseReconciler remembers in a slice that a task's FirmwareUpgrade was deleted, so that the results stored until
// then bring no placeholder back, and has them removed where that is asked for. A deletion while no leader runs is not
// seen: then a placeholder appears.
type releaseReconciler struct {
	client    client.Client
	reader    *SliceReader
	tally     *upgrade.Tally
	index     *sliceIndex
	rules     tenancy
	retention *retention
	namespace string
	clock     clock.PassiveClock
}

// Reconcile records the release of every task that the FirmwareUpgrade claimed, as soon as all are known.
func (r *releaseReconciler) Reconcile(ctx context.Context, req releaseRequest) (ctrl.Result, error) {
	if err := r.reader.WaitForSync(ctx); err != nil {
		return ctrl.Result{}, err
	}
	tasks := r.claimed(req.deleted)
	// A leader that dies first leaves the results to retention. An ambiguous claim counted nothing, so that nothing is purged
	// with it.
	purge := req.deleted.Annotations[v1alpha1.AnnotationPurgeOnDelete] == "true" && len(tasks) == 1
	for _, task := range tasks {
		if err := r.release(ctx, req, task, purge); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{}, nil
}

// claimed returns the tasks with results that a FirmwareUpgrade claims.
func (r *releaseReconciler) claimed(fwu *v1alpha1.FirmwareUpgrade) []upgrade.Task {
	return slices.DeleteFunc(r.tally.Tasks(fwu.Spec.OperationID), func(task upgrade.Task) bool {
		return !r.rules.permitted(fwu) || !r.rules.covers(fwu, task.AppID)
	})
}

// release records that a task was released, unless another FirmwareUpgrade has it by now: then the deleted one was a
// duplicate, was a placeholder or was moved. A placeholder doesn't keep what is to be purged.
func (r *releaseReconciler) release(ctx context.Context, req releaseRequest, task upgrade.Task, purge bool) error {
	same, err := sameOperation(ctx, r.client, task.OperationID)
	if err != nil {
		return err
	}
	switch holder := holderOf(task, same, r.rules); {
	case holder == nil:
	case purge && r.rules.isPlaceholder(holder):
		// Made for what was reported meanwhile. It counts what is to go: it has to be made anew afterwards.
		r.retention.condemn(task, req.at.Time)
		if err := deletePlaceholder(ctx, r.client, holder); err != nil {
			return err
		}
	default:
		return nil
	}
	r.index.noteRelease(task, req.at.Time)
	record := &v1alpha1.FirmwareUpgradeResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "released-" + string(req.deleted.UID) + "-" + task.Hash()[:8]},
		Spec: v1alpha1.FirmwareUpgradeResultSliceSpec{Released: []v1alpha1.ReleasedTask{{
			AppID: task.AppID, OperationID: task.OperationID, ReleasedAt: req.at,
		}}},
	}
	if err := r.client.Create(ctx, record); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("record a released task: %w", err)
	}
	if purge {
		r.retention.condemn(task, req.at.Time)
	}
	return nil
}

// SetupWithManager watches deletions of FirmwareUpgrades.
func (r *releaseReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return builder.TypedControllerManagedBy[releaseRequest](mgr).
		Named("release").
		Watches(&v1alpha1.FirmwareUpgrade{}, handler.TypedFuncs[client.Object, releaseRequest]{DeleteFunc: r.deleted}).
		Complete(reconcile.TypedFunc[releaseRequest](r.Reconcile))
}

// deleted notes the release at once, before the placeholder controller looks, and asks for the record a moment later,
// when the other half of a move has been seen.
func (r *releaseReconciler) deleted(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[releaseRequest]) {
	fwu, ok := e.Object.(*v1alpha1.FirmwareUpgrade)
	if !ok {
		return
	}
	req := releaseRequest{deleted: fwu, at: metav1.NewMicroTime(r.clock.Now().Truncate(time.Microsecond))}
	for _, task := range r.claimed(fwu) {
		r.index.noteRelease(task, req.at.Time)
	}
	q.AddAfter(req, statusWindow)
}
