// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
)

const (
	// turnTimeout ends a turn that hangs.
	turnTimeout = 5 * time.Minute
	// stopTimeout is how long the end of a receiver and the removal of what it left may take.
	stopTimeout = time.Minute
	// failing is the fraction of the devices that fail.
	failing = 0.03
)

// Names of processes beside those of the control plane.
const (
	processReceiver = "receiver"
	processSender   = "sender"
)

// bench is one run.
type bench struct {
	options *options
	cluster *local.Cluster
	api     client.WithWatch
	log     io.Writer
}

// measureAll starts a control plane, gives every side its turns and returns what was measured. Progress goes to log,
// a line each turn. With an error it returns what was measured before, if anything was.
func measureAll(ctx context.Context, o *options, log io.Writer) (_ *report, err error) {
	fmt.Fprintln(log, "Starting the control plane")
	cluster, err := local.Start(ctx, local.Options{
		EtcdArgs: map[string][]string{"unsafe-no-fsync": {fmt.Sprint(!o.fsync)}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	api, err := newAPI(cluster)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, cluster: cluster, api: api, log: log}
	sides := sidesOf(o)
	r := newReport(o, sides)
	defer func() { r.Machine.LoadAfter = loadAverage() }()
	for round := range o.rounds {
		for i := range sides {
			m, err := b.takeTurn(ctx, &sides[i], round)
			if err != nil {
				return r, fmt.Errorf("%s, round %d: %w", sides[i].title, round+1, err)
			}
			r.Sides[i].Rounds = append(r.Sides[i].Rounds, *m)
			fmt.Fprintf(log, "Round %d of %d, %s: %.0f results/s\n", round+1, o.rounds, sides[i].title, m.PerSecond)
		}
	}
	return r, nil
}

func newAPI(cluster *local.Cluster) (client.WithWatch, error) {
	scheme := apiruntime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register the API types: %w", err)
	}
	api, err := client.NewWithWatch(cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return api, nil
}

// takeTurn measures one round of one side:
//  1. The receiver starts in a namespace of its own.
//  2. What is pushed first is not measured: processes and caches warm up.
//  3. Everything else is pushed, as fast as the answers come.
//  4. What follows from it is awaited, and everything is compared with what was pushed.
func (b *bench) takeTurn(ctx context.Context, c *contender, round int) (_ *measurement, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, turnTimeout, fmt.Errorf("not done after %s", turnTimeout))
	defer cancel()
	t := &turn{namespace: fmt.Sprintf("bench-%s-%d", c.key, round+1), cluster: b.cluster, api: b.api}
	if b.options.verbose {
		t.log = b.log
	}
	t.plan, err = platform.NewPlan(platform.PlanOptions{
		Devices: b.options.warmup + c.results, Tasks: c.tasks, Fail: failing, Seed: uint64(round),
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
	pid, address, path, err := c.side.start(ctx, t)
	if err != nil {
		return nil, err
	}
	requests, err := requestsOf(t.plan, address, path)
	if err != nil {
		return nil, err
	}
	m, err := b.measure(ctx, c, t, pid, address, requests)
	if err != nil {
		return nil, err
	}
	return m, verify(ctx, c, t)
}

// measure pushes the requests and waits for what follows.
func (b *bench) measure(ctx context.Context, c *contender, t *turn, pid int, address string, requests [][]byte) (*measurement, error) {
	pids, err := b.cluster.PIDs()
	if err != nil {
		return nil, err
	}
	pids[processReceiver], pids[processSender] = pid, os.Getpid()
	p, err := newPusher(ctx, address, b.options.connections)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.close() }() // the answers are read, nothing can be lost
	if _, err := p.push(ctx, requests[:b.options.warmup]); err != nil {
		return nil, err
	}
	runtime.GC() // what the last turn left is not this one's
	before, err := readUsage(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return nil, err
	}
	done, err := p.push(ctx, requests[b.options.warmup:])
	if err != nil {
		return nil, err
	}
	answered, err := readUsage(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.side.settle(ctx, t); err != nil {
		return nil, err
	}
	behind := time.Since(began)
	settled, err := readUsage(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return nil, err
	}
	return newMeasurement(done, behind, answered.since(before), settled.since(before)), nil
}

// verify compares what is stored with what was pushed.
func verify(ctx context.Context, c *contender, t *turn) error {
	stored, ok, err := c.side.stored(ctx, t)
	if err != nil || !ok {
		return err
	}
	want, err := pushedResults(t.plan)
	if err != nil {
		return err
	}
	return compareStored(want, stored)
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
