// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// metrics are the leader's. No label holds a platform id or an object's name.
type metrics struct {
	statusWrites      prometheus.Counter
	statusWriteErrors *prometheus.CounterVec
	events            *prometheus.CounterVec
	failuresAnnounced prometheus.Counter
	slicesWritten     prometheus.Counter
	slicesDeleted     prometheus.Counter
}

const metricsPrefix = "fwupgrade_controllers_"

func newMetrics(reg prometheus.Registerer, tally *upgrade.Tally, index *sliceIndex, limit int) (*metrics, error) {
	m := &metrics{
		statusWrites: counter("status_writes_total", "Status writes that the API server took."),
		statusWriteErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "status_write_errors_total", Help: "Status writes that failed, by reason: conflict or other.",
		}, []string{"reason"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "events_total", Help: "Kubernetes Events created about FirmwareUpgrades.",
		}, []string{"type", "reason"}),
		failuresAnnounced: counter("failures_announced_total", "Failed devices announced by Events, alone or in a digest."),
		slicesWritten:     counter("slices_written_total", "Slices written by compaction and retention."),
		slicesDeleted:     counter("slices_deleted_total", "Slices deleted by compaction and retention."),
	}
	for _, c := range []prometheus.Collector{
		m.statusWrites, m.statusWriteErrors, m.events, m.failuresAnnounced, m.slicesWritten, m.slicesDeleted,
		gauge("stored_results", "Results in the stored slices.", func() float64 { return float64(index.storedResults()) }),
		gauge("store_load", "What --max-stored-results bounds: the stored results, and the rejected notifications as so many results as they may be large as.",
			func() float64 { return float64(index.load()) }),
		gauge("stored_results_limit", "The limit of stored results, --max-stored-results.", func() float64 { return float64(limit) }),
		gauge("stored_slices", "Stored slices.", func() float64 { return float64(index.size()) }),
		gauge("unreadable_slices", "Stored slices that this version can't read completely; they are left as they are.",
			func() float64 { return float64(index.unreadable()) }),
		gauge("devices", "Devices in the tally, over all tasks.", func() float64 { return float64(tally.Results()) }),
		gauge("tasks", "Tasks in the tally.", func() float64 { return float64(tally.Count()) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, value)
}

func (m *metrics) announced(p v1alpha1.PendingEvent) {
	m.events.WithLabelValues(p.Type, p.Reason).Inc()
	m.failuresAnnounced.Add(float64(p.Failures))
}

func (m *metrics) statusWriteFailed(err error) {
	reason := "other"
	if apierrors.IsConflict(err) {
		reason = "conflict"
	}
	m.statusWriteErrors.WithLabelValues(reason).Inc()
}
