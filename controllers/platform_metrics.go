// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"fwupgrade.io/operator/internal/platform"
)

const platformMetricsPrefix = "fwupgrade_platform_"

// platformMetrics are those of the calls to the platform. No label names an application.
type platformMetrics struct {
	calls     *prometheus.CounterVec
	durations *prometheus.HistogramVec
	waited    prometheus.Counter
	repaired  prometheus.Counter
}

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
	}
}

func (m *platformMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.calls, m.durations, m.waited, m.repaired}
}

// platformCall counts a call.
func (m *platformMetrics) platformCall(c platform.Call) {
	m.calls.WithLabelValues(c.Name, c.Outcome).Inc()
	m.durations.WithLabelValues(c.Name).Observe(c.Duration.Seconds())
	m.waited.Add(c.Waited.Seconds())
}
