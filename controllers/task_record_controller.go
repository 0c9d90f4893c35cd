// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	"fwupgrade.io/operator/internal/creation"
)

const (
	// retainRecords is how long the records of a request are kept that no FirmwareUpgrade asks for.
	retainRecords = 400 * 24 * time.Hour
	// keptRefusals is how many newer attempts there have to be until the records of one that the platform did not take for
	// the moment are removed: a platform that is busy for days would fill the records.
	keptRefusals = 10
	// recordPeriod is how often a record is looked at of which nothing is to be found out.
	recordPeriod = 24 * time.Hour
	// provePeriod is how long after a task was created the platform's list may still come to show it.
	provePeriod = 24 * time.Hour
)

// taskRecordReconciler finds out what became of attempts to create a task whose answer did not come, whether their
// FirmwareUpgrade is still there or not, and removes records that nobody needs any more.
type taskRecordReconciler struct {
	client client.Client
	// records are those of the operator's namespace.
	records cache.Cache
	ledger  *taskLedger
	creator *creation.Creator
	tasks   *taskReconciler
	// grace is how long looking may tell what became of an attempt.
	grace time.Duration
	clock clock.PassiveClock
}

// Reconcile looks at one record.
func (r *taskRecordReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	record := &storage.FirmwareUpgradeTaskRecord{}
	if err := r.records.Get(ctx, req.NamespacedName, record); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	of, err := r.ledger.Cached(record.Spec.RequestHash)
	if err != nil {
		return ctrl.Result{}, err
	}
	intent, outcome := halves(of, record.Spec.Attempt)
	switch {
	case outcome == nil:
		return r.resolve(ctx, intent)
	case record.Spec.Outcome != nil && intent != nil && outcome.Outcome.How == storage.TaskAnswered &&
		outcome.Outcome.Result == storage.TaskResultCreated:
		if after, err := r.prove(ctx, intent, outcome); err != nil || after > 0 {
			return ctrl.Result{RequeueAfter: after}, err
		}
	}
	return r.retain(ctx, record, of)
}

// halves returns the intent and the outcome of an attempt, nil where there is none.
func halves(records []creation.Record, attempt int32) (intent, outcome *creation.Record) {
	for i := range records {
		switch r := &records[i]; {
		case r.Attempt != attempt:
		case r.Intent != nil:
			intent = r
		case r.Outcome != nil:
			outcome = r
		}
	}
	return intent, outcome
}

// resolve searches for what an attempt may have created.
func (r *taskRecordReconciler) resolve(ctx context.Context, intent *creation.Record) (ctrl.Result, error) {
	decision, err := r.decision(ctx, intent)
	if err != nil {
		return ctrl.Result{}, err
	}
	app, err := r.tasks.connected(ctx, intent.AppID, intent.Intent.Groups != nil)
	if err != nil {
		return ctrl.Result{}, err
	}
	after := creationRetry
	if app != nil || decision != (creation.Decision{}) {
		if after, err = r.creator.Resolve(ctx, app, intent, decision); err != nil {
			if after == 0 {
				return ctrl.Result{}, err
			}
			ctrl.LoggerFrom(ctx).Info("Could not search for a task, will try again", "error", err.Error())
		}
	}
	asking, err := r.tasks.asking(ctx, intent.RequestHash)
	if err != nil {
		return ctrl.Result{}, err
	}
	for _, request := range asking { // what was found is shown
		if err := r.tasks.creations.lookAgain(ctx, request.NamespacedName); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// decision is what people said about an attempt: by replacing the task by its operationId, or by asking for another run
// of the same.
func (r *taskRecordReconciler) decision(ctx context.Context, intent *creation.Record) (creation.Decision, error) {
	fwu, err := whoAskedFor(ctx, r.client, intent.Intent.For)
	switch {
	case err != nil:
		return creation.Decision{}, err
	case fwu != nil && fwu.Spec.OperationID != "":
		return creation.Decision{OperationID: fwu.Spec.OperationID}, nil
	case fwu != nil && isLaterRun(fwu, intent):
		return creation.Decision{NotCreated: true}, nil
	}
	superseded, err := r.superseded(ctx, intent)
	return creation.Decision{NotCreated: superseded}, err
}

// isLaterRun says whether a FirmwareUpgrade asks for another run of what an intent was for.
func isLaterRun(fwu *v1alpha1.FirmwareUpgrade, intent *creation.Record) bool {
	if fwu.Spec.Task == nil || fwu.Spec.AppID != intent.AppID || fwu.Spec.Task.Run <= intent.Intent.Run {
		return false
	}
	same := *fwu.Spec.Task
	same.Run = intent.Intent.Run
	return creation.Hash(fwu.Spec.AppID, &same) == intent.RequestHash
}

// superseded says whether nobody asks for the request of an attempt any more, and somebody for a later run of it, when
// looking could not tell what became of it: the FirmwareUpgrade that it was for may be gone, created anew or renamed,
// so that nobody else could decide.
func (r *taskRecordReconciler) superseded(ctx context.Context, intent *creation.Record) (bool, error) {
	if r.clock.Since(intent.Intent.Time.Time) < r.grace {
		return false, nil
	}
	asking, err := r.tasks.asking(ctx, intent.RequestHash)
	if err != nil || len(asking) > 0 {
		return false, err
	}
	list := &v1alpha1.FirmwareUpgradeList{}
	err = r.client.List(ctx, list, client.MatchingFields{fieldAwaiting: intent.AppID}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, fmt.Errorf("look up who asks for another run: %w", err)
	}
	return slices.ContainsFunc(list.Items, func(fwu v1alpha1.FirmwareUpgrade) bool {
		return fwu.DeletionTimestamp.IsZero() && isLaterRun(&fwu, intent)
	}), nil
}

// prove looks whether the platform's list shows a task that it said to have created, and notes that it does.
func (r *taskRecordReconciler) prove(ctx context.Context, intent, outcome *creation.Record) (time.Duration, error) {
	if r.clock.Since(outcome.Outcome.Time.Time) > provePeriod {
		return 0, nil
	}
	declared, err := r.tasks.declared(ctx, intent.AppID)
	if err != nil || declared == nil {
		return creationRetry, err
	}
	app, err := r.tasks.connected(ctx, intent.AppID, intent.Intent.Groups != nil)
	switch {
	case err != nil || app != nil && app.SearchIsProved:
		return 0, err
	case app == nil:
		return creationRetry, nil
	}
	lag, shown, after, err := r.creator.Shown(ctx, app, intent, outcome)
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("Could not look whether the platform lists a task, will try again", "error", err.Error())
		return after, nil
	}
	if !shown {
		return after, nil
	}
	r.tasks.creations.noteSearch(intent.AppID, intent.Intent.Groups != nil, v1alpha1.SearchStatus{
		Endpoint: endpointOf(declared), VerifiedTime: metav1.Time{Time: r.clock.Now().UTC().Truncate(time.Second)},
		LagSeconds: int64(lag.Seconds()),
	})
	r.tasks.connections.changedApp(declared.Name)
	return 0, nil
}

// retain removes the records of a request that is old and that nobody asks for, an outcome after its intent, which
// would be an attempt that is still undecided.
func (r *taskRecordReconciler) retain(
	ctx context.Context, record *storage.FirmwareUpgradeTaskRecord, of []creation.Record,
) (ctrl.Result, error) {
	intent, outcome := halves(of, record.Spec.Attempt)
	if isOutdated(of, outcome) && (record.Spec.Intent != nil || intent == nil) {
		return ctrl.Result{}, r.remove(ctx, record)
	}
	for i := range of {
		if wait := recordedAt(&of[i]).Add(retainRecords).Sub(r.clock.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: min(wait, recordPeriod)}, nil
		}
	}
	asking, err := r.tasks.asking(ctx, record.Spec.RequestHash)
	if err != nil { // somebody may ask for it
		return ctrl.Result{}, err
	}
	if record.Spec.Outcome != nil && intent != nil || len(asking) > 0 {
		return ctrl.Result{RequeueAfter: recordPeriod}, nil
	}
	return ctrl.Result{}, r.remove(ctx, record)
}

// isOutdated says whether an attempt was refused for the moment, and enough others came after it.
func isOutdated(of []creation.Record, outcome *creation.Record) bool {
	if outcome == nil || outcome.Outcome.Result != storage.TaskResultRefused || outcome.Outcome.Code != "" {
		return false
	}
	return slices.ContainsFunc(of, func(r creation.Record) bool { return r.Attempt >= outcome.Attempt+keptRefusals })
}

func (r *taskRecordReconciler) remove(ctx context.Context, record *storage.FirmwareUpgradeTaskRecord) error {
	if err := r.client.Delete(ctx, record, client.Preconditions{UID: &record.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the record %s: %w", record.Name, err)
	}
	return nil
}

func recordedAt(r *creation.Record) time.Time {
	if r.Outcome != nil {
		return r.Outcome.Time.Time
	}
	return r.Intent.Time.Time
}

// SetupWithManager watches the records, and FirmwareUpgrades, whose spec may decide what became of an attempt.
func (r *taskRecordReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("taskrecord").
		WatchesRawSource(source.Kind(r.records, &storage.FirmwareUpgradeTaskRecord{},
			&handler.TypedEnqueueRequestForObject[*storage.FirmwareUpgradeTaskRecord]{})).
		Watches(&v1alpha1.FirmwareUpgrade{}, handler.EnqueueRequestsFromMapFunc(r.intentsOf),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: taskWorkers, CacheSyncTimeout: syncTimeout, RateLimiter: retries[reconcile.Request](),
		}).
		Complete(r)
}

// intentsOf maps a FirmwareUpgrade to the intents that were for it and, where it asks for another run, to those of
// which that may be one: what nobody knows of them, its spec may say.
func (r *taskRecordReconciler) intentsOf(ctx context.Context, o client.Object) []reconcile.Request {
	where := []client.ListOption{client.UnsafeDisableDeepCopy}
	fwu, ok := o.(*v1alpha1.FirmwareUpgrade)
	again := ok && fwu.Spec.Task != nil && fwu.Spec.Task.Run > 1
	if !again {
		where = append(where, client.MatchingFields{fieldIntentFor: string(o.GetUID())})
	}
	records := &storage.FirmwareUpgradeTaskRecordList{}
	if err := r.records.List(ctx, records, where...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not look up the records of tasks")
		return nil
	}
	var requests []reconcile.Request
	for i := range records.Items {
		record := &records.Items[i]
		if intent := record.Spec.Intent; intent != nil &&
			(intent.For.UID == string(o.GetUID()) || again && isLaterRun(fwu, &record.Spec)) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(record)})
		}
	}
	return requests
}

// concludedAttempts returns the names of the intents of which it is recorded what became.
func concludedAttempts(records []storage.FirmwareUpgradeTaskRecord) map[string]bool {
	concluded := map[string]bool{}
	for i := range records {
		if of := &records[i].Spec; of.Outcome != nil {
			concluded[storage.IntentName(of.RequestHash, of.Attempt)] = true
		}
	}
	return concluded
}
