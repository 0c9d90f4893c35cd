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
	"k8s.io/apimachinery/pkg/types"
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

// releaseRequest is a task whose FirmwareUpgrade was deleted.
type releaseRequest struct {
	task upgrade.Task
	// uid is of the deleted FirmwareUpgrade; it names the record, so that a repetition makes no second one.
	uid types.UID
	// at is when the deletion was seen.
	at metav1.MicroTime
	// purge says that the stored results are to go at once. A leader that dies first leaves them to retention.
	purge bool
}

// releaseReconciler remembers in a slice that a task's FirmwareUpgrade was deleted, so that the results stored until
// then bring no placeholder back, and has them removed where that is asked for. A deletion while no leader runs is not seen: then a placeholder appears.
type releaseReconciler struct {
	client    client.Client
	tally     *upgrade.Tally
	index     *sliceIndex
	rules     tenancy
	retention *retention
	namespace string
	clock     clock.PassiveClock
}

// Reconcile records the release, unless another FirmwareUpgrade has the task by now: then the deleted one was a
// duplicate, was a placeholder or was moved.
func (r *releaseReconciler) Reconcile(ctx context.Context, req releaseRequest) (ctrl.Result, error) {
	same, err := sameOperation(ctx, r.client, req.task.OperationID)
	if err != nil {
		return ctrl.Result{}, err
	}
	if holderOf(req.task, same, r.rules) != nil {
		return ctrl.Result{}, nil
	}
	record := &v1alpha1.FirmwareUpgradeResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "released-" + string(req.uid) + "-" + req.task.Hash()[:8]},
		Spec: v1alpha1.FirmwareUpgradeResultSliceSpec{Released: []v1alpha1.ReleasedTask{{
			AppID: req.task.AppID, OperationID: req.task.OperationID, ReleasedAt: req.at,
		}}},
	}
	if err := r.client.Create(ctx, record); err != nil && !apierrors.IsAlreadyExists(err) {
		return ctrl.Result{}, fmt.Errorf("record a released task: %w", err)
	}
	if req.purge {
		r.retention.condemn(req.task)
	}
	return ctrl.Result{}, nil
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
	now := metav1.NewMicroTime(r.clock.Now().Truncate(time.Microsecond))
	tasks := slices.DeleteFunc(r.tally.Tasks(fwu.Spec.OperationID), func(task upgrade.Task) bool {
		return !r.rules.permitted(fwu) || !r.rules.covers(fwu, task.AppID)
	})
	// An ambiguous claim counted nothing, so that nothing is purged with it.
	purge := fwu.Annotations[v1alpha1.AnnotationPurgeOnDelete] == "true" && len(tasks) == 1
	for _, task := range tasks {
		r.index.noteRelease(task, now.Time)
		q.AddAfter(releaseRequest{task: task, uid: fwu.UID, at: now, purge: purge}, statusWindow)
	}
}
