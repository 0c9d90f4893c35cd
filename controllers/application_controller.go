// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/link"
)

// applicationPeriod is after which time an IoTApplication is looked at again, and its Secrets read: nobody watches
// them.
const applicationPeriod = time.Minute

// +kubebuilder:rbac:groups=fwupgrade.io,resources=iotapplications,verbs=list;watch
// +kubebuilder:rbac:groups=fwupgrade.io,resources=iotapplications/status,verbs=update

// applicationReconciler connects IoTApplications, and writes what became of that into their status.
type applicationReconciler struct {
	client client.Client
	// secrets reads without a cache.
	secrets     client.Reader
	namespace   string
	hosts       PlatformHosts
	connections *connections
	creations   *creations
	changed     chan event.GenericEvent
	clock       clock.Clock
	// instance names this process in Events.
	instance string
	// reasons are since when conditions have their reasons, by the IoTApplication and the type. There is one worker.
	reasons map[string]map[string]heldReason
}

// Reconcile connects an IoTApplication, or ends its connection, and writes the status if it says anything new.
func (r *applicationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	all := &v1alpha1.IoTApplicationList{}
	if err := r.client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, fmt.Errorf("list IoTApplications: %w", err)
	}
	app := &v1alpha1.IoTApplication{}
	if err := r.client.Get(ctx, req.NamespacedName, app); err != nil {
		if err := client.IgnoreNotFound(err); err != nil {
			return ctrl.Result{}, err
		}
		r.connections.end(req.Name)
		delete(r.reasons, req.Name)
		return ctrl.Result{}, nil
	}
	state, problem, err := r.connect(ctx, app, all.Items)
	if err != nil {
		return ctrl.Result{}, err
	}
	// What is told is what is stored: an Event's name follows from since when a condition holds, and who looks with an old
	// cache fails here.
	first := applicationStatus(app, state, problem, r.clock.Now())
	first.Search, first.GroupSearch = r.creations.search(app, false), r.creations.search(app, true)
	if err := r.write(ctx, app, first); err != nil {
		return afterWrite(err)
	}
	next := *app.Status.DeepCopy()
	wait, err := r.announce(ctx, app, &next)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.write(ctx, app, next); err != nil {
		return afterWrite(err)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// write writes the status if it says anything new.
func (r *applicationReconciler) write(
	ctx context.Context, app *v1alpha1.IoTApplication, next v1alpha1.IoTApplicationStatus,
) error {
	if equality.Semantic.DeepEqual(app.Status, next) {
		return nil
	}
	app.Status = next
	if err := r.client.Status().Update(ctx, app); err != nil {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}

// connect connects an application, and returns the state of the connection; nil where a problem forbids one, which then
// says why.
func (r *applicationReconciler) connect(
	ctx context.Context, app *v1alpha1.IoTApplication, all []v1alpha1.IoTApplication,
) (*link.State, *problem, error) {
	p := r.forbidden(app, all)
	var read *credentials
	if p == nil {
		var err error
		if read, err = readCredentials(ctx, r.secrets, r.namespace, app); err != nil {
			of, isProblem := errors.AsType[*secretProblem](err)
			if !isProblem {
				return nil, nil, err
			}
			p = &problem{reason: of.reason, message: of.text}
		}
	}
	if p != nil {
		r.connections.end(app.Name)
		return nil, p, nil
	}
	of, err := r.connections.ensure(ctx, app, read)
	if refused, ok := errors.AsType[*refusedSpecError](err); ok {
		r.connections.end(app.Name)
		return nil, &problem{v1alpha1.ReasonInvalidSpec, refused.Error()}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	state := of.State()
	return &state, nil, nil
}

// problem is why an application is not connected.
type problem struct{ reason, message string }

// forbidden says why an application must not be connected, whatever its Secrets hold; nil where it may.
func (r *applicationReconciler) forbidden(app *v1alpha1.IoTApplication, all []v1alpha1.IoTApplication) *problem {
	if older := olderOf(app, all); older != "" {
		return &problem{v1alpha1.ReasonDuplicateApplication, "IoTApplication " + older +
			" is older and has the same appId: delete one of the two"}
	}
	if !r.hosts.allows(app.Spec.Northbound.Endpoint) {
		return &problem{v1alpha1.ReasonEndpointNotAllowed, "--platform-hosts of the operator does not list the host and " +
			"port of spec.northbound.endpoint: add it there, if the operator is to connect to it"}
	}
	if app.Spec.Suspend {
		return &problem{v1alpha1.ReasonSuspended, "spec.suspend is set: nobody calls the platform"}
	}
	return nil
}

// olderOf returns the name of an older IoTApplication with the same appId, of equally old ones the one with the lower
// UID; empty where there is none.
func olderOf(app *v1alpha1.IoTApplication, all []v1alpha1.IoTApplication) string {
	for i := range all {
		other := &all[i]
		if other.UID == app.UID || other.Spec.AppID != app.Spec.AppID {
			continue
		}
		if c := other.CreationTimestamp.Compare(app.CreationTimestamp.Time); c < 0 || c == 0 && other.UID < app.UID {
			return other.Name
		}
	}
	return ""
}

// SetupWithManager watches IoTApplications and what their connections become.
func (r *applicationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("iotapplication").
		For(&v1alpha1.IoTApplication{}).
		// One that goes may make room for another one with the same appId.
		Watches(&v1alpha1.IoTApplication{}, handler.EnqueueRequestsFromMapFunc(r.sameApplication)).
		WatchesRawSource(source.Channel(r.changed, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{RateLimiter: retries[reconcile.Request](), CacheSyncTimeout: syncTimeout}).
		Complete(r)
}

func (r *applicationReconciler) sameApplication(ctx context.Context, obj client.Object) []reconcile.Request {
	app, ok := obj.(*v1alpha1.IoTApplication)
	if !ok {
		return nil
	}
	all := &v1alpha1.IoTApplicationList{}
	if err := r.client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not look up IoTApplications")
		return nil
	}
	var requests []reconcile.Request
	for i := range all.Items {
		if other := &all.Items[i]; other.Spec.AppID == app.Spec.AppID && other.UID != app.UID {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(other)})
		}
	}
	return requests
}
