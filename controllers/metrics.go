// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"fwupgrade.io/operator/api/v1alpha1"
)

// metrics are those of the reconcilers. No label holds a platform id or an object's name.
type metrics struct {
	statusWrites      prometheus.Counter
	statusWriteErrors *prometheus.CounterVec
	events            *prometheus.CounterVec
	failuresAnnounced prometheus.Counter
}

const metricsPrefix = "fwupgrade_controllers_"

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		statusWrites: counter("status_writes_total", "Status writes that the API server took."),
		statusWriteErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "status_write_errors_total", Help: "Status writes that failed, by reason: conflict or other.",
		}, []string{"reason"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "events_total", Help: "Kubernetes Events created about FirmwareUpgrades.",
		}, []string{"type", "reason"}),
		failuresAnnounced: counter("failures_announced_total", "Failed devices announced by Events, alone or in a digest."),
	}
	for _, c := range []prometheus.Collector{m.statusWrites, m.statusWriteErrors, m.events, m.failuresAnnounced} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
}

func (m *metrics) announced(e v1alpha1.OutboxEvent) {
	m.events.WithLabelValues(e.Type, e.Reason).Inc()
	m.failuresAnnounced.Add(float64(e.Failures))
}

func (m *metrics) statusWriteFailed(err error) {
	reason := "other"
	if apierrors.IsConflict(err) {
		reason = "conflict"
	}
	m.statusWriteErrors.WithLabelValues(reason).Inc()
}
