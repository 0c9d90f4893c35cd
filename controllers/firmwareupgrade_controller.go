// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/store"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// statusPeriod is firmwareUpgradeReconciler.period.
	statusPeriod = time.Second
	// tidyDelay is how long delivered Events wait to leave the outbox: until then a write that tells more may come.
	tidyDelay = 5 * time.Second
	// resyncPeriod is after which time a status is computed again although nothing is known to have changed.
	resyncPeriod = 10 * time.Minute
	// pendingPeriod is after which time one without a result looks again for others that may be meant.
	pendingPeriod = time.Minute
	// newsPriority is that of what somebody waits for; progress has handler.LowPriority, the rest 0.
	newsPriority = 100
	// statusWorkers is how many statuses are computed and written at once.
	statusWorkers = 4
	// syncTimeout bounds how long a new leader may read stored slices before it gives up and another one tries.
	syncTimeout = 10 * time.Minute
)

// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades,verbs=list;watch
// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgrades/status,verbs=update

// firmwareUpgradeReconciler writes the status of FirmwareUpgrades. It is the only writer.
type firmwareUpgradeReconciler struct {
	client     client.Client
	store      *store.Store
	rules      claim.Rules
	bucket     *bucket
	written    *writtenStatuses
	deliveries *deliveries
	whole      *wholeness
	metrics    *metrics
	clock      clock.Clock
	// platform has the platform's own view of tasks, creations how far the creation of each is.
	platform  *platformView
	creations *creations
	// period is how far apart writes of one status are that tell mere progress.
	period time.Duration
}

// Reconcile observes, computes the status, and writes it once if it tells anything new.
func (r *firmwareUpgradeReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := r.client.Get(ctx, req.NamespacedName, fwu); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := r.store.ConfirmPurges(ctx, fwu.OperationID()); err != nil {
		return ctrl.Result{}, err
	}
	d, err := r.decide(ctx, fwu)
	if err != nil {
		return ctrl.Result{}, err
	}
	if d.stale { // the watch brings the newer one
		return ctrl.Result{RequeueAfter: statusPeriod}, nil
	}
	if d.compareWith != "" {
		r.platform.connections.wake(d.compareWith)
	}
	if wait := r.turn(req.NamespacedName, d.worth); wait > 0 {
		return r.after(wait, d.again), nil
	}
	if d.worth != status.Nothing {
		if err := r.bucket.take(ctx, d.worth == status.News); err != nil {
			return ctrl.Result{}, err
		}
		fwu.Status = d.next
		r.written.sign(&fwu.Status)
		if err := r.write(ctx, fwu); err != nil {
			return afterWrite(err)
		}
	}
	return r.later(d), nil
}

// decision is what the status of a FirmwareUpgrade is to be.
type decision struct {
	next v1alpha1.FirmwareUpgradeStatus
	// again is when it is to be computed again although nothing arrives; zero if never.
	again time.Time
	// worth is what it is worth to write it.
	worth status.Worth
	// compareWith is the application whose platform is to be asked soon; empty where none is.
	compareWith string
	// stale says that the object is older than what this process wrote, so that nothing follows from it.
	stale bool
}

// decide observes and computes, and writes nothing.
func (r *firmwareUpgradeReconciler) decide(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) (decision, error) {
	prev, stale := r.written.previous(fwu)
	if stale {
		return decision{stale: true}, nil
	}
	if !fwu.DeletionTimestamp.IsZero() { // its results are purged, where that is wanted, by a controller of its own
		next := status.Deleting(fwu, prev, r.look(fwu))
		return decision{next: next, worth: status.Compare(fwu.Status, next)}, nil
	}
	known := *fwu // what was counted is what this process remembers, whatever somebody else wrote over it
	known.Status = prev
	seen, err := r.observe(ctx, &known)
	if err != nil {
		return decision{}, err
	}
	next, again := status.Compute(fwu, prev, seen)
	d := decision{next: next, again: again, worth: status.Compare(fwu.Status, next)}
	if status.WantsComparison(fwu, next, seen) {
		d.compareWith = seen.Platform.AppID
	}
	return d, nil
}

// forget drops what is remembered of an object that is gone.
func (r *firmwareUpgradeReconciler) forget(object types.NamespacedName) {
	r.written.forget(object)
	r.deliveries.forget(object)
	r.whole.forget(object)
}

// turn returns how long a status of this worth waits to be written.
func (r *firmwareUpgradeReconciler) turn(object types.NamespacedName, worth status.Worth) time.Duration {
	switch worth {
	case status.Progress:
		return r.period - r.written.since(object)
	case status.Tidying:
		return tidyDelay - r.written.since(object)
	case status.News, status.Nothing:
	}
	return 0
}

// write writes the status. Where it is not clear whether it was stored, what this process wrote is not known any more.
func (r *firmwareUpgradeReconciler) write(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) error {
	err := r.client.Status().Update(ctx, fwu)
	switch {
	case err == nil:
		r.written.note(fwu)
		r.metrics.statusWrites.Inc()
		return nil
	case !apierrors.IsConflict(err):
		r.written.forget(client.ObjectKeyFromObject(fwu))
	}
	if !apierrors.IsNotFound(err) { // it was deleted meanwhile
		r.metrics.statusWriteFailed(err)
	}
	return fmt.Errorf("update status: %w", err)
}

// later returns when to look again: at the time that may change the status, soon where Events wait to leave the outbox,
// and now and then in any case.
func (r *firmwareUpgradeReconciler) later(d decision) ctrl.Result {
	if len(d.next.OperatorState.Outbox) > 0 {
		return r.after(tidyDelay, d.again)
	}
	if d.next.StartTime == nil && d.next.CompletionTime == nil {
		return r.after(wait.Jitter(pendingPeriod, 0.5), d.again)
	}
	return r.after(wait.Jitter(resyncPeriod, 0.5), d.again)
}

// after returns when to look again: after a while, for progress, or at a time that comes first, for what it may change.
func (r *firmwareUpgradeReconciler) after(while time.Duration, again time.Time) ctrl.Result {
	if !again.IsZero() {
		if due := max(again.Sub(r.clock.Now()), time.Millisecond); due < while {
			return ctrl.Result{RequeueAfter: due, Priority: new(newsPriority)}
		}
	}
	return ctrl.Result{RequeueAfter: while, Priority: new(handler.LowPriority)}
}

// look begins an observation.
func (r *firmwareUpgradeReconciler) look(fwu *v1alpha1.FirmwareUpgrade) status.Observation {
	return status.Observation{Now: r.clock.Now(), Failures: r.store, Delivered: r.deliveries.of(fwu).all()}
}

// observe looks the claim and the results up.
func (r *firmwareUpgradeReconciler) observe(
	ctx context.Context,
	fwu *v1alpha1.FirmwareUpgrade,
) (status.Observation, error) {
	seen := r.look(fwu)
	seen.Creation = r.creations.of(fwu)
	same, err := sameOperation(ctx, r.client, fwu.OperationID())
	if err != nil {
		return seen, err
	}
	if seen.Claim = claim.Resolve(fwu, same, r.rules); !seen.Claim.Holds() {
		return seen, nil
	}
	var reported bool
	tasks := r.store.Tasks(fwu.OperationID())
	seen.Task, reported, seen.Claim = claim.Task(fwu, tasks, r.rules)
	if seen.Task.OperationID == "" && seen.Claim.Holds() { // it is still to be created: there is nothing to look up
		seen.Claim = status.Uncreated(fwu.Status, seen.Creation)
		return seen, nil
	}
	seen.Unreadable = r.store.Unreadable(seen.Task)
	if seen.Claim.Holds() && r.store.Purging(seen.Task) {
		seen.Claim = claim.Purge(seen.Unreadable)
		return seen, nil
	}
	if !reported && seen.Claim.Holds() && !fwu.Spec.Placeholder && fwu.Spec.Task == nil { // another one may be meant
		seen.OtherApplications = r.rules.OtherApplications(fwu, tasks)
		if seen.Undeclared, err = undeclared(ctx, r.client, fwu.Namespace, r.rules); err != nil {
			return seen, err
		}
	}
	if listed := fwu.Spec.ListedDevices(); reported || len(listed) > 0 { // without a result, all devices are missing
		seen.Summary = r.store.Summary(
			seen.Task,
			tally.Query{TargetVersion: fwu.Spec.TargetVersion, Devices: listed},
		)
		seen.Lacking = r.whole.lacking(fwu, seen.Task)
	}
	if seen.Claim.Holds() { // after the results: how many of them had to be asked for is known before they are stored
		seen.Platform, err = r.platform.of(ctx, fwu, seen.Task, reported)
	}
	return seen, err
}

// SetupWithManager watches FirmwareUpgrades, their rivals for a task, IoTApplications, and the store. It is told
// of its own writes, too: then it finds that there is nothing to write. So what somebody else writes is noticed.
func (r *firmwareUpgradeReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("firmwareupgrade").
		For(&v1alpha1.FirmwareUpgrade{}).
		Watches(&v1alpha1.FirmwareUpgrade{}, rivals(r.client),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: claimChanged})).
		Watches(&v1alpha1.IoTApplication{}, handler.EnqueueRequestsFromMapFunc(everyUpgrade(r.client)),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: connectionChanged})).
		WatchesRawSource(source.Channel(r.creations.changed, &handler.EnqueueRequestForObject{})).
		WatchesRawSource(&storeSource[reconcile.Request]{
			store: r.store, enqueue: r.enqueueClaimants, pause: r.gatherChanges, clock: r.clock,
		}).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: statusWorkers, CacheSyncTimeout: syncTimeout, RateLimiter: retries[reconcile.Request](),
		}).
		Complete(r)
}

// enqueueClaimants queues the FirmwareUpgrades that may count a task which changed: those that have news before those
// that have mere progress to tell, however many of these wait. If one is being written just now, it is looked at again
// when the watch tells of that.
func (r *firmwareUpgradeReconciler) enqueueClaimants(
	ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request], task result.Task,
) {
	for _, request := range requestsFor(ctx, r.client, task.OperationID, "") {
		if r.hasNews(ctx, request.NamespacedName) {
			addWithPriority(q, request, newsPriority, 0)
		} else {
			addWithPriority(q, request, handler.LowPriority, max(0, r.period-r.written.since(request.NamespacedName)))
		}
	}
}

// gatherChanges returns how long changes gather: to judge each change of a backlog would take a processor.
func (r *firmwareUpgradeReconciler) gatherChanges() time.Duration {
	if r.bucket.hasBacklog() {
		return backlogPause
	}
	return 0
}

// hasNews says whether the status of a FirmwareUpgrade is to tell something that somebody waits for.
func (r *firmwareUpgradeReconciler) hasNews(ctx context.Context, object types.NamespacedName) bool {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := r.client.Get(ctx, object, fwu); err != nil {
		return false
	}
	d, err := r.decide(ctx, fwu)
	return err == nil && d.worth == status.News
}

// addWithPriority queues a request with a priority, where the queue knows priorities, after a while.
func addWithPriority(
	q workqueue.TypedRateLimitingInterface[reconcile.Request], request reconcile.Request, priority int,
	after time.Duration,
) {
	if prioritized, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority, After: after}, request)
		return
	}
	q.AddAfter(request, after)
}

// afterWrite returns what follows from the error of a write. After a conflict the cache is behind: there is a retry,
// and no error in the log.
func afterWrite(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: statusPeriod}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}
