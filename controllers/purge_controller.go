// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	ownevent "fwupgrade.io/operator/internal/event"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
)

const (
	// purgeRetry is when a purge that is not done yet is looked at again.
	purgeRetry = 2 * time.Second
	// purgeWorkers is how many objects are looked at at once.
	purgeWorkers = 4
)

// The finalizer is all that the operator writes of an object beside its status.
// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades,verbs=patch

// purgeReconciler keeps the finalizer of FirmwareUpgrades with the deletion policy Purge, and removes their results
// when they are deleted.
type purgeReconciler struct {
	client client.Client
	store  *store.Store
	rules  claim.Rules
	clock  clock.PassiveClock
	// instance names this process in Events.
	instance string
}

// Reconcile sees to it that an object has the finalizer exactly where its results are to be removed with it; of one
// that is being deleted, it removes first the results and then the finalizer. One that is gone may have gone without:
// then the purge that was intended is due.
func (r *purgeReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := r.client.Get(ctx, req.NamespacedName, fwu); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.store.ConfirmPurgesOf(ctx, req.Namespace, req.Name)
		}
		return ctrl.Result{}, err
	}
	wanted := wantsPurge(fwu)
	switch {
	case !needsPurge(fwu) && wanted:
		return ctrl.Result{}, nil
	case !needsPurge(fwu):
		return ctrl.Result{}, r.store.ForgetPurge(ctx, objectReference(fwu))
	case fwu.DeletionTimestamp.IsZero() && wanted:
		if err := r.intend(ctx, fwu); err != nil {
			return ctrl.Result{}, err
		}
		return afterWrite(r.setFinalizer(ctx, fwu, true))
	case !fwu.DeletionTimestamp.IsZero() && wanted:
		done, err := r.purge(ctx, fwu)
		if err != nil {
			return ctrl.Result{}, err
		}
		if !done {
			return ctrl.Result{RequeueAfter: purgeRetry}, nil
		}
	}
	if err := r.store.ForgetPurge(ctx, objectReference(fwu)); err != nil {
		return ctrl.Result{}, err
	}
	return afterWrite(r.setFinalizer(ctx, fwu, false))
}

// objectReference names an object to the store.
func objectReference(fwu *v1alpha1.FirmwareUpgrade) storage.ObjectReference {
	return storage.ObjectReference{Namespace: fwu.Namespace, Name: fwu.Name, UID: string(fwu.UID)}
}

// wantsPurge says whether the results of an object are to go with it.
func wantsPurge(fwu *v1alpha1.FirmwareUpgrade) bool {
	return fwu.Spec.DeletionPolicy == v1alpha1.DeletionPolicyPurge
}

// needsPurge says whether there is anything to do about an object: it has the finalizer and is not to have it or the
// other way around, whoever changed that, or waits to go.
func needsPurge(obj client.Object) bool {
	fwu, ok := obj.(*v1alpha1.FirmwareUpgrade)
	if !ok {
		return false
	}
	has := controllerutil.ContainsFinalizer(fwu, v1alpha1.FinalizerPurge)
	if fwu.DeletionTimestamp.IsZero() {
		return has != wantsPurge(fwu)
	}
	return has
}

// keepsNow says whether the results of an object were to go with it, and are to be kept now.
func keepsNow(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1alpha1.FirmwareUpgrade)
	after, isToo := e.ObjectNew.(*v1alpha1.FirmwareUpgrade)
	return ok && isToo && wantsPurge(before) && !wantsPurge(after)
}

// SetupWithManager watches FirmwareUpgrades. The metadata has no generation, so that the object itself says whether
// there is anything to do; one that is gone is looked at in any case.
func (r *purgeReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("purge").
		For(&v1alpha1.FirmwareUpgrade{}, builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(e event.CreateEvent) bool { return needsPurge(e.Object) },
			UpdateFunc: func(e event.UpdateEvent) bool { return needsPurge(e.ObjectNew) || keepsNow(e) },
		})).
		WithOptions(controller.Options{
			// Purges take turns in the store; the finalizers of others need not wait for that.
			MaxConcurrentReconciles: purgeWorkers, CacheSyncTimeout: syncTimeout, RateLimiter: retries[reconcile.Request](),
		}).
		Complete(r)
}

// intend records that the results go with the object, before its finalizer sees to that: a deletion that began before
// that, and ends after it, removes the object at once. What was received until now is meant; nothing is recorded where
// that is nothing.
func (r *purgeReconciler) intend(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) error {
	task, counted, err := r.counted(ctx, fwu)
	if err != nil || !counted || r.store.LastReceived(task).IsZero() {
		return err
	}
	return r.store.IntendPurge(ctx, task, objectReference(fwu))
}

// purge removes the results of an object that is being deleted, and says whether that is done.
func (r *purgeReconciler) purge(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) (done bool, err error) {
	task, counted, err := r.counted(ctx, fwu)
	if err != nil || !counted {
		return err == nil, err
	}
	// The API keeps seconds: what was received in the second of the deletion goes, too.
	done, err = r.store.Purge(ctx, task, fwu.DeletionTimestamp.Add(time.Second-time.Microsecond))
	if errors.Is(err, store.ErrUnreadable) {
		err = errors.Join(err, r.announceBlocked(ctx, fwu, err))
	}
	if err != nil {
		return false, fmt.Errorf("purge the results of FirmwareUpgrade %s/%s: %w", fwu.Namespace, fwu.Name, err)
	}
	return done, nil
}

// counted returns the task whose results go with an object. One that did not have its task counted nothing, and removes
// nothing.
func (r *purgeReconciler) counted(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade,
) (task result.Task, has bool, err error) {
	if err := r.store.WaitForSync(ctx); err != nil {
		return task, false, err
	}
	if fwu.OperationID() == "" { // its task has not been created
		return task, false, nil
	}
	same, err := sameOperation(ctx, r.client, fwu.OperationID())
	if err != nil {
		return task, false, err
	}
	counted := result.Task{AppID: fwu.Status.AppID, OperationID: fwu.OperationID()}
	switch {
	case !claim.Resolve(fwu, same, r.rules).Holds():
		return task, false, nil
	case fwu.Status.StartTime != nil: // if it is still its task: the spec, or who may claim what, may have changed
		return counted, r.rules.Claims(fwu, counted), nil
	}
	task, _, ambiguous := claim.Task(fwu, r.store.Tasks(fwu.OperationID()), r.rules) // nothing was counted yet
	return task, ambiguous.Holds(), nil
}

// announceBlocked says that somebody has to act before the object can go: again when the API server has dropped the
// Event that said so.
func (r *purgeReconciler) announceBlocked(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, why error) error {
	e := ownevent.New(reference(fwu), fmt.Sprintf("%s.purge-blocked", fwu.UID), r.clock.Now(), r.instance)
	e.Action, e.Type, e.Reason = "Purge", corev1.EventTypeWarning, v1alpha1.ReasonPurgeBlocked
	e.Note = result.Clean("The object stays until its results are removed: run the version that wrote them, or set "+
		"deletionPolicy to Retain to let it go without. "+why.Error(), ownevent.MaxNoteBytes)
	if err := r.client.Create(ctx, e); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create event %s: %w", e.Name, err)
	}
	return nil
}

func (r *purgeReconciler) setFinalizer(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, wanted bool) error {
	before := fwu.DeepCopy()
	if wanted {
		controllerutil.AddFinalizer(fwu, v1alpha1.FinalizerPurge)
	} else {
		controllerutil.RemoveFinalizer(fwu, v1alpha1.FinalizerPurge)
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, fwu, patch); err != nil {
		return fmt.Errorf("patch finalizers: %w", err)
	}
	return nil
}
