// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
)

const (
	// placeholderDelay is how long a change waits, and for how long nobody must have a task: of an object that moves, one
	// is deleted and the other not yet seen, and the cache loses an object before anybody is told.
	placeholderDelay = time.Second
	// maxPlaceholders bounds how many placeholders there are; tasks beyond it stay unclaimed and are counted in a metric.
	maxPlaceholders = 1000
	// placeholderRetry is when a task that found no room is looked at again.
	placeholderRetry = 10 * time.Minute
	// placeholderCreationRetry is when a task is looked at again that may be one that is being created.
	placeholderCreationRetry = 10 * time.Second
	// maxUndecided is how long after an attempt to create a task unknown ones may be it, maxAwaited how long after it was
	// found its FirmwareUpgrade may still have to learn its operationId.
	maxUndecided = 2 * time.Hour
	maxAwaited   = time.Minute
)

// Placeholders are made in one namespace: --default-namespace.
// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades,verbs=create;delete,namespace=default

// placeholderReconciler sees to it that every task with results has a FirmwareUpgrade: it makes a placeholder for one
// that nobody declared, and removes it once somebody did.
type placeholderReconciler struct {
	client client.Client
	// records reads those of created tasks.
	records client.Reader
	store   *store.Store
	rules   claim.Rules
	// adopt says that placeholders are made; without it those of before are removed.
	adopt bool
	clock clock.Clock

	// unclaimed is since when nobody has a task that is to get a placeholder.
	unclaimed map[result.Task]time.Time
	mu        sync.Mutex
	// released is when the last FirmwareUpgrade that claimed a task was deleted, until that is recorded.
	released map[result.Task]time.Time
}

// Reconcile looks at one task.
//
//  1. A deletion is recorded if nobody has the task: what was received before brings no placeholder back.
//  2. A placeholder goes when somebody declared the task, when placeholders are not wanted, and when retention has
//     removed its results.
//  3. A task that nobody has for a while, and that reported something after it was released, gets one.
func (r *placeholderReconciler) Reconcile(ctx context.Context, task result.Task) (ctrl.Result, error) {
	same, err := sameOperation(ctx, r.client, task.OperationID)
	if err != nil {
		return ctrl.Result{}, err
	}
	holder := claim.HolderOf(task, same, r.rules)
	last := r.store.LastReceived(task)
	if err := r.recordRelease(ctx, task, holder == nil && !last.IsZero()); err != nil {
		return ctrl.Result{}, err
	}
	// What is being purged is released, whoever saw the deletion.
	if err := r.store.ConfirmPurges(ctx, task.OperationID); err != nil {
		return ctrl.Result{}, err
	}
	if r.adopt && holder == nil && !last.IsZero() && last.After(r.store.ReleaseTime(task)) {
		since, waited := r.unclaimed[task]
		switch now := r.clock.Now(); {
		case !waited:
			r.unclaimed[task] = now
			return ctrl.Result{RequeueAfter: placeholderDelay}, nil
		case r.mayBeCreated(ctx, task):
			return ctrl.Result{RequeueAfter: placeholderCreationRetry}, nil
		case now.Sub(since) < placeholderDelay:
			return ctrl.Result{RequeueAfter: placeholderDelay - now.Sub(since)}, nil
		}
		return r.create(ctx, task)
	}
	delete(r.unclaimed, task)
	if !r.adopt || holder != nil && (!holder.Spec.Placeholder || holder.Status.ArchiveTime != nil && last.IsZero()) {
		return afterWrite(r.remove(ctx, task, same))
	}
	return ctrl.Result{}, nil
}

// mayBeCreated says whether a task may be one that is being created for a FirmwareUpgrade, or was and is not known by
// it yet: then its results are no stranger's.
func (r *placeholderReconciler) mayBeCreated(ctx context.Context, task result.Task) bool {
	records := &storage.FirmwareUpgradeTaskRecordList{}
	if err := r.records.List(ctx, records, client.UnsafeDisableDeepCopy); err != nil {
		return false
	}
	concluded := concludedAttempts(records.Items)
	return slices.ContainsFunc(records.Items, func(record storage.FirmwareUpgradeTaskRecord) bool {
		switch of := &record.Spec; {
		case of.AppID != task.AppID:
			return false
		case of.Intent != nil:
			return !concluded[record.Name] && r.clock.Since(of.Intent.Time.Time) < maxUndecided
		default:
			return of.Outcome != nil && of.Outcome.OperationID == task.OperationID &&
				r.clock.Since(of.Outcome.Time.Time) < maxAwaited
		}
	})
}

// recordRelease records that the FirmwareUpgrade of a task was deleted, if one was and that matters.
func (r *placeholderReconciler) recordRelease(ctx context.Context, task result.Task, matters bool) error {
	r.mu.Lock()
	at, released := r.released[task]
	r.mu.Unlock()
	if !released {
		return nil
	}
	if matters {
		if err := r.store.Release(ctx, task, at); err != nil {
			return fmt.Errorf("record a released task: %w", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released[task].Equal(at) {
		delete(r.released, task)
	}
	return nil
}

// SetupWithManager watches the store, FirmwareUpgrades and IoTApplications, mapped to tasks.
func (r *placeholderReconciler) SetupWithManager(mgr ctrl.Manager) error {
	toTasks := handler.TypedFuncs[client.Object, result.Task]{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[result.Task]) {
			r.enqueue(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[result.Task]) {
			if !claimChanged(e) {
				return
			}
			if !e.ObjectNew.GetDeletionTimestamp().IsZero() {
				r.release(e.ObjectNew, q)
			}
			r.enqueue(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[result.Task]) {
			r.release(e.Object, q)
			r.enqueue(e.Object, q)
		},
	}
	return builder.TypedControllerManagedBy[result.Task](mgr).
		Named("placeholder").
		Watches(&v1alpha1.FirmwareUpgrade{}, toTasks).
		Watches(&v1alpha1.IoTApplication{}, handler.TypedEnqueueRequestsFromMapFunc(r.everyTask),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(&storeSource[result.Task]{
			store: r.store,
			clock: r.clock,
			pause: func() time.Duration { return placeholderDelay },
			enqueue: func(_ context.Context, q workqueue.TypedRateLimitingInterface[result.Task], task result.Task) {
				q.AddAfter(task, placeholderDelay)
			},
		}).
		WithOptions(controller.TypedOptions[result.Task]{
			CacheSyncTimeout: syncTimeout, RateLimiter: retries[result.Task](),
		}).
		Complete(reconcile.TypedFunc[result.Task](r.Reconcile))
}

// release asks for every task that a deleted object claims, so that the deletion is recorded. A finalizer may keep the
// object for a while.
func (r *placeholderReconciler) release(obj client.Object, q workqueue.TypedRateLimitingInterface[result.Task]) {
	released := r.clock.Now()
	if deleted := obj.GetDeletionTimestamp(); deleted != nil {
		released = deleted.Add(time.Second - time.Microsecond) // the API keeps seconds
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, task := range r.claimed(obj) {
		r.released[task] = released
		q.Add(task)
	}
}

// enqueue asks for every task that the object claims, or may have claimed before, a moment later.
func (r *placeholderReconciler) enqueue(obj client.Object, q workqueue.TypedRateLimitingInterface[result.Task]) {
	fwu, ok := obj.(*v1alpha1.FirmwareUpgrade)
	if !ok {
		return
	}
	for _, task := range r.store.Tasks(fwu.OperationID()) {
		q.AddAfter(task, placeholderDelay)
	}
	if fwu.Spec.Placeholder { // its results may be gone
		q.AddAfter(taskOf(fwu), placeholderDelay)
	}
}

// everyTask maps an IoTApplication that came, went or changed to all tasks with results: it may say who may claim them.
func (r *placeholderReconciler) everyTask(context.Context, client.Object) []result.Task {
	return r.store.AllTasks()
}

// claimed returns the tasks with results that an object claims.
func (r *placeholderReconciler) claimed(obj client.Object) []result.Task {
	fwu, ok := obj.(*v1alpha1.FirmwareUpgrade)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(r.store.Tasks(fwu.OperationID()), func(task result.Task) bool {
		return !r.rules.Claims(fwu, task)
	})
}

// taskOf is the task of a placeholder.
func taskOf(placeholder *v1alpha1.FirmwareUpgrade) result.Task {
	return result.Task{AppID: placeholder.Spec.AppID, OperationID: placeholder.Spec.OperationID}
}

func (r *placeholderReconciler) create(ctx context.Context, task result.Task) (ctrl.Result, error) {
	existing := &v1alpha1.FirmwareUpgradeList{}
	err := r.client.List(ctx, existing, client.InNamespace(r.rules.PlaceholderNamespace),
		client.MatchingFields{fieldPlaceholder: "true"}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("list placeholders: %w", err)
	}
	if len(existing.Items) >= maxPlaceholders {
		ctrl.LoggerFrom(ctx).V(1).Info("Left a task unclaimed, there are too many placeholders", "limit", maxPlaceholders)
		return ctrl.Result{RequeueAfter: placeholderRetry}, nil
	}
	err = r.client.Create(ctx, claim.NewPlaceholder(task, r.rules.PlaceholderNamespace))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return ctrl.Result{}, fmt.Errorf("create placeholder: %w", err)
	}
	return ctrl.Result{}, nil
}

// remove deletes the task's placeholders exactly as they were seen: one that was edited meanwhile is declared.
func (r *placeholderReconciler) remove(ctx context.Context, task result.Task, same []v1alpha1.FirmwareUpgrade) error {
	for i := range same {
		p := &same[i]
		if !p.Spec.Placeholder || p.Namespace != r.rules.PlaceholderNamespace || p.Spec.AppID != task.AppID ||
			!p.DeletionTimestamp.IsZero() {
			continue
		}
		err := r.client.Delete(ctx, p.DeepCopy(), client.Preconditions{UID: &p.UID, ResourceVersion: &p.ResourceVersion})
		if err := client.IgnoreNotFound(err); err != nil {
			return fmt.Errorf("delete placeholder %s: %w", p.Name, err)
		}
	}
	return nil
}
