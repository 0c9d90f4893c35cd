// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/store"
)

// collectTimeout bounds a scrape.
const collectTimeout = 5 * time.Second

// upgradesCollector counts FirmwareUpgrades by phase, and tasks that none claims, when metrics are scraped.
type upgradesCollector struct {
	reader client.Reader
	store  *store.Store
	rules  claim.Rules

	upgrades, devices, unclaimed, placeholders *prometheus.Desc
}

func newUpgradesCollector(reader client.Reader, results *store.Store, rules claim.Rules) *upgradesCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("fwupgrade_"+name, help, labels, nil)
	}
	return &upgradesCollector{
		reader: reader, store: results, rules: rules,
		upgrades:     desc("firmwareupgrades", "FirmwareUpgrades by phase and by what stalls them.", "phase", "stalled"),
		devices:      desc("devices", "Devices of all FirmwareUpgrades by state.", "state"),
		unclaimed:    desc("unclaimed_tasks", "Tasks with results that no FirmwareUpgrade claims."),
		placeholders: desc("placeholders", "FirmwareUpgrades that the operator made for undeclared tasks."),
	}
}

// Describe implements prometheus.Collector.
func (c *upgradesCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.upgrades, c.devices, c.unclaimed, c.placeholders} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Only a leader that has read all slices reports anything.
func (c *upgradesCollector) Collect(ch chan<- prometheus.Metric) {
	if !c.store.Synced() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := c.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	type group struct{ phase, stalled string }
	upgrades := map[group]int{}
	byOperation := map[string][]v1alpha1.FirmwareUpgrade{}
	var sum v1alpha1.DeviceCounts
	placeholders := 0
	for i := range list.Items {
		f := &list.Items[i]
		upgrades[group{phaseLabel(f), stalledLabel(f)}]++
		byOperation[f.Spec.OperationID] = append(byOperation[f.Spec.OperationID], *f)
		addCounts(&sum, f.Status.Devices)
		if f.Spec.Placeholder {
			placeholders++
		}
	}
	send := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for g, n := range upgrades {
		send(c.upgrades, int64(n), g.phase, g.stalled)
	}
	send(c.devices, sum.Succeeded, "succeeded")
	send(c.devices, sum.Failed, "failed")
	send(c.devices, sum.InProgress, "in_progress")
	send(c.devices, sum.Pending, "pending")
	send(c.devices, sum.Suspect, "suspect")
	send(c.placeholders, int64(placeholders))
	unclaimed := 0
	for _, task := range c.store.AllTasks() {
		if claim.HolderOf(task, byOperation[task.OperationID], c.rules) == nil {
			unclaimed++
		}
	}
	send(c.unclaimed, int64(unclaimed))
}

func phaseLabel(f *v1alpha1.FirmwareUpgrade) string {
	if f.Status.Phase == "" {
		return string(v1alpha1.PhasePending)
	}
	return string(f.Status.Phase)
}

// stalledLabel is the reason of Stalled, from the bounded set of the API; empty where nothing is stalled.
func stalledLabel(f *v1alpha1.FirmwareUpgrade) string {
	if c := meta.FindStatusCondition(f.Status.Conditions, v1alpha1.ConditionStalled); c != nil &&
		c.Status == metav1.ConditionTrue {
		return c.Reason
	}
	return ""
}

func addCounts(sum *v1alpha1.DeviceCounts, c v1alpha1.DeviceCounts) {
	sum.Succeeded += c.Succeeded
	sum.Failed += c.Failed
	sum.InProgress += c.InProgress
	sum.Pending += c.Pending
	sum.Suspect += c.Suspect
}
