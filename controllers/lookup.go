// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/internal/status"
)

// Fields by which the cache finds FirmwareUpgrades.
const (
	fieldOperationID = "status.operationId"
	fieldPlaceholder = "spec.placeholder"
	// fieldRequest is the hash of the request of those that ask for a task.
	fieldRequest = "spec.task"
	// fieldAwaiting is the application that is still to create the task of those that ask for one.
	fieldAwaiting = "status.task"
)

// indexFields lets the cache find FirmwareUpgrades by these fields.
func indexFields(ctx context.Context, indexer client.FieldIndexer) error {
	for field, value := range map[string]func(*v1alpha1.FirmwareUpgrade) string{
		fieldOperationID: (*v1alpha1.FirmwareUpgrade).OperationID,
		fieldPlaceholder: func(f *v1alpha1.FirmwareUpgrade) string { return strconv.FormatBool(f.Spec.Placeholder) },
		fieldRequest: func(f *v1alpha1.FirmwareUpgrade) string {
			if f.Spec.Task == nil {
				return ""
			}
			return creation.Hash(f.Spec.AppID, f.Spec.Task)
		},
		fieldAwaiting: func(f *v1alpha1.FirmwareUpgrade) string {
			if f.Spec.Task == nil || f.OperationID() != "" {
				return ""
			}
			return f.Spec.AppID
		},
	} {
		err := indexer.IndexField(ctx, &v1alpha1.FirmwareUpgrade{}, field, func(o client.Object) []string {
			if fwu, ok := o.(*v1alpha1.FirmwareUpgrade); ok && value(fwu) != "" {
				return []string{value(fwu)}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("index FirmwareUpgrades by %s: %w", field, err)
		}
	}
	return nil
}

// sameOperation returns all FirmwareUpgrades with the operationId, from the cache; none where that is empty, as the
// tasks that are still to be created have nothing in common. They must not be changed: they are the cache's own.
func sameOperation(ctx context.Context, c client.Reader, operationID string) ([]v1alpha1.FirmwareUpgrade, error) {
	if operationID == "" {
		return nil, nil
	}
	list := &v1alpha1.FirmwareUpgradeList{}
	err := c.List(ctx, list, client.MatchingFields{fieldOperationID: operationID}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list FirmwareUpgrades by operationId: %w", err)
	}
	return list.Items, nil
}

// undeclared counts the tasks with a placeholder that a namespace may claim; where there are more than a message tells,
// some of them.
func undeclared(ctx context.Context, c client.Reader, namespace string, rules claim.Rules) (int, error) {
	options := []client.ListOption{
		client.InNamespace(rules.PlaceholderNamespace), client.MatchingFields{fieldPlaceholder: "true"},
		client.UnsafeDisableDeepCopy,
	}
	if rules.Applications == nil { // then every one of them counts
		options = append(options, client.Limit(status.MaxUndeclared+1))
	}
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := c.List(ctx, list, options...); err != nil {
		return 0, fmt.Errorf("list placeholders: %w", err)
	}
	return rules.Undeclared(namespace, list.Items), nil
}

// claimChanged says whether a change may make somebody else have a task: of the spec, a deletion, that the task was
// created, and of the finalizer with which one that is being deleted keeps its task. The last two are status and
// metadata, and have no generation.
func claimChanged(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*v1alpha1.FirmwareUpgrade)
	after, isToo := e.ObjectNew.(*v1alpha1.FirmwareUpgrade)
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
		ok && isToo && before.OperationID() != after.OperationID() ||
		controllerutil.ContainsFinalizer(e.ObjectOld, v1alpha1.FinalizerPurge) !=
			controllerutil.ContainsFinalizer(e.ObjectNew, v1alpha1.FinalizerPurge)
}

// rivals maps a FirmwareUpgrade that came, went or changed to the others with its operationId.
func rivals(c client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		if fwu, ok := obj.(*v1alpha1.FirmwareUpgrade); ok {
			return requestsFor(ctx, c, fwu.OperationID(), fwu.UID)
		}
		return nil
	})
}

// requestsFor returns the FirmwareUpgrades with an operationId, without one of them.
func requestsFor(ctx context.Context, c client.Reader, operationID string, but types.UID) []reconcile.Request {
	same, err := sameOperation(ctx, c, operationID)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not look up who claims a task")
		return nil
	}
	var requests []reconcile.Request
	for i := range same {
		if same[i].UID != but {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&same[i])})
		}
	}
	return requests
}
