// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

// etcdQuotaBytes is how large etcd's file may grow before it takes nothing more: small, so that it can be filled.
const etcdQuotaBytes = 256 << 20

// auditPolicy has the API server log who wrote which of the operator's objects, with what outcome.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  resources: [{group: fwupgrade.io, resources: [firmwareupgrades/status]}]
- level: Metadata
  resources:
  - group: fwupgrade.io
  - group: storage.fwupgrade.io
    resources: [resultslices, firmwareupgradetaskrecords]
`

// fleets are the namespaces that FirmwareUpgrades are declared in.
//
//nolint:gochecknoglobals // A constant table.
var fleets = [...]string{"fleet-a", "fleet-b"}

// system is a control plane with the operator on it: two webhooks and two controllers, each a process under its service
// account.
type system struct {
	cluster    *local.Cluster
	api        client.WithWatch
	kubeconfig string
	dir        string
	secret     string
	logs       []*os.File

	webhooks, controllers []*slot
	// platform is asked for the tasks that come from Git; nil where there is none.
	platform *northbound.Server

	mu      sync.Mutex // guards what follows
	outages []interval
	gaps    []interval
	// unguarded is above 0 while the admission policies are away, so that nothing refuses to delete an object with the
	// policy Purge before the operator has seen it.
	unguarded atomic.Int32
	// cleared are the tasks whose FirmwareUpgrades were deleted with their results after their epoch, with when that was
	// asked for first; zero before.
	cleared map[string]time.Time
	// codes, refused and silent are the answers of the last epoch.
	codes           map[int]int64
	refused, silent int64
}

// note keeps what a sender saw.
func (s *system) note(sender *sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, sender.gaps.all...)
	s.codes = map[int]int64{}
	for code := range sender.counts {
		if n := sender.counts[code].Load(); n > 0 {
			s.codes[code] = n
		}
	}
	s.refused, s.silent = sender.refused.Load(), sender.silent.Load()
}

// watchWebhooks notes as outages when both webhooks are down, or hang, on purpose.
func (s *system) watchWebhooks(ctx context.Context) {
	const interval = 100 * time.Millisecond
	for sleep(ctx, interval) {
		from := time.Now().Add(-interval)
		if s.webhooks[0].broken() && s.webhooks[1].broken() {
			s.outage(from)
		}
	}
}

func startSystem(ctx context.Context, o *options, dir string) (_ *system, err error) {
	s := &system{
		dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"), secret: "chaos-" + rand.Text(),
		cleared: map[string]time.Time{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	etcd := map[string][]string{
		"quota-backend-bytes": {fmt.Sprint(etcdQuotaBytes)},
		"unsafe-no-fsync":     {fmt.Sprint(!o.fsync)},
	}
	policy := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("write the audit policy: %w", err)
	}
	s.cluster, err = local.Start(ctx, local.Options{
		EtcdArgs: etcd, LogDir: dir,
		APIServerArgs: map[string][]string{
			"event-ttl":                {"12h"}, // until they are counted
			"etcd-compaction-interval": {"20s"}, // so that a full etcd can be healed
			"audit-policy-file":        {policy},
			"audit-log-path":           {filepath.Join(dir, "audit.log")},
			"audit-log-maxsize":        {"500"}, // MB
		},
	})
	if err != nil {
		return nil, err
	}
	if s.api, err = harness.NewClient(s.cluster); err != nil {
		return nil, err
	}
	if err := s.cluster.WriteKubeconfig(s.kubeconfig); err != nil {
		return nil, err
	}
	if err := harness.Install(ctx, s.kubeconfig); err != nil {
		return nil, err
	}
	for _, name := range fleets {
		if err := s.cluster.EnsureNamespace(ctx, name); err != nil {
			return nil, err
		}
	}
	if o.platform {
		if err := s.startPlatform(ctx, o.seed); err != nil {
			return nil, err
		}
	}
	if err := s.startOperator(ctx, o.binary); err != nil || !o.platform {
		return s, err
	}
	return s, s.connect(ctx)
}

func (s *system) startOperator(ctx context.Context, binary string) error {
	secrets := filepath.Join(s.dir, "callback-secrets")
	if err := os.WriteFile(secrets, []byte(s.secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the callback secret: %w", err)
	}
	webhook := []string{"--callback-secrets-file=" + secrets, "--drain-duration=3s"}
	addresses, err := local.FreeAddresses(12) // all at once, so that they differ
	if err != nil {
		return err
	}
	for i := range 2 {
		a, err := s.newSlot(ctx, fmt.Sprintf("webhook-%d", i), "webhook", binary, addresses[6*i:], webhook)
		if err != nil {
			return err
		}
		s.webhooks = append(s.webhooks, a)
		b, err := s.newSlot(ctx, fmt.Sprintf("controllers-%d", i), "controllers", binary, addresses[6*i+3:],
			s.controllersArgs())
		if err != nil {
			return err
		}
		s.controllers = append(s.controllers, b)
	}
	for _, slot := range s.slots() {
		if err := slot.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) newSlot(
	ctx context.Context, name, component, binary string, addresses, args []string,
) (*slot, error) {
	config, err := s.account(ctx, "fwupgrade-"+component)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	s.logs = append(s.logs, log)
	return &slot{
		name: name, component: component, binary: binary, config: config, dir: s.dir, log: log,
		callback: addresses[0], metrics: addresses[1], health: addresses[2],
		args: append(append([]string{}, args...), "--operator-namespace="+local.OperatorNamespace),
	}, nil
}

func (s *system) account(ctx context.Context, name string) (*rest.Config, error) {
	return s.cluster.ServiceAccountConfig(ctx, local.OperatorNamespace, name)
}

func (s *system) slots() []*slot { return append(append([]*slot{}, s.webhooks...), s.controllers...) }

// stop ends everything.
func (s *system) stop() error {
	var errs []error
	for _, slot := range s.slots() {
		errs = append(errs, slot.stop())
	}
	errs = append(errs, s.closePlatform())
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop())
	}
	for _, log := range s.logs {
		errs = append(errs, log.Close())
	}
	for _, name := range []string{s.kubeconfig, filepath.Join(s.dir, "callback-secrets")} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// outage notes that nothing could be stored from a time until now.
func (s *system) outage(from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outages = append(s.outages, interval{from, time.Now()})
}

func (s *system) allOutages() []interval {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]interval{}, s.outages...)
}

// endings is how often processes have ended by themselves.
func (s *system) endings() map[string]int {
	endings := map[string]int{}
	for _, slot := range s.slots() {
		slot.mu.Lock()
		if slot.ended > 0 {
			endings[slot.name] = slot.ended
		}
		slot.mu.Unlock()
	}
	return endings
}

// insistInterval is how long after a failure something is tried again.
const insistInterval = 300 * time.Millisecond

// insist tries until there is no error, or the context ends; then the last error is returned. An attempt may take 10 s.
func insist(ctx context.Context, try func(context.Context) error) error {
	return insistWith(ctx, 10*time.Second, try)
}

// insistWith is insist with another time for each attempt.
func insistWith(ctx context.Context, patience time.Duration, try func(context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, patience)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		case <-time.After(insistInterval):
		}
	}
}

// create insists on creating an object. That it is there already is a success: an earlier attempt may have got no
// answer.
func (s *system) create(ctx context.Context, object client.Object) error {
	return insist(ctx, func(ctx context.Context) error {
		object.SetResourceVersion("")
		object.SetUID("")
		err := s.api.Create(ctx, object)
		if apierrors.IsAlreadyExists(err) {
			return s.api.Get(ctx, client.ObjectKeyFromObject(object), object)
		}
		return err
	})
}

// overlooked is how long after a foreground deletion the garbage collector has overlooked the object: it may where the
// API server was restarted a moment ago.
const overlooked = 45 * time.Second

// remove insists on deleting an object, and on its being gone.
func (s *system) remove(ctx context.Context, object client.Object, propagation metav1.DeletionPropagation) error {
	uid, began := object.GetUID(), time.Now()
	return insist(ctx, func(ctx context.Context) error {
		err := s.api.Delete(ctx, object, client.PropagationPolicy(propagation), client.Preconditions{UID: &uid})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return err
		}
		err = s.gone(ctx, object, uid)
		if err != nil && propagation == metav1.DeletePropagationForeground && time.Since(began) > overlooked {
			return errors.Join(err, s.release(ctx, object))
		}
		return err
	})
}

// release takes the finalizer of the garbage collector from an object.
func (s *system) release(ctx context.Context, object client.Object) error {
	there := object.DeepCopyObject().(client.Object) //nolint:forcetypeassert // A copy is of the same type.
	if err := s.api.Get(ctx, client.ObjectKeyFromObject(object), there); err != nil {
		return client.IgnoreNotFound(err)
	}
	if there.GetUID() != object.GetUID() {
		return nil
	}
	there.SetFinalizers(slices.DeleteFunc(there.GetFinalizers(), func(name string) bool {
		return name == metav1.FinalizerDeleteDependents
	}))
	return s.api.Update(ctx, there)
}

// gone returns an error while an object is there.
func (s *system) gone(ctx context.Context, object client.Object, uid any) error {
	there := object.DeepCopyObject().(client.Object) //nolint:forcetypeassert // A copy is of the same type.
	err := s.api.Get(ctx, client.ObjectKeyFromObject(object), there)
	switch {
	case apierrors.IsNotFound(err), err == nil && any(there.GetUID()) != uid:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s is still there", object.GetName())
}

// ensureNamespace insists on a namespace.
func (s *system) ensureNamespace(ctx context.Context, name string) error {
	return s.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}
