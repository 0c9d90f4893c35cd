// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// connectionMetrics are what is counted of connections, and of what ends before it is a push.
type connectionMetrics struct {
	connections prometheus.Gauge
	// connectionLimits count by what became of a connection that met a limit.
	connectionLimits *prometheus.CounterVec
	// silentConnections are those that ended before there was anything to answer.
	silentConnections   prometheus.Counter
	serverAnswers       *prometheus.CounterVec
	handshakeErrors     *prometheus.CounterVec
	refusedCertificates *prometheus.CounterVec
	probes              *prometheus.CounterVec
}

// What became of a connection beyond a limit.
const (
	// limitReplaced took the place of another one.
	limitReplaced = "replaced"
	// limitRefused was closed, as its source has its share.
	limitRefused = "refused"
	// limitWaited waited until there was room.
	limitWaited = "waited"
)

// serverStatuses are what the HTTP server answers by itself. Another one would be counted as the last.
func serverStatuses() []string { return []string{"400", "413", "417", "431", "501", "505", "other"} }

// newConnectionMetrics makes the metrics with all their series, so that a rate over the first increase is right.
func newConnectionMetrics(opts func(name, help string) prometheus.Opts) *connectionMetrics {
	counters := func(name, help, label string, values ...string) *prometheus.CounterVec {
		vector := prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), []string{label})
		for _, value := range values {
			vector.WithLabelValues(value)
		}
		return vector
	}
	return &connectionMetrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts(opts("connections", "Open connections."))),
		connectionLimits: counters("connection_limits_total",
			"Connections that met the limit of all or of their source, by what became of them.", "outcome",
			limitReplaced, limitRefused, limitWaited),
		silentConnections: prometheus.NewCounter(prometheus.CounterOpts(opts("silent_connections_total",
			"Connections that ended without a request, TLS handshakes that failed left out."))),
		serverAnswers: counters("server_answers_total",
			"Requests that the HTTP server answered by itself, as it could not read them, by status.", "status",
			serverStatuses()...),
		handshakeErrors: counters("tls_handshake_errors_total", "TLS handshakes that failed, by kind.", "kind",
			handshakeProblems()...),
		refusedCertificates: counters("client_certificates_refused_total",
			"Pushes without a secret whose client certificate does not count, by reason.", "reason", certificateProblems()...),
		probes: counters("probes_total", "Probes of load balancers, by answer.", "answer",
			probeReady, probeDraining, probeRefused),
	}
}

// collectors are all metrics, to be registered.
func (m *connectionMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.connections, m.connectionLimits, m.silentConnections, m.serverAnswers, m.handshakeErrors, m.refusedCertificates,
		m.probes,
	}
}

// answeredByServer counts an answer of which the beginning is given, and returns the status it is counted by.
func (m *connectionMetrics) answeredByServer(answer []byte) string {
	const before, digits = len("HTTP/1.1 "), 3
	all := serverStatuses()
	status := all[len(all)-1]
	if len(answer) >= before+digits && slices.Contains(all, string(answer[before:before+digits])) {
		status = string(answer[before : before+digits])
	}
	m.serverAnswers.WithLabelValues(status).Inc()
	return status
}
