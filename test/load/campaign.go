// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/load/usage"
)

// commandCampaign, as the first argument, measures many upgrades at once at the platform's rate.
const commandCampaign = "campaign"

const (
	// campaignConnections is how many connections the platform has.
	campaignConnections = 1024
	// campaignMargin is how long a campaign may take beside the pushes.
	campaignMargin = 10 * time.Minute
)

// campaign is what was measured of a campaign: thousands of FirmwareUpgrades, as a task that names its devices has at
// most a few hundred of them.
type campaign struct {
	CPUs       int    `json:"cpus"`
	LoadBefore string `json:"loadBefore"`
	// Decoding is how many results a second decoding alone took, just before.
	Decoding float64 `json:"decodingPerSecond"`
	// Upgrades is how many FirmwareUpgrades there were, Devices how many devices each, PerSecond how many results came a
	// second, in random order over all upgrades, and Results how many in all.
	Upgrades  int `json:"upgrades"`
	Devices   int `json:"devices"`
	PerSecond int `json:"perSecond"`
	Results   int `json:"results"`
	// P50, P99 and Max are of the answers 200, in milliseconds, from when a push was due.
	P50 float64 `json:"p50Ms"`
	P99 float64 `json:"p99Ms"`
	Max float64 `json:"maxMs"`
	// Cores is the processors that each process used from the first push to the last answer or, with a restart, until it.
	Cores map[string]float64 `json:"cores"`
	// LeaderRSS is the most memory the controllers had, in bytes.
	LeaderRSS int64 `json:"leaderRSS"`
	// ProgressBehind is the greatest age, ever, of a result that was answered and not yet counted in its status, in
	// seconds.
	ProgressBehind float64 `json:"progressBehindSeconds"`
	// News is how far behind what somebody waits for was.
	News *newsFigures `json:"news"`
	// RightAfterRestart is how long after the start of new controllers every status counted what had been answered until
	// then, in seconds; nil without a restart.
	RightAfterRestart *float64 `json:"rightAfterRestartSeconds,omitempty"`
	Targets           []target `json:"targets"`
}

// runCampaign measures a campaign and reports it.
func runCampaign(ctx context.Context, args []string) error {
	o, err := parseCampaign(args)
	if err != nil {
		return err
	}
	c, err := measureCampaign(ctx, o)
	if err != nil {
		return err
	}
	c.Targets = c.findTargets()
	return errors.Join(c.write(os.Stdout), writeJSON(o.jsonFile, c))
}

func measureCampaign(ctx context.Context, o *campaignOptions) (_ *campaign, err error) {
	timeout := campaignMargin + time.Duration(o.results()/o.rate)*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not done after %s", timeout))
	defer cancel()
	c := &campaign{
		CPUs: runtime.NumCPU(), LoadBefore: loadAverage(), Upgrades: o.upgrades, Devices: o.devices, PerSecond: o.rate,
		Results: o.results(),
	}
	b, err := startBench(ctx, &options{verbose: o.verbose, fsync: true}, os.Stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.cluster.Stop()) }()
	decoding, err := b.takeTurn(ctx, &contender{
		key: keyDecode, results: o.decodeResults, warmup: o.decodeResults / 4, tasks: 1, side: newDecodeSide(),
	}, load{Key: "campaign", Connections: 256}, turnOf{})
	if err != nil {
		return nil, fmt.Errorf("decoding alone: %w", err)
	}
	c.Decoding = decoding.PerSecond
	return c, b.measure(ctx, o, c)
}

// measure declares the upgrades, pushes the results, restarts the controllers meanwhile where that is wanted, and waits
// until every status is right.
func (b *bench) measure(ctx context.Context, o *campaignOptions, c *campaign) (err error) {
	t := b.newTurn("campaign")
	t.plan, err = platform.NewPlan(platform.PlanOptions{Devices: c.Results, Tasks: o.upgrades, Fail: failing})
	if err != nil {
		return err
	}
	t.expected = o.expected
	if err := b.cluster.EnsureNamespace(ctx, t.namespace); err != nil {
		return err
	}
	side := &operatorSide{args: o.managerArgs}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, side.stop(ctx, t))
	}()
	fmt.Fprintf(b.log, "Declaring %d FirmwareUpgrades\n", o.upgrades)
	began := time.Now()
	s, err := side.start(ctx, t)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.log, "All have a status (%.0f s); pushing %d results for %d s\n", time.Since(began).Seconds(), c.Results,
		c.Results/o.rate)
	requests, err := requestsOf(t.plan, s.address, s.path)
	if err != nil {
		return err
	}
	p, err := newPusher(ctx, s.address, campaignConnections, true)
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }() // the answers are read, nothing can be lost
	restarted, err := b.pushCampaign(ctx, o, c, t, side, p, requests)
	if err != nil {
		return err
	}
	fmt.Fprintln(b.log, "Pushed; waiting for the statuses")
	if err := side.settle(ctx, t); err != nil {
		return err
	}
	return c.take(ctx, t, side, time.Now(), restarted)
}

// pushCampaign pushes the results and returns when the controllers were started again; the zero time if they were not.
func (b *bench) pushCampaign(ctx context.Context, o *campaignOptions, c *campaign, t *turn, side *operatorSide,
	p *pusher, requests [][]byte) (restarted time.Time, err error) {
	pids, err := b.pids(side.pids())
	if err != nil {
		return time.Time{}, err
	}
	runtime.GC() // what was done before is not the sender's
	before, err := usage.Read(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return time.Time{}, err
	}
	began := time.Now()
	takeCores := func() error {
		after, err := usage.Read(ctx, pids, b.cluster.EtcdMetricsURL())
		if err != nil {
			return err
		}
		c.Cores = map[string]float64{}
		for process, seconds := range after.Since(before).CPU {
			c.Cores[process] = seconds / time.Since(began).Seconds()
		}
		c.LeaderRSS, err = mostMemory(side.controllers.PID())
		return err
	}
	group, pushing := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		t.answers, err = p.push(pushing, requests, o.rate)
		return err
	})
	if o.restart {
		group.Go(func() error {
			half := time.Duration(len(requests)) * time.Second / time.Duration(o.rate) / 2
			if err := waitUntil(pushing, began.Add(half)); err != nil {
				return err
			}
			if err := takeCores(); err != nil {
				return err
			}
			fmt.Fprintln(b.log, "Killing the controllers and starting new ones")
			if err := side.controllers.Kill(); err != nil {
				return err
			}
			restarted = time.Now()
			return side.startControllers(pushing, t)
		})
	}
	if err := group.Wait(); err != nil {
		return time.Time{}, err
	}
	if !o.restart {
		err = takeCores()
	}
	return restarted, err
}

// take computes the figures of what was pushed and told until the end, and compares what is stored.
func (c *campaign) take(ctx context.Context, t *turn, side *operatorSide, end, restarted time.Time) error {
	sorted := t.answers.latencies()
	c.P50, c.P99 = milliseconds(quantile(sorted, 0.50)), milliseconds(quantile(sorted, 0.99))
	c.Max = milliseconds(quantile(sorted, 1))
	seen, err := side.seen(ctx, t)
	if err != nil {
		return err
	}
	answered := answeredDevices(t.plan, t.answers)
	c.ProgressBehind = maxBehind(answered, seen.statuses, end).Seconds()
	c.News = seen.figures()
	if !restarted.IsZero() {
		after, err := rightAfter(answered, seen.statuses, restarted)
		if err != nil {
			return err
		}
		c.RightAfterRestart = new(after.Seconds())
	}
	return verify(ctx, &contender{side: side}, t)
}
