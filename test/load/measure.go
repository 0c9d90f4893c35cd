// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/load/usage"
)

const (
	// turnTimeout ends a turn that hangs.
	turnTimeout = 5 * time.Minute
	// stopTimeout is how long the end of a receiver and the removal of what it left may take.
	stopTimeout = time.Minute
	// etcdQuota is the size of its store beyond which etcd takes nothing. Every turn leaves its results there, which the
	// default of 2 GiB might not hold.
	etcdQuota = "8589934592"
	// failing is the fraction of the devices that fail.
	failing = 0.03
)

// Names of processes beside those of the control plane.
const (
	processReceiver    = "receiver" // what takes the pushes: for the operator, its webhook
	processControllers = "controllers"
	processSender      = "sender"
	processAPIServer   = "kube-apiserver"
	processEtcd        = "etcd"
)

// bench is one run.
type bench struct {
	options *options
	cluster *local.Cluster
	api     client.WithWatch
	// webhook is whom what takes pushes acts as, the operator's webhook and the other receivers; controllers is whom the
	// operator's controllers act as.
	webhook, controllers *rest.Config
	log                  io.Writer
}

// startBench starts a control plane. The caller has to stop it.
func startBench(ctx context.Context, o *options, log io.Writer) (_ *bench, err error) {
	fmt.Fprintln(log, "Starting the control plane")
	b := &bench{options: o, log: log}
	b.cluster, err = local.Start(ctx, local.Options{
		EtcdArgs: map[string][]string{
			"unsafe-no-fsync": {fmt.Sprint(!o.fsync)}, "quota-backend-bytes": {etcdQuota},
		},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.cluster.Stop())
		}
	}()
	if b.api, err = newAPI(b.cluster); err != nil {
		return nil, err
	}
	if err := b.install(ctx); err != nil {
		return nil, err
	}
	b.webhook, b.controllers, err = b.accounts(ctx)
	return b, err
}

// measureAll starts a control plane, gives every side its turns and returns what was measured. Progress goes to log,
// a line for each turn. With an error it returns what was measured before, if anything was.
func measureAll(ctx context.Context, o *options, log io.Writer) (_ *report, err error) {
	b, err := startBench(ctx, o, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.cluster.Stop()) }()
	sides, loads := sidesOf(o), loadsOf(o)
	r := newReport(o, sides, loads)
	defer func() { r.Machine.LoadAfter, r.Targets = loadAverage(), findTargets(r) }()
	turns := turnsOf(sides, loads)
	for i, next := range turns {
		c, l := &sides[next.side], loads[next.load]
		what := fmt.Sprintf("%s, %s, round %d", l.Title, c.title, next.round+1)
		began := time.Now()
		m, err := b.takeTurn(ctx, c, l, next)
		if err != nil {
			return r, fmt.Errorf("%s: %w", what, err)
		}
		r.add(l.Key, c.key, *m)
		fmt.Fprintf(log, "Turn %d of %d, %s: %.0f results/s (%.0f s)\n", i+1, len(turns), what, m.PerSecond,
			time.Since(began).Seconds())
	}
	return r, nil
}

func newAPI(cluster *local.Cluster) (client.WithWatch, error) {
	scheme := apiruntime.NewScheme()
	err := errors.Join(v1alpha1.AddToScheme(scheme), storage.AddToScheme(scheme), corev1.AddToScheme(scheme),
		eventsv1.AddToScheme(scheme), rbacv1.AddToScheme(scheme))
	if err != nil {
		return nil, fmt.Errorf("register the API types: %w", err)
	}
	api, err := client.NewWithWatch(cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return api, nil
}

// takeTurn measures one side at one load:
//  1. The receiver starts in a namespace of its own.
//  2. What is pushed first is not measured: processes and caches warm up.
//  3. Everything else is pushed.
//  4. What follows from it is awaited, and everything is compared with what was answered.
func (b *bench) takeTurn(ctx context.Context, c *contender, l load, next turnOf) (_ *measurement, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, turnTimeout, fmt.Errorf("not done after %s", turnTimeout))
	defer cancel()
	t := b.newTurn(fmt.Sprintf("bench-%s-%s-%d", c.key, l.Key, next.round+1))
	t.plan, err = platform.NewPlan(platform.PlanOptions{
		Devices: c.warmup + l.results(c), Tasks: c.tasks, Fail: failing, Seed: next.seed,
	})
	if err != nil {
		return nil, err
	}
	if err := b.cluster.EnsureNamespace(ctx, t.namespace); err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, c.side.stop(ctx, t))
	}()
	s, err := c.side.start(ctx, t)
	if err != nil {
		return nil, err
	}
	requests, err := requestsOf(t.plan, s.address, s.path)
	if err != nil {
		return nil, err
	}
	p, err := newPusher(ctx, s.address, l.Connections, c.strict)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.close() }() // the answers are read, nothing can be lost
	o, err := b.observe(ctx, c, t, s.pids, func(from, to int) (pushed, error) {
		return p.push(ctx, requests[from:to], l.PerSecond)
	})
	if err != nil {
		return nil, err
	}
	return newMeasurement(*o), verify(ctx, c, t)
}

// observe pushes everything, the warm-up first, and waits for what follows. Push pushes a part of the plan.
func (b *bench) observe(ctx context.Context, c *contender, t *turn, own map[string]int,
	push func(from, to int) (pushed, error)) (*observed, error) {
	pids, err := b.pids(own)
	if err != nil {
		return nil, err
	}
	warmup, err := push(0, c.warmup)
	if err != nil {
		return nil, err
	}
	runtime.GC() // what the last turn left is not this one's
	before, err := usage.Read(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return nil, err
	}
	done, err := push(c.warmup, t.plan.Len())
	if err != nil {
		return nil, err
	}
	answered, err := usage.Read(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return nil, err
	}
	t.answers = slices.Concat(warmup, done)
	began := time.Now()
	if err := c.side.settle(ctx, t); err != nil {
		return nil, err
	}
	end := time.Now()
	settled, err := usage.Read(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return nil, err
	}
	o := &observed{done: done, behind: end.Sub(began), answered: answered.Since(before), settled: settled.Since(before)}
	seen, err := c.side.seen(ctx, t)
	if err != nil {
		return nil, err
	}
	if seen != nil {
		o.behindMax = maxBehind(answeredDevices(t.plan, t.answers), seen.statuses, end)
		o.news = seen.figures()
	}
	return o, nil
}

// newTurn begins a turn in a namespace of its own.
func (b *bench) newTurn(namespace string) *turn {
	t := &turn{namespace: namespace, receiver: b.webhook, controllers: b.controllers, api: b.api}
	if b.options.verbose {
		t.log = b.log
	}
	return t
}

// pids returns the ids of all processes, those of a side included.
func (b *bench) pids(own map[string]int) (map[string]int, error) {
	pids, err := b.cluster.PIDs()
	if err != nil {
		return nil, err
	}
	maps.Copy(pids, own)
	pids[processSender] = os.Getpid()
	return pids, nil
}

// verify compares what is stored with what was answered.
func verify(ctx context.Context, c *contender, t *turn) error {
	stored, ok, err := c.side.stored(ctx, t)
	if err != nil || !ok {
		return err
	}
	results, err := pushedResults(t.plan)
	if err != nil {
		return err
	}
	return compareStored(results, t.answers, stored)
}

// loadAverage is what the machine had to do in the last minute, beside what is measured too; empty where it is unknown.
func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(content), " ")
	return first
}
