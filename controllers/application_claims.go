// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
)

// Fields by which the cache finds IoTApplications.
const (
	fieldAppID      = "spec.appId"
	fieldNamespaces = "spec.namespaces"
)

// indexApplications lets the cache find IoTApplications by these fields.
func indexApplications(ctx context.Context, indexer client.FieldIndexer) error {
	for field, values := range map[string]func(*v1alpha1.IoTApplication) []string{
		fieldAppID:      func(a *v1alpha1.IoTApplication) []string { return []string{a.Spec.AppID} },
		fieldNamespaces: func(a *v1alpha1.IoTApplication) []string { return a.Spec.Namespaces },
	} {
		err := indexer.IndexField(ctx, &v1alpha1.IoTApplication{}, field, func(o client.Object) []string {
			if app, ok := o.(*v1alpha1.IoTApplication); ok {
				return values(app)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("index IoTApplications by %s: %w", field, err)
		}
	}
	return nil
}

// applicationClaims says by IoTApplications who may claim what, where --require-application is set: the namespaces that
// the one lists which has the appId. One that is suspended goes on to rule. It implements claim.Applications.
type applicationClaims struct{ client client.Reader }

// Permitted implements claim.Applications.
func (a applicationClaims) Permitted(appID, namespace string) bool {
	for _, app := range a.list(client.MatchingFields{fieldAppID: appID}) {
		if slices.Contains(app.Spec.Namespaces, namespace) && a.rules(&app) {
			return true
		}
	}
	return false
}

// Applications implements claim.Applications.
func (a applicationClaims) Applications(namespace string) []string {
	var found []string
	for _, app := range a.list(client.MatchingFields{fieldNamespaces: namespace}) {
		if a.rules(&app) {
			found = append(found, app.Spec.AppID)
		}
	}
	slices.Sort(found)
	return found
}

// rules says whether an IoTApplication has its appId: of several, the oldest one has.
func (a applicationClaims) rules(app *v1alpha1.IoTApplication) bool {
	return olderOf(app, a.list(client.MatchingFields{fieldAppID: app.Spec.AppID})) == ""
}

// list reads the cache, which fails only where it has not started: then nothing is claimed yet.
func (a applicationClaims) list(by client.MatchingFields) []v1alpha1.IoTApplication {
	apps := &v1alpha1.IoTApplicationList{}
	if err := a.client.List(context.Background(), apps, by, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.Log.WithName("claim").Error(err, "Could not look up IoTApplications")
		return nil
	}
	return apps.Items
}

// connectionChanged says whether a change of an IoTApplication may concern FirmwareUpgrades: one of the spec, or of
// whether the platform can be asked.
func connectionChanged(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1alpha1.IoTApplication)
	after, isApp := e.ObjectNew.(*v1alpha1.IoTApplication)
	return !ok || !isApp || before.Generation != after.Generation ||
		conditionReason(before.Status.Conditions, v1alpha1.ConditionConnected) !=
			conditionReason(after.Status.Conditions, v1alpha1.ConditionConnected)
}

// everyUpgrade maps an IoTApplication that came, went or changed to all FirmwareUpgrades: it may say who has which
// task, and whether the platform is asked for it.
func everyUpgrade(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, _ client.Object) []reconcile.Request {
		all := &v1alpha1.FirmwareUpgradeList{}
		if err := c.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not look up FirmwareUpgrades")
			return nil
		}
		requests := make([]reconcile.Request, 0, len(all.Items))
		for i := range all.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
		return requests
	}
}
