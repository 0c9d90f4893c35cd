// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

const (
	// maxPlaceholders bounds how many placeholders there are; tasks beyond it stay unclaimed and are counted in a metric.
	maxPlaceholders = 1000
	// placeholderRetry is when a task that found no room is looked at again.
	placeholderRetry = 10 * time.Minute
)

// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades,verbs=create;delete

// placeholderReconciler sees to it that every task with results has a FirmwareUpgrade: it makes a placeholder for one
// that nobody declared, and removes it once somebody did.
type placeholderReconciler struct {
	client client.Client
	tally  *upgrade.Tally
	reader *SliceReader
	index  *sliceIndex
	rules  tenancy
	// retention knows which results are about to go.
	retention *retention
	// windows keep a task that reports all the time from being looked at each time.
	windows *windows[upgrade.Task]
	clock   clock.PassiveClock
}

// Reconcile looks at one task.
func (r *placeholderReconciler) Reconcile(ctx context.Context, task upgrade.Task) (ctrl.Result, error) {
	r.windows.taken(task)
	r.windows.close(task.OperationID)
	same, err := sameOperation(ctx, r.client, task.OperationID)
	if err != nil {
		return ctrl.Result{}, err
	}
	holder := holderOf(task, same, r.rules)
	if holder != nil && !r.rules.isPlaceholder(holder) {
		err := r.removePlaceholder(ctx, task, same)
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: statusWindow}, nil
		}
		return ctrl.Result{}, err
	}
	if r.retention.isCondemned(task) { // it would count what is about to go
		return ctrl.Result{RequeueAfter: statusWindow}, nil
	}
	last := r.tally.LastReceivedAt(task)
	if holder != nil || last == 0 || !time.UnixMicro(last).After(r.index.releasedAt(task)) {
		return ctrl.Result{}, nil
	}
	return r.createPlaceholder(ctx, task)
}

// SetupWithManager watches the tally and the FirmwareUpgrades, mapped to tasks.
func (r *placeholderReconciler) SetupWithManager(mgr ctrl.Manager) error {
	toTasks := handler.TypedFuncs[client.Object, upgrade.Task]{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[upgrade.Task]) {
			r.enqueue(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[upgrade.Task]) {
			if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() {
				r.enqueue(e.ObjectNew, q)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[upgrade.Task]) {
			r.enqueue(e.Object, q)
		},
	}
	return builder.TypedControllerManagedBy[upgrade.Task](mgr).
		Named("placeholder").
		Watches(&v1alpha1.FirmwareUpgrade{}, toTasks).
		WatchesRawSource(&tallySource[upgrade.Task]{
			reader:   r.reader,
			windows:  r.windows,
			requests: func(_ context.Context, t upgrade.Task) []upgrade.Task { return []upgrade.Task{t} },
		}).
		WithOptions(controller.TypedOptions[upgrade.Task]{CacheSyncTimeout: syncTimeout}).
		Complete(reconcile.TypedFunc[upgrade.Task](r.Reconcile))
}

// enqueue asks for every task with results that the object may claim, a moment later: of an object that moves, one is
// deleted and the other not yet seen.
func (r *placeholderReconciler) enqueue(obj client.Object, q workqueue.TypedRateLimitingInterface[upgrade.Task]) {
	fwu, ok := obj.(*v1alpha1.FirmwareUpgrade)
	if !ok {
		return
	}
	for _, task := range r.tally.Tasks(fwu.Spec.OperationID) {
		q.AddAfter(task, statusWindow)
	}
}

func (r *placeholderReconciler) createPlaceholder(ctx context.Context, task upgrade.Task) (ctrl.Result, error) {
	existing := &v1alpha1.FirmwareUpgradeList{}
	err := r.client.List(ctx, existing, client.MatchingLabels{v1alpha1.LabelPlaceholder: "true"}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("list placeholders: %w", err)
	}
	if len(existing.Items) >= maxPlaceholders {
		ctrl.LoggerFrom(ctx).V(1).Info("Left a task unclaimed, there are too many placeholders", "limit", maxPlaceholders)
		return ctrl.Result{RequeueAfter: placeholderRetry}, nil
	}
	err = r.client.Create(ctx, newPlaceholder(task, r.rules.placeholders))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return ctrl.Result{}, fmt.Errorf("create placeholder: %w", err)
	}
	return ctrl.Result{}, nil
}

// removePlaceholder deletes the task's placeholder exactly as it was seen: one that was edited meanwhile is declared.
func (r *placeholderReconciler) removePlaceholder(ctx context.Context, task upgrade.Task, same []v1alpha1.FirmwareUpgrade) error {
	for i := range same {
		p := &same[i]
		if !r.rules.isPlaceholder(p) || p.Spec.AppID != task.AppID || !p.DeletionTimestamp.IsZero() {
			continue
		}
		if err := deletePlaceholder(ctx, r.client, p); err != nil {
			return err
		}
	}
	return nil
}

// deletePlaceholder deletes the object if it still is as it was seen.
func deletePlaceholder(ctx context.Context, c client.Client, p *v1alpha1.FirmwareUpgrade) error {
	err := c.Delete(ctx, p.DeepCopy(), client.Preconditions{UID: &p.UID, ResourceVersion: &p.ResourceVersion})
	if err := client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("delete placeholder %s: %w", p.Name, err)
	}
	return nil
}

// placeholderName is a hash: platform ids are no names.
func placeholderName(task upgrade.Task) string { return "undeclared-" + task.Hash()[:16] }

func newPlaceholder(task upgrade.Task, namespace string) *v1alpha1.FirmwareUpgrade {
	return &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      placeholderName(task),
			Labels: map[string]string{
				v1alpha1.LabelPlaceholder:      "true",
				"app.kubernetes.io/managed-by": "firmware-upgrade-operator",
			},
		},
		Spec: v1alpha1.FirmwareUpgradeSpec{AppID: task.AppID, OperationID: task.OperationID},
	}
}
