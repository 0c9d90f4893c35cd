// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers is what the leader runs: it reads the stored slices into the tally, writes the status of
// FirmwareUpgrades, announces Events, makes placeholders, and keeps the store small.
package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/upgrade"
)

// What becomes of tasks that nobody declared.
const (
	// UndeclaredAdopt makes a placeholder for each.
	UndeclaredAdopt = "Adopt"
	// UndeclaredHold leaves their results unclaimed.
	UndeclaredHold = "Hold"
)

// Options of the controllers.
type Options struct {
	// Namespace is the operator's, where the slices are.
	Namespace string
	// DefaultNamespace is where placeholders are made.
	DefaultNamespace string
	// Undeclared is UndeclaredAdopt or UndeclaredHold.
	Undeclared string
	// Applications maps applications to namespaces; nil permits every namespace everything.
	Applications *applications.Map
	// MaxStoredResults is how many results are stored before new ones are refused; at least 1.
	MaxStoredResults int
	// MaxStatusWritesPerSecond bounds the status writes over all FirmwareUpgrades; at least 1.
	MaxStatusWritesPerSecond int
	// RetainUnclaimed is how long results are kept that no FirmwareUpgrade claims; at least a minute.
	RetainUnclaimed time.Duration
	// Instance names this process in Events; at most 128 bytes.
	Instance string
	// Registerer takes the metrics.
	Registerer prometheus.Registerer
	// Clock is the time.
	Clock clock.WithTicker
}

// Validate returns what is wrong with the options, in words that say what to change.
func (o *Options) Validate() error {
	switch {
	case o.Namespace == "":
		return fmt.Errorf("--operator-namespace is empty: set it to the namespace the operator runs in")
	case o.DefaultNamespace == "":
		return fmt.Errorf("--default-namespace is empty: set it to the namespace for placeholders")
	case o.Undeclared != UndeclaredAdopt && o.Undeclared != UndeclaredHold:
		return fmt.Errorf("--undeclared=%s is not known: set it to %s or %s", o.Undeclared, UndeclaredAdopt, UndeclaredHold)
	case o.MaxStoredResults < 1:
		return fmt.Errorf("--max-stored-results=%d: set it to 1 or more", o.MaxStoredResults)
	case o.MaxStatusWritesPerSecond < 1:
		return fmt.Errorf("--max-status-writes-per-second=%d: set it to 1 or more", o.MaxStatusWritesPerSecond)
	case o.RetainUnclaimed < time.Minute:
		return fmt.Errorf("--retain-unclaimed=%s: set it to 1m or more", o.RetainUnclaimed)
	}
	return nil
}

// The leader's lease, and the Events about it.
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update,namespace=system
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch,namespace=system

// Setup adds everything the leader runs to the manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if err := indexOperationID(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	direct, err := client.NewWithWatch(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("make a client for slices: %w", err)
	}
	rules := tenancy{apps: o.Applications, placeholders: o.DefaultNamespace}
	tally, index := upgrade.NewTally(), newSliceIndex()
	m, err := newMetrics(o.Registerer, tally, index, o.MaxStoredResults)
	if err != nil {
		return err
	}
	reader := NewSliceReader(direct, o.Namespace, tally, index)
	if err := o.Registerer.Register(newUpgradesCollector(mgr.GetClient(), reader, tally, rules)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	pace := newPace(o.MaxStatusWritesPerSecond, o.Clock)
	reader.received = pace.received
	rewriter := &rewriter{client: direct, namespace: o.Namespace, index: index, sortAt: sortAtResults, pace: pace, metrics: m}
	retention := newRetention(mgr.GetClient(), rewriter, tally, rules, o.RetainUnclaimed, o.Clock)
	rejections := &rejections{client: direct, clock: o.Clock, instance: o.Instance, wake: make(chan struct{}, 1)}
	index.added = rejections.note
	for _, runnable := range []manager.Runnable{
		reader, rejections,
		&housekeeping{reader: reader, compaction: &compaction{index: index, tally: tally, rewriter: rewriter, clock: o.Clock}, retention: retention, clock: o.Clock},
		&capacity{client: direct, reader: reader, index: index, namespace: o.Namespace, limit: o.MaxStoredResults, instance: o.Instance, clock: o.Clock},
	} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("add %T: %w", runnable, err)
		}
	}
	return setupControllers(mgr, o, reader, retention, pace, m)
}

func setupControllers(mgr ctrl.Manager, o Options, reader *SliceReader, retention *retention, pace *pace, m *metrics) error {
	tally, index, rules := reader.tally, reader.index, retention.rules
	announcer := newAnnouncer(mgr.GetClient(), pace, m, o.Instance)
	controllers := []interface{ SetupWithManager(ctrl.Manager) error }{
		announcer,
		&firmwareUpgradeReconciler{
			client: mgr.GetClient(), tally: tally, reader: reader, rules: rules,
			windows: newWindows[reconcile.Request](), pace: pace, announce: announcer,
			metrics: m, clock: o.Clock,
		},
		&releaseReconciler{
			client: mgr.GetClient(), reader: reader, tally: tally, index: index, rules: rules, retention: retention,
			namespace: o.Namespace, clock: o.Clock,
		},
	}
	if o.Undeclared == UndeclaredAdopt {
		controllers = append(controllers, &placeholderReconciler{
			client: mgr.GetClient(), tally: tally, reader: reader, index: index, rules: rules, retention: retention,
			windows: newWindows[upgrade.Task](), clock: o.Clock,
		})
	}
	for _, c := range controllers {
		if err := c.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("set up %T: %w", c, err)
		}
	}
	return nil
}
