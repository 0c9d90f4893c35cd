// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"io"
	"net/http"
	"time"
)

// ProbePath is where load balancers ask on the callback's own port whether this replica wants pushes.
const ProbePath = "/healthz"

// front takes every request before the handler of pushes: it answers probes, and tells the connection that the server
// got as far as a request.
func (r *Receiver) front(pushes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if c, ok := connectionOf(request); ok {
			c.answer()
		}
		if request.URL.EscapedPath() == ProbePath {
			r.probe(w, request)
			return
		}
		pushes.ServeHTTP(w, request)
	})
}

// The answers to probes, as they are counted.
const (
	probeReady    = "ready"
	probeDraining = "draining"
	probeRefused  = "method_not_allowed"
)

// probe answers 200 as long as pushes are welcome, and 503 from when the receiver is told to stop. It asks for no
// secret, and says no more. Whoever probes pushes nothing and so holds no connection, nor is its body waited for.
func (r *Receiver) probe(w http.ResponseWriter, request *http.Request) {
	status, text, counted := http.StatusOK, "ok\n", probeReady
	switch {
	case request.Method != http.MethodGet && request.Method != http.MethodHead:
		status, text, counted = http.StatusMethodNotAllowed, "only GET and HEAD are served\n", probeRefused
		w.Header().Set("Allow", "GET, HEAD")
	case r.draining.Load():
		status, text, counted = http.StatusServiceUnavailable, "draining\n", probeDraining
	}
	r.metrics.probes.WithLabelValues(counted).Inc()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
}
