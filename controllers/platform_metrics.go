// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
)

const platformMetricsPrefix = "fwupgrade_platform_"

// platformMetrics are those of the calls to the platform. No label names an application.
type platformMetrics struct {
	calls     *prometheus.CounterVec
	durations *prometheus.HistogramVec
	waited    prometheus.Counter
	repaired  prometheus.Counter
	creations *prometheus.CounterVec
}

// What became of an attempt to create a task, beside what storage.TaskEvidence says of those that created it.
const (
	creationRefused    = "Refused"
	creationAbsent     = "Absent"
	creationExists     = "Exists"
	creationUnanswered = "Unanswered"
)

func newPlatformMetrics() platformMetrics {
	return platformMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: platformMetricsPrefix + "calls_total",
			Help: "Calls to the IoT platform, by call and outcome: Success, or why it failed.",
		}, []string{"call", "outcome"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    platformMetricsPrefix + "call_duration_seconds",
			Help:    "How long the IoT platform took to answer, by call.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"call"}),
		waited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: platformMetricsPrefix + "waited_seconds_total",
			Help: "Time that calls to the IoT platform waited for their turn, by spec.callsPerMinute.",
		}),
		repaired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: platformMetricsPrefix + "repaired_results_total",
			Help: "Results that no push brought, and that the IoT platform was asked for.",
		}),
		creations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: platformMetricsPrefix + "creations_total",
			Help: "What became of attempts to create a task: Answered, Found, Witnessed or Declared where there is one, " +
				"Refused, Absent, Exists; Unanswered where the answer did not come, which another one follows.",
		}, []string{"outcome"}),
	}
}

func (m *platformMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.calls, m.durations, m.waited, m.repaired, m.creations}
}

// creationConcluded counts what became of an attempt to create a task; nil: its answer did not come.
func (m *platformMetrics) creationConcluded(o *storage.TaskOutcome) {
	outcome := creationUnanswered
	switch {
	case o == nil:
	case o.Result == storage.TaskResultCreated:
		outcome = string(o.How)
	case o.Result == storage.TaskResultRefused:
		outcome = creationRefused
	case o.Result == storage.TaskResultExists:
		outcome = creationExists
	default:
		outcome = creationAbsent
	}
	m.creations.WithLabelValues(outcome).Inc()
}

// platformCall counts a call.
func (m *platformMetrics) platformCall(c platform.Call) {
	m.calls.WithLabelValues(c.Name, c.Outcome).Inc()
	m.durations.WithLabelValues(c.Name).Observe(c.Duration.Seconds())
	m.waited.Add(c.Waited.Seconds())
}
