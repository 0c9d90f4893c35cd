// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/status"
)

// metrics are those of the reconcilers. No label holds anything that a sender or a user chose.
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
			Name: metricsPrefix + "status_write_errors_total",
			Help: "Status writes that failed, by reason: conflict or other.",
		}, []string{"reason"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "events_total", Help: "Kubernetes Events created about FirmwareUpgrades.",
		}, []string{"type", "reason"}),
		failuresAnnounced: counter("failures_announced_total",
			"Failed devices announced by Events, alone or in a digest."),
	}
	for _, c := range []prometheus.Collector{m.statusWrites, m.statusWriteErrors, m.events, m.failuresAnnounced} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	m.openSeries()
	return m, nil
}

// Why a status write failed.
const (
	writeConflict = "conflict"
	writeOther    = "other"
)

// openSeries makes all series of which an increase is told exist from the start: without it the first one, which in a
// new leader may be the only one, is none.
func (m *metrics) openSeries() {
	for _, reason := range []string{writeConflict, writeOther} {
		m.statusWriteErrors.WithLabelValues(reason)
	}
	for _, reason := range []string{
		status.EventStarted, status.EventDevicesRecovered, status.EventPlaceholderCreated, status.EventFinished,
		status.EventOutcomeChanged,
	} {
		m.events.WithLabelValues(corev1.EventTypeNormal, reason)
	}
	for _, reason := range []string{
		status.EventFinished, status.EventOutcomeChanged, status.EventDeadlineExceeded, status.EventDegraded,
		status.EventVersionSuspect, status.EventDeviceFailed, status.EventDevicesFailed,
		v1alpha1.ReasonDuplicateOperation, v1alpha1.ReasonAmbiguousOperation, v1alpha1.ReasonNotPermitted,
		v1alpha1.ReasonResultsIncomplete, v1alpha1.ReasonResultsArchived,
	} {
		m.events.WithLabelValues(corev1.EventTypeWarning, reason)
	}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
}

func (m *metrics) announced(e v1alpha1.OutboxEvent) {
	m.events.WithLabelValues(e.Type, e.Reason).Inc()
	m.failuresAnnounced.Add(float64(e.Failures))
}

func (m *metrics) statusWriteFailed(err error) {
	reason := writeOther
	if apierrors.IsConflict(err) {
		reason = writeConflict
	}
	m.statusWriteErrors.WithLabelValues(reason).Inc()
}
