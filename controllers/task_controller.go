// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/internal/store"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// taskWorkers is how many creations are under way at once, each of another application.
	taskWorkers = 4
	// leadBeforeCreating is how long a leader waits before it has a task created: after a restore of etcd it knows nothing
	// of what was created last, and that has to become visible on the platform first.
	leadBeforeCreating = 6 * time.Minute
	// markWait bounds how long a creation waits until the status says that it begins, markPeriod is how often it looks.
	markWait   = 30 * time.Second
	markPeriod = 100 * time.Millisecond
	// creationRetry is when a creation that waits for its application is looked at again, if nothing tells sooner.
	creationRetry = time.Minute
)

// taskReconciler has the tasks created that FirmwareUpgrades ask for.
type taskReconciler struct {
	client client.Client
	// records are those of the operator's namespace.
	records cache.Cache
	// direct reads what is stored.
	direct      client.Reader
	creator     *creation.Creator
	creations   *creations
	connections *connections
	platform    *platformView
	store       *store.Store
	rules       claim.Rules
	clock       clock.Clock
}

// Reconcile finds out how far the creation of a task is, and goes on with it.
func (r *taskReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := r.client.Get(ctx, req.NamespacedName, fwu); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	if fwu.Spec.Task == nil || !fwu.DeletionTimestamp.IsZero() { // or there is none any more
		r.creations.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	asked := askedBy(fwu)
	v, begin, err := r.creator.Known(asked)
	switch {
	case err != nil || !begin:
	case v.OperationID != "":
		v, err = r.restore(ctx, asked)
	default:
		v, err = r.create(ctx, fwu, asked, v)
	}
	if errors.Is(err, errChanged) {
		return ctrl.Result{RequeueAfter: statusPeriod}, nil // the watch brings what it is now
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.creations.set(ctx, fwu, v); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: v.After}, nil
}

// restore records a task that the status names and no record does.
func (r *taskReconciler) restore(ctx context.Context, asked *creation.Asked) (creation.Verdict, error) {
	app, err := r.connected(ctx, asked.AppID, asked.Task.DeviceGroups != nil)
	if err != nil {
		return creation.Verdict{}, err
	}
	return r.creator.Restore(ctx, app, asked)
}

// askedBy is what a FirmwareUpgrade asks for.
func askedBy(fwu *v1alpha1.FirmwareUpgrade) *creation.Asked {
	asked := &creation.Asked{
		AppID: fwu.Spec.AppID, Task: fwu.Spec.Task, FileVersion: fwu.Spec.TargetVersion, Since: fwu.CreationTimestamp.Time,
		For: storage.ObjectReference{Namespace: fwu.Namespace, Name: fwu.Name, UID: string(fwu.UID)},
	}
	if of := fwu.Status.Task; of != nil && of.RequestHash == creation.Hash(fwu.Spec.AppID, fwu.Spec.Task) {
		asked.OperationID = fwu.Status.OperationID
		if c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionTaskCreated); c != nil {
			asked.Reason = c.Reason
		}
	}
	return asked
}

// create has a task created, where everything allows it.
func (r *taskReconciler) create(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, asked *creation.Asked, v creation.Verdict,
) (creation.Verdict, error) {
	app, refusal, err := r.application(ctx, fwu)
	if err != nil {
		return v, err
	}
	if refusal != nil {
		v.State, v.Reason, v.Message, v.After = v1alpha1.TaskWaiting, refusal.reason, refusal.message, creationRetry
		if lead := r.mayCreateFrom().Sub(r.clock.Now()); lead > 0 {
			v.After = min(v.After, lead)
		}
		return v, nil
	}
	return r.creator.Create(ctx, app, asked, func(ctx context.Context, v creation.Verdict) error {
		return r.mark(ctx, fwu, v)
	})
}

// application is the connected application at which a FirmwareUpgrade may have tasks created, or why there is none.
func (r *taskReconciler) application(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade,
) (*creation.Application, *problem, error) {
	app, err := r.declared(ctx, fwu.Spec.AppID)
	may := claim.Resolve(fwu, nil, r.rules)
	switch {
	case err != nil:
		return nil, nil, err
	case !may.Holds(): // it would not count what was created
		return nil, &problem{may.Reason, may.Message}, nil
	case app == nil:
		return nil, &problem{v1alpha1.ReasonApplicationNotFound, "no IoTApplication has the appId " + fwu.Spec.AppID +
			": declare one, or name another in a new FirmwareUpgrade"}, nil
	case !slices.Contains(app.Spec.Namespaces, fwu.Namespace):
		return nil, &problem{v1alpha1.ReasonNotPermitted, "IoTApplication " + app.Name + " does not list the namespace " +
			fwu.Namespace + " in spec.namespaces: ask who administers it"}, nil
	case app.Spec.Tasks != v1alpha1.TasksCreate:
		return nil, &problem{v1alpha1.ReasonNotPermitted, "IoTApplication " + app.Name + " has spec.tasks: Observe, so " +
			"that nothing is created: set it to Create"}, nil
	}
	of := r.connections.creator(app)
	switch {
	case app.Spec.Suspend:
		return nil, &problem{v1alpha1.ReasonWaiting, "IoTApplication " + app.Name + " is suspended"}, nil
	case of == nil:
		return nil, &problem{v1alpha1.ReasonWaiting, "IoTApplication " + app.Name + " is not connected"}, nil
	case r.clock.Now().Before(r.mayCreateFrom()):
		return nil, &problem{v1alpha1.ReasonWaiting, "the operator began to lead a moment ago, and creates nothing before " +
			r.mayCreateFrom().UTC().Format(time.RFC3339) + ", so that what was created before becomes visible"}, nil
	}
	r.complete(of, app, fwu.Spec.Task.DeviceGroups != nil)
	return of, nil, nil
}

// mayCreateFrom is from when on this process may have tasks created.
func (r *taskReconciler) mayCreateFrom() time.Time {
	return r.connections.ledSince().Add(leadBeforeCreating)
}

// declared returns the IoTApplication of an application, nil if there is none.
func (r *taskReconciler) declared(ctx context.Context, appID string) (*v1alpha1.IoTApplication, error) {
	apps, err := r.platform.applications(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(apps, func(app v1alpha1.IoTApplication) bool { return app.Spec.AppID == appID })
	if i < 0 {
		return nil, nil //nolint:nilnil // There is none.
	}
	return &apps[i], nil
}

// connected is the connection of an application for a request by devices or by groups, nil if it has none that works.
func (r *taskReconciler) connected(ctx context.Context, appID string, groups bool) (*creation.Application, error) {
	app, err := r.declared(ctx, appID)
	if err != nil || app == nil {
		return nil, err
	}
	of := r.connections.creator(app)
	if of != nil {
		r.complete(of, app, groups)
	}
	return of, nil
}

// complete adds what is known of an application.
func (r *taskReconciler) complete(of *creation.Application, app *v1alpha1.IoTApplication, groups bool) {
	of.SearchIsProved = r.creations.search(app, groups) != nil
	of.Witnesses = func(since time.Time) []string { return r.witnesses(app.Spec.AppID, since) }
}

// witnesses are the tasks of an application that nobody declared, of which something was first heard since a time.
func (r *taskReconciler) witnesses(appID string, since time.Time) (ids []string) {
	for _, task := range r.store.AllTasks() {
		if task.AppID != appID || r.store.Summary(task, tally.Query{}).FirstReceivedAt < since.UnixMicro() {
			continue
		}
		same, err := sameOperation(context.Background(), r.client, task.OperationID)
		if err != nil {
			continue
		}
		if holder := claim.HolderOf(task, same, r.rules); holder == nil || holder.Spec.Placeholder {
			ids = append(ids, task.OperationID)
		}
	}
	return ids
}

// errChanged says that a FirmwareUpgrade is not what was asked for any more, or may not have its task created.
var errChanged = errors.New("the FirmwareUpgrade, or who may have tasks created, changed")

// mark has the status say that the creation begins, and waits until it is stored: from then on the API server refuses
// changes of what is asked for.
func (r *taskReconciler) mark(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, v creation.Verdict) error {
	if err := r.creations.set(ctx, fwu, v); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, markWait)
	defer cancel()
	for {
		stored, err := r.stored(ctx, fwu)
		switch {
		case err != nil:
			return fmt.Errorf("read whether the creation may begin: %w", err)
		case stored == nil, !stored.DeletionTimestamp.IsZero(), stored.Spec.Task == nil,
			creation.Hash(stored.Spec.AppID, stored.Spec.Task) != v.RequestHash,
			!r.clock.Now().Before(stored.Spec.Task.CreateBefore.Time):
			return errChanged
		}
		if t := stored.Status.Task; t != nil && t.State == v1alpha1.TaskCreating && t.RequestHash == v.RequestHash &&
			t.Attempt == v.Attempt {
			return r.mayStill(ctx, stored)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the status to say that the creation begins: %w", ctx.Err())
		case <-r.clock.After(markPeriod):
		}
	}
}

// mayStill says whether a FirmwareUpgrade may still have its task created: looking for the task may have taken minutes,
// in which somebody had the application create no more.
func (r *taskReconciler) mayStill(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) error {
	_, refusal, err := r.application(ctx, fwu)
	if err == nil && refusal != nil {
		return errChanged
	}
	return err
}

// stored returns a FirmwareUpgrade as it is stored, nil if it is gone. It is listed by its name, as the operator may do
// that already.
func (r *taskReconciler) stored(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade,
) (*v1alpha1.FirmwareUpgrade, error) {
	list := &v1alpha1.FirmwareUpgradeList{}
	err := r.direct.List(ctx, list, client.InNamespace(fwu.Namespace), client.MatchingFields{"metadata.name": fwu.Name})
	if err != nil || len(list.Items) != 1 || list.Items[0].UID != fwu.UID {
		return nil, err
	}
	return &list.Items[0], nil
}

// SetupWithManager watches FirmwareUpgrades that ask for a task, the records of tasks, and IoTApplications.
func (r *taskReconciler) SetupWithManager(mgr ctrl.Manager) error {
	asks := predicate.NewPredicateFuncs(func(o client.Object) bool {
		fwu, ok := o.(*v1alpha1.FirmwareUpgrade)
		return ok && (fwu.Spec.Task != nil || fwu.Status.Task != nil)
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("task").
		For(&v1alpha1.FirmwareUpgrade{}, builder.WithPredicates(asks)).
		WatchesRawSource(source.Kind(r.records, &storage.FirmwareUpgradeTaskRecord{},
			handler.TypedEnqueueRequestsFromMapFunc(r.whoAsks))).
		Watches(&v1alpha1.IoTApplication{}, handler.EnqueueRequestsFromMapFunc(r.everyTask),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: connectionChanged})). // each looks at the platform
		WatchesRawSource(source.Channel(r.creations.again, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: taskWorkers, CacheSyncTimeout: syncTimeout, RateLimiter: retries[reconcile.Request](),
		}).
		Complete(r)
}

// whoAsks maps a record to the FirmwareUpgrades that ask for its request and, where it says what came of an attempt, to
// those that may wait for that as they ask for something alike of the same application.
func (r *taskReconciler) whoAsks(ctx context.Context, record *storage.FirmwareUpgradeTaskRecord) []reconcile.Request {
	requests, err := r.asking(ctx, record.Spec.RequestHash)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not look up who asks for a task")
	}
	if record.Spec.Outcome != nil {
		requests = append(requests, r.waiting(ctx, record.Spec.AppID)...)
	}
	return requests
}

// everyTask maps an IoTApplication to the FirmwareUpgrades whose task it is to create.
func (r *taskReconciler) everyTask(ctx context.Context, o client.Object) []reconcile.Request {
	app, ok := o.(*v1alpha1.IoTApplication)
	if !ok {
		return nil
	}
	return r.waiting(ctx, app.Spec.AppID)
}

// asking returns the FirmwareUpgrades that ask for a request.
func (r *taskReconciler) asking(ctx context.Context, requestHash string) ([]reconcile.Request, error) {
	return r.requests(ctx, client.MatchingFields{fieldRequest: requestHash})
}

// waiting returns the FirmwareUpgrades whose task an application still is to create.
func (r *taskReconciler) waiting(ctx context.Context, appID string) []reconcile.Request {
	requests, err := r.requests(ctx, client.MatchingFields{fieldAwaiting: appID})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not look up who waits for a task")
	}
	return requests
}

func (r *taskReconciler) requests(ctx context.Context, where client.ListOption) ([]reconcile.Request, error) {
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := r.client.List(ctx, list, where, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("look up who asks for a task: %w", err)
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests, nil
}

// whoAskedFor returns the FirmwareUpgrade that an intent was for, nil if there is none any more.
func whoAskedFor(ctx context.Context, c client.Reader, of storage.ObjectReference) (*v1alpha1.FirmwareUpgrade, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	err := c.Get(ctx, types.NamespacedName{Namespace: of.Namespace, Name: of.Name}, fwu)
	if err != nil || string(fwu.UID) != of.UID {
		return nil, client.IgnoreNotFound(err)
	}
	return fwu, nil
}
