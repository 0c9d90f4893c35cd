// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the receiver counts. No label holds anything that a sender chose.
type metrics struct {
	notifications [answerKinds]prometheus.Counter
	answerSeconds prometheus.Histogram
	// lastNotification has no series before the first notification: a time that is not known is not 1970.
	lastNotification *prometheus.GaugeVec
	queueEntries     prometheus.Gauge
	batchEntries     prometheus.Histogram
	commitSeconds    prometheus.Histogram
	commitErrors     *prometheus.CounterVec
	reloadErrors     *prometheus.CounterVec
	*connectionMetrics
}

// newMetrics registers the metrics; it fails if the registerer has them already.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	const namespace, subsystem = "fwupgrade", "webhook"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets,
		})
	}
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}
	notifications := prometheus.NewCounterVec(prometheus.CounterOpts(opts("notifications_total",
		"Requests answered, by answer.")), []string{"answer"})
	m := &metrics{
		answerSeconds: histogram("answer_duration_seconds", "Time from the arrival of a request to its answer.", seconds),
		lastNotification: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("last_notification_timestamp_seconds",
			"When the last notification arrived that was stored as a result, in seconds since 1970; absent before the first.")),
			nil),
		queueEntries: prometheus.NewGauge(prometheus.GaugeOpts(opts("queue_entries",
			"Notifications that wait to be put into a slice."))),
		batchEntries: histogram("batch_entries", "Notifications put into one slice.",
			prometheus.ExponentialBuckets(1, 2, 12)),
		commitSeconds: histogram("commit_duration_seconds", "Time to store a slice, all attempts together.", seconds),
		commitErrors: prometheus.NewCounterVec(prometheus.CounterOpts(opts("commit_errors_total",
			"Attempts to store a slice that failed, by reason.")), []string{"reason"}),
		reloadErrors: prometheus.NewCounterVec(prometheus.CounterOpts(opts("reload_errors_total",
			"Times that secrets, client CAs or the certificate could not be read again, by what was read.")), []string{"file"}),
		connectionMetrics: newConnectionMetrics(opts),
	}
	// All series exist from the start, so that a rate over the first increase is right.
	for a := range answerKinds {
		m.notifications[a] = notifications.WithLabelValues(a.String())
	}
	for _, reason := range errorReasons() {
		m.commitErrors.WithLabelValues(reason)
	}
	for _, file := range []string{reloadSecrets, reloadClientCA, reloadCertificate} {
		m.reloadErrors.WithLabelValues(file)
	}
	for _, c := range append([]prometheus.Collector{
		notifications, m.answerSeconds, m.lastNotification, m.queueEntries, m.batchEntries, m.commitSeconds, m.commitErrors,
		m.reloadErrors,
	}, m.collectors()...) {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// answered counts a request that arrived at one time and was answered at another.
func (m *metrics) answered(a answer, arrived, at time.Time) {
	m.notifications[a].Inc()
	m.answerSeconds.Observe(at.Sub(arrived).Seconds())
	if a == answerRecorded {
		m.lastNotification.WithLabelValues().Set(timestamp(arrived))
	}
}

// timestamp is a time as metrics have it: seconds since 1970.
func timestamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
