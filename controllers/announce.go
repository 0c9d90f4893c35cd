// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
)

// reportingController is the name under which the operator creates Events.
const reportingController = "fwupgrade.io/operator"

// Annotations of an Event about failed devices, for programs that read Events.
const (
	annotationFailures = "fwupgrade.io/failures"
	annotationCause    = "fwupgrade.io/cause"
	annotationDevices  = "fwupgrade.io/devices"
)

const (
	// maxDelivered bounds what is remembered of delivered outboxes. To forget one that the status still holds costs
	// requests that are answered AlreadyExists, redeliverAfter later.
	maxDelivered   = 4096
	redeliverAfter = time.Minute
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

const (
	// announceWorkers is how many outboxes are delivered at once.
	announceWorkers = 1
	// warningPriority is that of an outbox with a Warning; others have 0.
	warningPriority = 100
)

// announcer delivers the outboxes of FirmwareUpgrades: it creates the Events that a stored status says are to be created.
// It does so itself, as the usual recorders drop or merge what must not be lost; and beside the writing of statuses, as
// a thousand tasks that begin or end at once would else wait for each other's Events.
type announcer struct {
	client  client.Client
	pace    *pace
	metrics *metrics
	// instance names this process in the Events.
	instance string

	mu sync.Mutex
	// delivered are the outboxes this process knows to be delivered, until the status says so too.
	delivered map[types.UID]int64
}

func newAnnouncer(c client.Client, p *pace, m *metrics, instance string) *announcer {
	return &announcer{client: c, pace: p, metrics: m, instance: instance, delivered: map[types.UID]int64{}}
}

// Reconcile delivers the outbox of a FirmwareUpgrade.
func (a *announcer) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := a.client.Get(ctx, req.NamespacedName, fwu); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if len(fwu.Status.Events.Pending) == 0 {
		return ctrl.Result{}, nil
	}
	// Until the status says that it was delivered, it may have been forgotten that it was.
	return ctrl.Result{RequeueAfter: redeliverAfter}, a.deliver(ctx, fwu)
}

// SetupWithManager watches FirmwareUpgrades that have something in their outbox.
func (a *announcer) SetupWithManager(mgr ctrl.Manager) error {
	enqueue := func(obj client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		if fwu, ok := obj.(*v1alpha1.FirmwareUpgrade); ok && len(fwu.Status.Events.Pending) > 0 {
			enqueueOutbox(fwu, q)
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("announcer").
		Watches(&v1alpha1.FirmwareUpgrade{}, handler.Funcs{
			CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				enqueue(e.Object, q)
			},
			UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
				enqueue(e.ObjectNew, q)
			},
		}).
		WithOptions(controller.Options{MaxConcurrentReconciles: announceWorkers, CacheSyncTimeout: syncTimeout}).
		Complete(a)
}

// enqueueOutbox asks for an outbox to be delivered: one with a Warning before those without, when many wait.
func enqueueOutbox(fwu *v1alpha1.FirmwareUpgrade, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(fwu)}
	prioritized, ok := q.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		q.Add(request)
		return
	}
	priority := 0
	if slices.ContainsFunc(fwu.Status.Events.Pending, func(p v1alpha1.PendingEvent) bool { return p.Type == corev1.EventTypeWarning }) {
		priority = warningPriority
	}
	prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
}

// deliver creates the Events of a stored outbox. Their names follow from the object and the sequence, so that a
// repetition after a crash meets AlreadyExists and is done.
func (a *announcer) deliver(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade) error {
	if a.done(fwu) {
		return nil
	}
	first := fwu.Status.Events.Sequence - int64(len(fwu.Status.Events.Pending)) + 1
	for i, p := range fwu.Status.Events.Pending {
		if err := a.pace.awaitEvent(ctx); err != nil {
			return err
		}
		created := newEvent(fwu, first+int64(i), p, a.instance)
		err := a.pace.write(ctx, func() error { return a.client.Create(ctx, created) })
		switch {
		case err == nil:
			a.metrics.announced(p)
		case apierrors.IsAlreadyExists(err):
		case apierrors.IsInvalid(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			// Neither gets better by a retry, and neither may keep the Events behind it from being told.
			ctrl.LoggerFrom(ctx).Error(err, "Gave an Event up", "event", created.Name, "reason", p.Reason)
		default:
			return fmt.Errorf("create event %s: %w", created.Name, err)
		}
	}
	a.note(fwu)
	return nil
}

// done says whether the outbox is empty, or was delivered by this process before.
func (a *announcer) done(fwu *v1alpha1.FirmwareUpgrade) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(fwu.Status.Events.Pending) == 0 {
		if a.delivered[fwu.UID] <= fwu.Status.Events.Sequence { // the object may be older than what was delivered
			delete(a.delivered, fwu.UID)
		}
		return true
	}
	return a.delivered[fwu.UID] >= fwu.Status.Events.Sequence
}

// note remembers that the outbox was delivered.
func (a *announcer) note(fwu *v1alpha1.FirmwareUpgrade) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.delivered) >= maxDelivered { // of objects that were not looked at since their outbox was emptied
		clear(a.delivered)
	}
	a.delivered[fwu.UID] = fwu.Status.Events.Sequence
}

func newEvent(fwu *v1alpha1.FirmwareUpgrade, sequence int64, p v1alpha1.PendingEvent, instance string) *eventsv1.Event {
	e := eventAbout(corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "FirmwareUpgrade",
		Namespace: fwu.Namespace, Name: fwu.Name, UID: fwu.UID, ResourceVersion: fwu.ResourceVersion,
	}, string(fwu.UID)+"."+strconv.FormatInt(sequence, 10), p.Time, instance)
	e.Annotations = eventAnnotations(p)
	e.Action, e.Type, e.Reason, e.Note = "Upgrade", p.Type, p.Reason, p.Note
	return e
}

// eventAbout begins an Event of the operator, in the namespace of what it regards.
func eventAbout(regarding corev1.ObjectReference, name string, at metav1.MicroTime, instance string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: regarding.Namespace, Name: name},
		EventTime:           at,
		ReportingController: reportingController,
		ReportingInstance:   instance,
		Regarding:           regarding,
	}
}

func eventAnnotations(p v1alpha1.PendingEvent) map[string]string {
	if p.Failures == 0 {
		return nil
	}
	return map[string]string{
		annotationFailures: strconv.FormatInt(p.Failures, 10),
		annotationCause:    p.Cause,
		annotationDevices:  strings.Join(p.Devices, ","),
	}
}
