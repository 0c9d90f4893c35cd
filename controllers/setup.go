// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers is the reconcilers that the leader runs: they write the status of FirmwareUpgrades, create
// Events, and make placeholders.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
)

// What becomes of tasks that nobody declared.
const (
	// UndeclaredAdopt makes a placeholder for each.
	UndeclaredAdopt = "Adopt"
	// UndeclaredHold leaves their results unclaimed.
	UndeclaredHold = "Hold"
)

// DefaultCreationGrace is Options.CreationGrace where nobody sets it.
const DefaultCreationGrace = time.Hour

const (
	// minRetry and maxRetry bound how long a request that failed waits.
	minRetry = 50 * time.Millisecond
	maxRetry = 10 * time.Second
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
	// RequireApplication has IoTApplications say which namespaces may claim what; Applications is nil then.
	RequireApplication bool
	// MaxStoredResults is how many results are stored before new ones are refused; at least 1.
	MaxStoredResults int
	// MaxWritesPerSecond is how many statuses and Events that tell mere progress are written a second; at least 1.
	MaxWritesPerSecond int
	// RetainUnclaimed is how long results are kept that no FirmwareUpgrade claims; at least a minute.
	RetainUnclaimed time.Duration
	// Instance names this process in Events; at most 128 bytes.
	Instance string
	// PlatformHosts are the addresses to which an IoTApplication may connect.
	PlatformHosts PlatformHosts
	// RoundPeriod is how far apart comparisons with the platform are; link.RoundPeriod where it is not set.
	RoundPeriod time.Duration
	// CreationGrace is how long an attempt to create a task of which nothing was found counts as perhaps made; at least a
	// minute.
	CreationGrace time.Duration
	// Leads says whether nobody else leads for certain; nil: always.
	Leads func() bool
	// Registerer takes the metrics.
	Registerer prometheus.Registerer
	// Clock is the time.
	Clock clock.WithTicker
}

// Validate returns what is wrong with the options, in words that say what to change.
func (o *Options) Validate() error {
	if err := checkNamespace("--operator-namespace", o.Namespace, "the namespace the operator runs in"); err != nil {
		return err
	}
	if err := checkNamespace("--default-namespace", o.DefaultNamespace, "the namespace for placeholders"); err != nil {
		return err
	}
	switch {
	case o.Undeclared != UndeclaredAdopt && o.Undeclared != UndeclaredHold:
		return fmt.Errorf("--undeclared=%s is not known: set it to %s or %s", o.Undeclared, UndeclaredAdopt, UndeclaredHold)
	case o.MaxStoredResults < 1:
		return fmt.Errorf("--max-stored-results=%d: set it to 1 or more", o.MaxStoredResults)
	case o.MaxWritesPerSecond < 1:
		return fmt.Errorf("--max-writes-per-second=%d: set it to 1 or more", o.MaxWritesPerSecond)
	case o.RequireApplication && o.Applications != nil:
		return errors.New("--require-application and --applications-file both say which namespaces may claim what: remove " +
			"one of the two. A webhook that runs alone may have the file, for its secrets")
	case o.CreationGrace < time.Minute:
		return fmt.Errorf("--creation-grace=%s: set it to 1m or more", o.CreationGrace)
	case o.RetainUnclaimed < time.Minute:
		return fmt.Errorf("--retain-unclaimed=%s: set it to 1m or more", o.RetainUnclaimed)
	}
	return o.PlatformHosts.Validate()
}

// checkNamespace refuses what no namespace can be called.
func checkNamespace(flag, namespace, what string) error {
	if namespace == "" {
		return fmt.Errorf("%s is empty: set it to %s", flag, what)
	}
	if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
		return fmt.Errorf("%s=%s is no name of a namespace: set it to %s (%s)", flag, namespace, what,
			strings.Join(problems, ", "))
	}
	return nil
}

// The leader's lease, which has the name that cmd/manager gives it, and the Events about who leads. Each process tells
// each of these once, so that none is patched.
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=create,namespace=system
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,resourceNames=fwupgrade-controllers,verbs=get;update,namespace=system
// +kubebuilder:rbac:groups="",resources=events,verbs=create,namespace=system

// Setup adds everything the leader runs to the manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if err := indexFields(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := indexApplications(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	records, err := newRecordCache(ctx, mgr, o.Namespace)
	if err != nil {
		return err
	}
	rules := newRules(mgr.GetClient(), o)
	results, err := newStore(mgr, o, rules)
	if err != nil {
		return err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return err
	}
	err = registerCollectors(o.Registerer, newUpgradesCollector(mgr.GetClient(), results, rules, o.Clock),
		newPlatformCollector(mgr.GetClient(), records, results))
	if err != nil {
		return err
	}
	// A quarter of the writes is for Events, so that statuses don't wait behind them.
	ofEvents := max(1, o.MaxWritesPerSecond/4)
	ofStatuses := max(1, o.MaxWritesPerSecond-ofEvents)
	sent := newDeliveries()
	connected, applicationsChanged := newConnections(mgr, o, results, rules, m)
	if err := mgr.Add(connected); err != nil {
		return fmt.Errorf("add the connections to the platform: %w", err)
	}
	ledger := &taskLedger{
		cached: records, direct: mgr.GetAPIReader(), writer: mgr.GetClient(), namespace: o.Namespace,
	}
	creator := creation.New(creation.Options{
		Ledger: ledger, Clock: o.Clock, Holder: o.Instance, Leads: o.leads, Grace: o.CreationGrace,
		Observe: m.creationConcluded,
	})
	made := newCreations()
	tasks := &taskReconciler{
		client: mgr.GetClient(), records: records, direct: mgr.GetAPIReader(), creator: creator, creations: made,
		connections: connected,
		platform:    &platformView{client: mgr.GetClient(), connections: connected}, store: results, rules: rules,
		clock: o.Clock,
	}
	for _, c := range []interface{ SetupWithManager(ctrl.Manager) error }{
		tasks,
		&taskRecordReconciler{
			client: mgr.GetClient(), records: records, ledger: ledger, creator: creator, tasks: tasks, grace: o.CreationGrace,
			clock: o.Clock,
		},
		&firmwareUpgradeReconciler{
			client: mgr.GetClient(), store: results, rules: rules,
			bucket:  newBucket(ofStatuses, results.Received, o.Clock),
			written: newWrittenStatuses(o.Clock), deliveries: sent, whole: newWholeness(results),
			metrics: m, clock: o.Clock, period: statusPeriod,
			platform:  &platformView{client: mgr.GetClient(), connections: connected, hosts: o.PlatformHosts},
			creations: made,
		},
		&applicationReconciler{
			client: mgr.GetClient(), secrets: mgr.GetAPIReader(), namespace: o.Namespace, hosts: o.PlatformHosts,
			connections: connected, creations: made, changed: applicationsChanged, clock: o.Clock, instance: o.Instance,
			reasons: map[string]map[string]heldReason{},
		},
		&eventReconciler{
			client: mgr.GetClient(), bucket: newBucket(ofEvents, results.Received, o.Clock), deliveries: sent, metrics: m,
			clock: o.Clock, instance: o.Instance,
		},
		&purgeReconciler{client: mgr.GetClient(), store: results, rules: rules, clock: o.Clock, instance: o.Instance},
		&placeholderReconciler{
			client: mgr.GetClient(), records: records, store: results, rules: rules, adopt: o.Undeclared == UndeclaredAdopt,
			clock:     o.Clock,
			unclaimed: map[result.Task]time.Time{}, released: map[result.Task]time.Time{},
		},
	} {
		if err := c.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("set up %T: %w", c, err)
		}
	}
	return nil
}

func (o *Options) leads() bool { return o.Leads == nil || o.Leads() }

// newRules makes the rules of claims: by IoTApplications, by the file, or none.
func newRules(reader client.Reader, o Options) claim.Rules {
	rules := claim.Rules{PlaceholderNamespace: o.DefaultNamespace}
	switch {
	case o.RequireApplication:
		rules.Applications = applicationClaims{reader}
	case o.Applications != nil:
		rules.Applications = o.Applications
	}
	return rules
}

// retries is how long a request waits that failed: at most maxRetry, as what could not be told is to be told soon after
// the API server takes it again.
func retries[request comparable]() workqueue.TypedRateLimiter[request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[request](minRetry, maxRetry)
}

// newStore makes the store and has the manager run it.
func newStore(mgr ctrl.Manager, o Options, rules claim.Rules) (*store.Store, error) {
	direct, err := client.NewWithWatch(mgr.GetConfig(), client.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
	})
	if err != nil {
		return nil, fmt.Errorf("make a client for slices: %w", err)
	}
	results, err := store.New(store.Options{
		Client: direct, Namespace: o.Namespace, Limit: o.MaxStoredResults,
		KeepUntil: keepUntil(mgr.GetClient(), rules, o.RetainUnclaimed), RetainRejected: o.RetainUnclaimed,
		LookUp:   lookUp(mgr.GetClient(), mgr.GetAPIReader()),
		Instance: o.Instance, Registerer: o.Registerer, Clock: o.Clock,
	})
	if err != nil {
		return nil, fmt.Errorf("make the store: %w", err)
	}
	if err := mgr.Add(results); err != nil {
		return nil, fmt.Errorf("add the store: %w", err)
	}
	return results, nil
}
