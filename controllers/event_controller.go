// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
	ownevent "fwupgrade.io/operator/internal/event"
	"fwupgrade.io/operator/internal/status"
)

// Annotations of an Event: about failed devices, for programs that read Events; and when it was decided to create it,
// which is before eventTime where Events wait.
const (
	annotationFailures = "fwupgrade.io/failures"
	annotationCause    = "fwupgrade.io/cause"
	annotationDevices  = "fwupgrade.io/devices"
	annotationPlanTime = "fwupgrade.io/plan-time"
)

const (
	// eventWorkers is how many outboxes are delivered at once.
	eventWorkers = 4
	// minimalAfter is after which time an Event of which the API server finds a field wrong is created without its text.
	// Until then its own is tried: what changed the field on its way may go.
	minimalAfter = 5 * time.Minute
	// malformedFor is how long it is tried to create an Event of which the API server finds a field wrong, without its
	// text, too. Longer, it would keep those behind it from being told for ever.
	malformedFor = time.Hour
	// minimalNote is the text of an Event whose own text the API server finds wrong.
	minimalNote = "The text of this Event could not be stored"
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// eventReconciler creates the Events that the stored status of a FirmwareUpgrade has in its outbox. It does so itself,
// as the usual recorders drop or merge what must not be lost.
type eventReconciler struct {
	client     client.Client
	bucket     *bucket
	deliveries *deliveries
	metrics    *metrics
	clock      clock.PassiveClock
	// instance names this process in the Events.
	instance string
}

// Reconcile delivers the outbox of a FirmwareUpgrade: what somebody waits for at once, the rest when nobody waits for
// an Event of another one.
func (r *eventReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := r.client.Get(ctx, req.NamespacedName, fwu); err != nil {
		if apierrors.IsNotFound(err) {
			r.deliveries.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	awaited, others := r.undelivered(fwu)
	if len(awaited)+len(others) == 0 {
		return ctrl.Result{}, nil
	}
	isNews := len(awaited) > 0
	if err := r.bucket.take(ctx, isNews); err != nil {
		return ctrl.Result{}, err
	}
	created, sequence := r.deliveries.of(fwu), fwu.Status.OperatorState.Sequence
	err := r.deliver(ctx, fwu, awaited)
	if err == nil {
		created.awaited = sequence
	}
	later := isNews && err == nil && len(others) > 0
	if !later {
		rest := r.deliver(ctx, fwu, others)
		if rest == nil {
			created.others = sequence
		}
		err = errors.Join(err, rest)
	}
	r.deliveries.note(fwu, created)
	if later {
		return ctrl.Result{RequeueAfter: time.Millisecond, Priority: new(0)}, nil
	}
	return ctrl.Result{}, err
}

// SetupWithManager watches FirmwareUpgrades that have something in their outbox.
func (r *eventReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("event").
		Watches(&v1alpha1.FirmwareUpgrade{}, handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				r.enqueue(e.Object, q)
			},
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				r.enqueue(e.ObjectNew, q)
			},
			DeleteFunc: func(
				_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request],
			) { // what is remembered of it goes
				q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.Object)})
			},
		}).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: eventWorkers, CacheSyncTimeout: syncTimeout, RateLimiter: retries[reconcile.Request](),
		}).
		Complete(r)
}

// enqueue asks for an outbox to be delivered: one with something that somebody waits for before those without.
func (r *eventReconciler) enqueue(obj client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	fwu, ok := obj.(*v1alpha1.FirmwareUpgrade)
	if !ok {
		return
	}
	awaited, others := r.undelivered(fwu)
	if len(awaited)+len(others) == 0 {
		return
	}
	priority := 0
	if len(awaited) > 0 {
		priority = newsPriority
	}
	addWithPriority(q, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(fwu)}, priority, 0)
}

// undelivered returns the numbers of the Events in a stored outbox that are not known to be created: those that
// somebody waits for, and others.
func (r *eventReconciler) undelivered(fwu *v1alpha1.FirmwareUpgrade) (awaited, others []int64) {
	first, created := status.FirstNumber(fwu.Status.OperatorState), r.deliveries.of(fwu)
	for i, planned := range fwu.Status.OperatorState.Outbox {
		number := first + int64(i)
		isAwaited := status.Awaited(planned)
		switch {
		case isAwaited && number > created.awaited:
			awaited = append(awaited, number)
		case !isAwaited && number > created.others:
			others = append(others, number)
		}
	}
	return awaited, others
}

// deliver creates Events of a stored outbox. One that can't be created does not keep the others from it.
func (r *eventReconciler) deliver(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, numbers []int64) error {
	var errs []error
	for _, number := range numbers {
		planned := fwu.Status.OperatorState.Outbox[number-status.FirstNumber(fwu.Status.OperatorState)]
		errs = append(errs, r.create(ctx, fwu, number, planned))
	}
	return errors.Join(errs...)
}

// create creates an Event. Its name follows from the outbox, so that a repetition meets AlreadyExists and is done. One
// that is malformed for minutes is created with what the sums follow from; what is refused for any other reason is
// tried again, for ever.
func (r *eventReconciler) create(
	ctx context.Context,
	fwu *v1alpha1.FirmwareUpgrade,
	number int64,
	planned v1alpha1.OutboxEvent,
) error {
	created := newEvent(fwu, number, planned, r.clock.Now(), r.instance)
	err := r.client.Create(ctx, created)
	age := r.clock.Since(planned.PlanTime.Time)
	if isMalformed(err) && age > minimalAfter {
		ctrl.LoggerFrom(ctx).Error(err, "Left the text of an Event out", "event", created.Name, "reason", planned.Reason)
		created = minimal(created)
		err = r.client.Create(ctx, created)
	}
	switch {
	case err == nil:
		r.metrics.announced(planned, r.clock.Now())
	case apierrors.IsAlreadyExists(err):
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause),
		isMalformed(err) && age > malformedFor:
		ctrl.LoggerFrom(ctx).Error(err, "Gave an Event up", "event", created.Name, "reason", planned.Reason)
	default:
		return fmt.Errorf("create event %s: %w", created.Name, err)
	}
	return nil
}

func newEvent(
	fwu *v1alpha1.FirmwareUpgrade,
	number int64,
	planned v1alpha1.OutboxEvent,
	now time.Time,
	instance string,
) *eventsv1.Event {
	// The time tells Events apart that have one number, because somebody removed the record of those before.
	name := fmt.Sprintf("%s.%d-%x", fwu.UID, number, planned.PlanTime.UnixMicro())
	e := ownevent.New(reference(fwu), name, now, instance)
	e.Annotations = map[string]string{annotationPlanTime: planned.PlanTime.UTC().Format(time.RFC3339Nano)}
	if planned.Failures > 0 {
		e.Annotations[annotationFailures] = strconv.FormatInt(planned.Failures, 10)
		e.Annotations[annotationCause] = planned.Cause
		e.Annotations[annotationDevices] = strings.Join(planned.Devices, ",")
	}
	e.Action, e.Type, e.Reason, e.Note = "Upgrade", planned.Type, planned.Reason, planned.Note
	return e
}

// minimal is an Event without what devices and people wrote.
func minimal(e *eventsv1.Event) *eventsv1.Event {
	out := e.DeepCopy()
	out.Note = minimalNote
	delete(out.Annotations, annotationCause)
	delete(out.Annotations, annotationDevices)
	return out
}

// isMalformed says whether the API server finds a field of an object wrong. What an admission policy or a webhook
// refuses is called invalid, too, but passes when that goes: a policy names no field, and who denies begins the
// message.
func isMalformed(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil ||
		strings.HasPrefix(status.Status().Message, "admission webhook ") {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool { return c.Field != "" })
}

// reference says which FirmwareUpgrade an Event is about.
func reference(fwu *v1alpha1.FirmwareUpgrade) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "FirmwareUpgrade",
		Namespace: fwu.Namespace, Name: fwu.Name, UID: fwu.UID, ResourceVersion: fwu.ResourceVersion,
	}
}
