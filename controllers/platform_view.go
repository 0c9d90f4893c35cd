// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

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
		started: make(chan struct{}), byApp: map[string]*connection{}, ended: map[string]time.Time{},
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
	// hosts are those that may be called.
	hosts PlatformHosts
}

// of is the platform's view of the task that a FirmwareUpgrade has, of which results are stored or not; nil where there
// is no IoTApplication at all. Which ones there are is what the cache says, not which ones are connected at the moment.
func (v *platformView) of(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, task result.Task, reported bool,
) (*status.Platform, error) {
	apps, err := v.applications(ctx)
	if err != nil || len(apps) == 0 {
		return nil, err
	}
	app, guessed := applicationOf(apps, fwu, task, reported)
	if app == nil {
		return &status.Platform{NotConnected: true}, nil
	}
	task.AppID = app.Spec.AppID
	p := v.connections.view(app, task)
	p.AppID, p.Guessed, p.NeverAsked = task.AppID, guessed, !v.hosts.allows(app.Spec.Northbound.Endpoint)
	return p, nil
}

// applications returns the IoTApplications, from the cache, but for those of which an older one has the application.
// They must not be changed.
func (v *platformView) applications(ctx context.Context) ([]v1alpha1.IoTApplication, error) {
	all := &v1alpha1.IoTApplicationList{}
	if err := v.client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list IoTApplications: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(all.Items), func(app v1alpha1.IoTApplication) bool {
		return olderOf(&app, all.Items) != ""
	}), nil
}

// applicationOf is the IoTApplication at which a task is asked for: its own or, where neither the spec nor a result
// names one, the only one that lists the namespace, which is a guess; nil where there is none. Results that name no
// application are a task of their own, which nobody can be asked for.
func applicationOf(
	apps []v1alpha1.IoTApplication, fwu *v1alpha1.FirmwareUpgrade, task result.Task, reported bool,
) (app *v1alpha1.IoTApplication, guessed bool) {
	guessed = task.AppID == ""
	if guessed && (reported || fwu.Spec.Placeholder) {
		return nil, false
	}
	for i := range apps {
		of := &apps[i]
		if of.Spec.AppID != task.AppID && (!guessed || !slices.Contains(of.Spec.Namespaces, fwu.Namespace)) {
			continue
		}
		if app != nil {
			return nil, false
		}
		app = of
	}
	return app, guessed
}

// followed returns the tasks of an application that FirmwareUpgrades follow: those that have what they claim, and are
// neither archived, as their results would come back for ever, nor about to go, nor still to be created.
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
	apps, err := v.applications(ctx)
	if err != nil {
		return nil, err
	}
	sameOperation := rivalsOf(all.Items)
	var followed []link.Followed
	for i := range all.Items {
		f := &all.Items[i]
		if f.OperationID() == "" || !f.DeletionTimestamp.IsZero() || status.Archived(f.Status) ||
			f.Spec.AppID != "" && f.Spec.AppID != appID ||
			!claim.Resolve(f, sameOperation(i), rules).Holds() {
			continue
		}
		task, reported, ambiguous := claim.Task(f, results.Tasks(f.OperationID()), rules)
		app, _ := applicationOf(apps, f, task, reported)
		if !ambiguous.Holds() || app == nil || app.Spec.AppID != appID {
			continue
		}
		if task.AppID = appID; results.Purging(task) {
			continue
		}
		followed = append(followed, followedOf(f, task))
	}
	return followed, nil
}

// rivalsOf returns those with the operationId of one of the FirmwareUpgrades, it among them. Nearly every one is alone
// with its own, and nothing is copied then: pages of sub-tasks are stored for those that are followed, and each asks.
func rivalsOf(all []v1alpha1.FirmwareUpgrade) func(i int) []v1alpha1.FirmwareUpgrade {
	byOperation := make(map[string][]int, len(all))
	for i := range all {
		id := all[i].OperationID()
		byOperation[id] = append(byOperation[id], i)
	}
	return func(i int) []v1alpha1.FirmwareUpgrade {
		same := byOperation[all[i].OperationID()]
		if len(same) == 1 {
			return all[i : i+1]
		}
		rivals := make([]v1alpha1.FirmwareUpgrade, 0, len(same))
		for _, j := range same {
			rivals = append(rivals, all[j])
		}
		return rivals
	}
}

func followedOf(f *v1alpha1.FirmwareUpgrade, task result.Task) link.Followed {
	d := f.Status.Devices
	of := link.Followed{
		Task: task, Owner: string(f.UID), Placeholder: f.Spec.Placeholder, Finished: f.Status.CompletionTime != nil,
		Complete: d.Pending == 0 && d.InProgress == 0 && d.Succeeded+d.Failed > 0,
	}
	if f.Status.Platform != nil {
		of.Repaired = f.Status.Platform.Repaired
	}
	return of
}
