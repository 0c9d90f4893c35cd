// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
)

// collectTimeout bounds a scrape.
const collectTimeout = 5 * time.Second

// upgradesCollector tells about FirmwareUpgrades when metrics are scraped: how many there are in which phase, which
// ones run and until when, and which ones are stalled and since when.
type upgradesCollector struct {
	reader client.Reader
	store  *store.Store
	rules  claim.Rules
	clock  clock.PassiveClock

	upgrades, devices, unclaimed, placeholders, oldestEvent, starts, deadlines, stalled *prometheus.Desc
}

func newUpgradesCollector(
	reader client.Reader, results *store.Store, rules claim.Rules, clk clock.PassiveClock,
) *upgradesCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("fwupgrade_"+name, help, labels, nil)
	}
	return &upgradesCollector{
		reader: reader, store: results, rules: rules, clock: clk,
		upgrades: desc("firmwareupgrades", "FirmwareUpgrades by phase and by what stalls them.", "phase", "stalled"),
		devices:  desc("devices", "Devices of all FirmwareUpgrades that have their task, by state.", "state"),
		unclaimed: desc("unclaimed_tasks", "Tasks with results that no FirmwareUpgrade claims; "+
			"those left out that reported nothing since their FirmwareUpgrade was deleted."),
		placeholders: desc("placeholders", "FirmwareUpgrades that the operator made for undeclared tasks."),
		oldestEvent: desc("oldest_waiting_event_timestamp_seconds",
			"When the oldest Event about a FirmwareUpgrade was planned that may not have been created yet."),
		starts: desc("upgrade_start_timestamp_seconds",
			"Since when the deadlines of these FirmwareUpgrades count: the first result, before it the creation.",
			"namespace", "name"),
		deadlines: desc("upgrade_deadline_timestamp_seconds",
			"Deadlines of the declared FirmwareUpgrades that have not finished, the nearest 1,000.", "namespace", "name"),
		stalled: desc("upgrade_stalled_timestamp_seconds",
			"Since when declared FirmwareUpgrades are stalled, until a day after they finished, the newest 1,000.",
			"namespace", "name", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (c *upgradesCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.upgrades, c.devices, c.unclaimed, c.placeholders, c.oldestEvent, c.starts, c.deadlines, c.stalled,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Only a leader that has read all slices reports anything, and nothing without
// a store: see RegisterMetrics.
func (c *upgradesCollector) Collect(ch chan<- prometheus.Metric) {
	if c.store == nil || !c.store.Synced() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := c.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	c.report(ch, list.Items, c.wantedTasks())
}

// wantedTasks returns the tasks with results that somebody is to claim. One that was released, as its FirmwareUpgrade
// was deleted, and reported nothing since is not: its results only wait for their retention.
func (c *upgradesCollector) wantedTasks() []result.Task {
	return slices.DeleteFunc(c.store.AllTasks(), func(task result.Task) bool {
		return !c.store.LastReceived(task).After(c.store.ReleaseTime(task))
	})
}

// report tells what follows from all FirmwareUpgrades and all tasks with results.
func (c *upgradesCollector) report(
	ch chan<- prometheus.Metric, upgrades []v1alpha1.FirmwareUpgrade, tasks []result.Task,
) {
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	byOperation := map[string][]v1alpha1.FirmwareUpgrade{}
	placeholders := 0
	for i := range upgrades {
		f := &upgrades[i]
		if id := f.OperationID(); id != "" {
			byOperation[id] = append(byOperation[id], *f)
		}
		if f.Spec.Placeholder {
			placeholders++
		}
	}
	send(c.placeholders, float64(placeholders))
	unclaimed := 0
	for _, task := range tasks {
		if claim.HolderOf(task, byOperation[task.OperationID], c.rules) == nil {
			unclaimed++
		}
	}
	send(c.unclaimed, float64(unclaimed))
	for state, n := range deviceStates(byOperation, c.rules) {
		send(c.devices, float64(n), state)
	}
	for g, n := range phases(upgrades) {
		send(c.upgrades, float64(n), g.phase, g.stalled)
	}
	if planned := oldestEvent(upgrades); !planned.IsZero() {
		send(c.oldestEvent, timestamp(planned))
	}
	for _, u := range running(upgrades) {
		send(c.starts, timestamp(u.start), u.Namespace, u.Name)
		send(c.deadlines, timestamp(u.at), u.Namespace, u.Name)
	}
	for _, u := range stalled(upgrades, c.clock.Now()) {
		send(c.stalled, timestamp(u.at), u.Namespace, u.Name, u.reason)
	}
}

// timestamp is a time as metrics have it: seconds since 1970.
func timestamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
