// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/status"
)

// metrics are those of the reconcilers. No label holds anything that a sender or a user chose.
type metrics struct {
	platformMetrics

	statusWrites      prometheus.Counter
	statusWriteErrors *prometheus.CounterVec
	events            *prometheus.CounterVec
	failuresAnnounced prometheus.Counter
	// eventDelay is how long Events waited: by type, as Warnings go first.
	eventDelay *prometheus.HistogramVec
}

const metricsPrefix = "fwupgrade_controllers_"

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		platformMetrics: newPlatformMetrics(),
		statusWrites:    counter("status_writes_total", "Status writes that the API server took."),
		statusWriteErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "status_write_errors_total",
			Help: "Status writes that failed, by reason: conflict or other.",
		}, []string{"reason"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "events_total", Help: "Kubernetes Events created about FirmwareUpgrades.",
		}, []string{"type", "reason"}),
		failuresAnnounced: counter("failures_announced_total",
			"Failed devices announced by Events, alone or in a digest."),
		eventDelay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricsPrefix + "event_delay_seconds",
			Help: "Time from the status that planned an Event about a FirmwareUpgrade to its creation.",
			// From one that is created at once to one that the API server did not take for hours.
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200},
		}, []string{"type"}),
	}
	err := registerCollectors(reg, append(m.collectors(), m.statusWrites, m.statusWriteErrors, m.events,
		m.failuresAnnounced, m.eventDelay)...)
	if err != nil {
		return nil, err
	}
	m.openSeries()
	return m, nil
}

// RegisterMetrics registers the metrics of the controllers, but for those of the store, without running anything: the
// reference of the metrics is made from it. There is no leader then, so that nothing is told about FirmwareUpgrades.
func RegisterMetrics(reg prometheus.Registerer) error {
	if _, err := newMetrics(reg); err != nil {
		return err
	}
	return registerCollectors(reg, newUpgradesCollector(nil, nil, claim.Rules{}, clock.RealClock{}),
		newPlatformCollector(nil, nil, nil))
}

// registerCollectors registers what tells something only when it is asked.
func registerCollectors(reg prometheus.Registerer, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
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
		status.EventOutcomeChanged, status.EventResultsRepaired, status.EventTaskCreated, status.EventTaskAdopted,
	} {
		m.events.WithLabelValues(corev1.EventTypeNormal, reason)
	}
	for _, reason := range []string{
		status.EventFinished, status.EventOutcomeChanged, status.EventDeadlineExceeded, status.EventDegraded,
		status.EventVersionSuspect, status.EventDeviceFailed, status.EventDevicesFailed,
		v1alpha1.ReasonDuplicateOperation, v1alpha1.ReasonAmbiguousOperation, v1alpha1.ReasonNotPermitted,
		v1alpha1.ReasonResultsIncomplete, v1alpha1.ReasonResultsArchived,
		v1alpha1.ReasonTaskUnknown, v1alpha1.ReasonDrift,
		v1alpha1.ReasonTaskRefused, v1alpha1.ReasonTaskExists, v1alpha1.ReasonCreationExpired,
		v1alpha1.ReasonCreationUncertain, v1alpha1.ReasonApplicationNotFound,
	} {
		m.events.WithLabelValues(corev1.EventTypeWarning, reason)
	}
	for _, outcome := range []string{
		string(storage.TaskAnswered), string(storage.TaskFound), string(storage.TaskWitnessed),
		string(storage.TaskDeclared), creationRefused, creationAbsent, creationExists, creationUnanswered,
	} {
		m.creations.WithLabelValues(outcome)
	}
	for _, kind := range []string{corev1.EventTypeNormal, corev1.EventTypeWarning} {
		m.eventDelay.WithLabelValues(kind)
	}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
}

// announced counts an Event that was created.
func (m *metrics) announced(e v1alpha1.OutboxEvent, created time.Time) {
	m.events.WithLabelValues(e.Type, e.Reason).Inc()
	// Another leader, whose clock is ahead, may have planned it.
	m.eventDelay.WithLabelValues(e.Type).Observe(max(0, created.Sub(e.PlanTime.Time)).Seconds())
	m.failuresAnnounced.Add(float64(e.Failures))
}

func (m *metrics) statusWriteFailed(err error) {
	reason := writeOther
	if apierrors.IsConflict(err) {
		reason = writeConflict
	}
	m.statusWriteErrors.WithLabelValues(reason).Inc()
}
