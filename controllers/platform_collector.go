// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/store"
)

// platformCollector tells about the connection to the platform when metrics are scraped: which IoTApplications are not
// Ready and since when, how far the counts are from the platform's, and how many attempts to create a task are
// undecided.
type platformCollector struct {
	reader, records client.Reader
	store           *store.Store

	notReady, drift, undecided *prometheus.Desc
}

func newPlatformCollector(reader, records client.Reader, results *store.Store) *platformCollector {
	return &platformCollector{
		reader: reader, records: records, store: results,
		notReady: prometheus.NewDesc("fwupgrade_application_not_ready_timestamp_seconds",
			"Since when IoTApplications are not Ready, without those that are suspended, the first 1,000.",
			[]string{"name", "reason"}, nil),
		drift: prometheus.NewDesc(platformMetricsPrefix+"drift_devices",
			"By how many devices the counts of FirmwareUpgrades differ from the platform's figures, where Synced is False.",
			nil, nil),
		undecided: prometheus.NewDesc(platformMetricsPrefix+"undecided_attempts",
			"Attempts to create a task of which nobody knows whether they did.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *platformCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.notReady
	ch <- c.drift
	ch <- c.undecided
}

// Collect implements prometheus.Collector. Only a leader that has read all slices reports anything, and nothing without
// a store: see RegisterMetrics.
func (c *platformCollector) Collect(ch chan<- prometheus.Metric) {
	if c.store == nil || !c.store.Synced() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	apps, upgrades := &v1alpha1.IoTApplicationList{}, &v1alpha1.FirmwareUpgradeList{}
	records := &storage.FirmwareUpgradeTaskRecordList{}
	for list, reader := range map[client.ObjectList]client.Reader{
		apps: c.reader, upgrades: c.reader, records: c.records,
	} {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return
		}
	}
	for _, app := range notReady(apps.Items) {
		ready := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionReady)
		ch <- prometheus.MustNewConstMetric(c.notReady, prometheus.GaugeValue,
			timestamp(ready.LastTransitionTime.Time), app.Name, ready.Reason)
	}
	ch <- prometheus.MustNewConstMetric(c.drift, prometheus.GaugeValue, float64(drift(upgrades.Items)))
	ch <- prometheus.MustNewConstMetric(c.undecided, prometheus.GaugeValue, float64(undecided(records.Items)))
}

// undecided counts the intents without an outcome.
func undecided(records []storage.FirmwareUpgradeTaskRecord) (n int) {
	concluded := concludedAttempts(records)
	for i := range records {
		if records[i].Spec.Intent != nil && !concluded[records[i].Name] {
			n++
		}
	}
	return n
}

// notReady returns the IoTApplications that are not Ready, the first 1,000 by name. One that is suspended is not meant
// to be.
func notReady(apps []v1alpha1.IoTApplication) []v1alpha1.IoTApplication {
	found := slices.DeleteFunc(slices.Clone(apps), func(app v1alpha1.IoTApplication) bool {
		ready := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionReady)
		return ready == nil || ready.Status == metav1.ConditionTrue || app.Spec.Suspend
	})
	slices.SortFunc(found, func(a, b v1alpha1.IoTApplication) int { return strings.Compare(a.Name, b.Name) })
	return found[:min(len(found), maxNamed)]
}

// drift is by how many devices the counts differ from the platform's figures, where these differ for certain.
func drift(upgrades []v1alpha1.FirmwareUpgrade) (devices int64) {
	for i := range upgrades {
		st := &upgrades[i].Status
		synced := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionSynced)
		if synced == nil || synced.Status != metav1.ConditionFalse || st.Platform == nil || status.Archived(*st) {
			continue
		}
		succeeded := st.Platform.Succeeded - st.Devices.Succeeded
		failed := st.Platform.Failed + st.Platform.Stopped - st.Devices.Failed
		devices += max(succeeded, -succeeded, failed, -failed)
	}
	return devices
}
