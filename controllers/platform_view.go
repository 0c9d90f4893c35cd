// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/link"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/store"
)

// maxChanges is how many IoTApplications may wait whose state changed. Beyond that they are seen by applicationPeriod.
const maxChanges = 1024

// newConnections makes the connections, and the source of changes of their states.
func newConnections(
	mgr ctrl.Manager, o Options, results *store.Store, rules claim.Rules, m *metrics,
) (*connections, chan event.GenericEvent) {
	changed := make(chan event.GenericEvent, maxChanges)
	c := &connections{
		store: results, observe: m.platformCall, repaired: func(n int) { m.repaired.Add(float64(n)) },
		period: cmp.Or(o.RoundPeriod, link.RoundPeriod), clock: o.Clock,
		changedTasks: results.Publish,
		changedApp: func(name string) {
			app := &v1alpha1.IoTApplication{ObjectMeta: metav1.ObjectMeta{Name: name}}
			select {
			case changed <- event.GenericEvent{Object: app}:
			default:
			}
		},
		started: make(chan struct{}), byApp: map[string]*connection{},
	}
	view := &platformView{client: mgr.GetClient(), connections: c}
	c.followed = func(ctx context.Context, appID string) ([]link.Followed, error) {
		return view.followed(ctx, appID, results, rules)
	}
	return c, changed
}

// platformView knows which tasks are followed of which application, and what the platform says of them.
type platformView struct {
	client      client.Reader
	connections *connections
}

// of is the platform's view of the task that a FirmwareUpgrade has; nil where no application is connected at all.
func (v *platformView) of(fwu *v1alpha1.FirmwareUpgrade, task result.Task) *status.Platform {
	task.AppID = v.connections.applicationOf(fwu, task)
	return v.connections.view(task)
}

// wake has the platform asked for a task soon.
func (v *platformView) wake(fwu *v1alpha1.FirmwareUpgrade, task result.Task) {
	v.connections.wake(v.connections.applicationOf(fwu, task))
}

// applicationOf is the application at which a task is asked for: its own or, where neither the spec nor a result names
// one, the only one that is connected, if it lists the namespace or none.
func (c *connections) applicationOf(fwu *v1alpha1.FirmwareUpgrade, task result.Task) string {
	if task.AppID != "" || fwu.Spec.Placeholder {
		return task.AppID
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := ""
	for appID, of := range c.byApp {
		if len(of.namespaces) > 0 && !slices.Contains(of.namespaces, fwu.Namespace) {
			continue
		}
		if found != "" {
			return ""
		}
		found = appID
	}
	return found
}

// followed returns the tasks of an application that FirmwareUpgrades follow: those that have what they claim, and are
// neither archived, as their results would come back for ever, nor about to go.
func (v *platformView) followed(
	ctx context.Context, appID string, results *store.Store, rules claim.Rules,
) ([]link.Followed, error) {
	if err := results.WaitForSync(ctx); err != nil {
		return nil, err
	}
	all := &v1alpha1.FirmwareUpgradeList{}
	if err := v.client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list FirmwareUpgrades: %w", err)
	}
	byOperation := map[string][]v1alpha1.FirmwareUpgrade{}
	for _, f := range all.Items {
		byOperation[f.Spec.OperationID] = append(byOperation[f.Spec.OperationID], f)
	}
	var followed []link.Followed
	for i := range all.Items {
		f := &all.Items[i]
		if !f.DeletionTimestamp.IsZero() || status.Archived(f.Status) || f.Spec.AppID != "" && f.Spec.AppID != appID ||
			!claim.Resolve(f, byOperation[f.Spec.OperationID], rules).Holds() {
			continue
		}
		task, _, ambiguous := claim.Task(f, results.Tasks(f.Spec.OperationID), rules)
		task.AppID = v.connections.applicationOf(f, task)
		if !ambiguous.Holds() || task.AppID != appID {
			continue
		}
		if results.Purging(task) {
			continue
		}
		followed = append(followed, followedOf(f, task))
	}
	return followed, nil
}

func followedOf(f *v1alpha1.FirmwareUpgrade, task result.Task) link.Followed {
	d := f.Status.Devices
	of := link.Followed{
		Task: task, Placeholder: f.Spec.Placeholder, Finished: f.Status.CompletionTime != nil,
		Complete: d.Pending == 0 && d.InProgress == 0 && d.Succeeded+d.Failed > 0,
	}
	if f.Status.Platform != nil {
		of.Repaired = f.Status.Platform.Repaired
	}
	return of
}
