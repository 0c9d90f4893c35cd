// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

const (
	// outboxWindow is how much longer than results a delivered outbox waits for a status write: until then one that has
	// more to tell may have come.
	outboxWindow = 5 * time.Second
	// workers is how many statuses are computed and written at once.
	workers = 4
	// syncTimeout bounds how long a new leader may read stored slices before it gives up and another one tries.
	syncTimeout = 10 * time.Minute
)

// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades,verbs=get;list;watch
// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades/status,verbs=update

// firmwareUpgradeReconciler writes the status of FirmwareUpgrades, and into it what is to be announced. It is the only
// writer.
type firmwareUpgradeReconciler struct {
	client   client.Client
	tally    *upgrade.Tally
	reader   *SliceReader
	rules    tenancy
	windows  *windows[reconcile.Request]
	pace     *pace
	announce *announcer
	metrics  *metrics
	clock    clock.PassiveClock
}

// Reconcile computes the status, and writes it once if it changed. An outbox that the announcer has not delivered yet
// stays as it is; the rest of the status does not wait for that.
func (r *firmwareUpgradeReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	r.windows.taken(req)
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := r.client.Get(ctx, req.NamespacedName, fwu); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.windows.close(fwu.Spec.OperationID)
	if !fwu.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	again, err := r.updateStatus(ctx, fwu)
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: statusWindow}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	priority := 0
	if outbox := r.outboxDue(fwu); !outbox.IsZero() && earliest(outbox, again).Equal(outbox) {
		// Nobody waits for an outbox to be emptied: that comes after what results or deadlines change.
		again, priority = outbox, handler.LowPriority
	}
	if again.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(again.Sub(r.clock.Now()), time.Millisecond), Priority: &priority}, nil
}

// SetupWithManager watches FirmwareUpgrades, their rivals for a task, and the tally.
func (r *firmwareUpgradeReconciler) SetupWithManager(mgr ctrl.Manager) error {
	specOrMetadata := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{},
		predicate.Or[client.Object](predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{})))
	return ctrl.NewControllerManagedBy(mgr).
		Named("firmwareupgrade").
		For(&v1alpha1.FirmwareUpgrade{}, specOrMetadata).
		Watches(&v1alpha1.FirmwareUpgrade{}, handler.EnqueueRequestsFromMapFunc(r.rivals), specOrMetadata).
		WatchesRawSource(&tallySource[reconcile.Request]{reader: r.reader, requests: r.claimants, windows: r.windows}).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers, CacheSyncTimeout: syncTimeout,
		}).
		Complete(r)
}

// updateStatus computes the status and, if it tells anything new, writes it into the object and the API server. It
// may have to wait for its turn: then it computes again, so that what is written is true now.
func (r *firmwareUpgradeReconciler) updateStatus(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) (again time.Time, err error) {
	next, again, err := r.nextStatus(ctx, fwu)
	if err != nil || !worthWriting(fwu.Status, next) {
		return again, err
	}
	if err := r.pace.awaitStatusWrite(ctx); err != nil {
		return again, err
	}
	next, again, err = r.nextStatus(ctx, fwu)
	if err != nil {
		return again, err
	}
	fwu.Status = next
	if err := r.pace.write(ctx, func() error { return r.client.Status().Update(ctx, fwu) }); err != nil {
		r.metrics.statusWriteFailed(err)
		return again, fmt.Errorf("update status: %w", err)
	}
	r.metrics.statusWrites.Inc()
	return again, nil
}

// nextStatus observes and computes, without writing.
func (r *firmwareUpgradeReconciler) nextStatus(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) (v1alpha1.FirmwareUpgradeStatus, time.Time, error) {
	seen, err := r.observe(ctx, fwu)
	if err != nil {
		return fwu.Status, time.Time{}, err
	}
	next, again := computeStatus(fwu, seen)
	if !r.announce.done(fwu) {
		return next, again, nil
	}
	events, due := planEvents(fwu, next, seen, r.tally)
	next.Events = events
	return next, earliest(again, due), nil
}

// observe looks the claim and the results up.
func (r *firmwareUpgradeReconciler) observe(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) (observation, error) {
	seen := observation{now: r.clock.Now(), placeholder: r.rules.isPlaceholder(fwu)}
	same, err := sameOperation(ctx, r.client, fwu.Spec.OperationID)
	if err != nil {
		return seen, err
	}
	if seen.claim = resolveClaim(fwu, same, r.rules); !seen.claim.holds() {
		return seen, nil
	}
	var ok bool
	seen.task, ok, seen.claim = claimedTask(fwu, r.tally.Tasks(fwu.Spec.OperationID), r.rules)
	if ok {
		seen.summary = r.tally.Summary(seen.task, upgrade.Query{TargetVersion: fwu.Spec.TargetVersion, Devices: fwu.Spec.Devices})
	}
	return seen, nil
}

// outboxDue returns when an outbox is to be emptied; zero where there is nothing in it.
func (r *firmwareUpgradeReconciler) outboxDue(fwu *v1alpha1.FirmwareUpgrade) time.Time {
	if len(fwu.Status.Events.Pending) == 0 {
		return time.Time{}
	}
	return r.clock.Now().Add(r.windows.current() + outboxWindow)
}

// rivals returns the other FirmwareUpgrades with the operationId of one that came, went or changed.
func (r *firmwareUpgradeReconciler) rivals(ctx context.Context, obj client.Object) []reconcile.Request {
	fwu, ok := obj.(*v1alpha1.FirmwareUpgrade)
	if !ok {
		return nil
	}
	return r.named(ctx, fwu.Spec.OperationID, fwu)
}

// claimants returns the FirmwareUpgrades that may count a task.
func (r *firmwareUpgradeReconciler) claimants(ctx context.Context, task upgrade.Task) []reconcile.Request {
	return r.named(ctx, task.OperationID, nil)
}

func (r *firmwareUpgradeReconciler) named(ctx context.Context, operationID string, but *v1alpha1.FirmwareUpgrade) []reconcile.Request {
	same, err := sameOperation(ctx, r.client, operationID)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not look up who claims a task")
		return nil
	}
	var requests []reconcile.Request
	for i := range same {
		if but == nil || same[i].UID != but.UID {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&same[i])})
		}
	}
	return requests
}

// earliest returns the earlier of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
