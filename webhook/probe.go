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

// noLength is what is wrong with a push of HTTP/1.0 of which nobody knows how long its body is.
const noLength = "the body needs a Content-Length, or HTTP/1.1"

// front takes every request before the handler of pushes: it answers probes and requests without a length, and tells
// the connection that the server got as far as a request.
func (r *Receiver) front(pushes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if c, ok := request.Context().Value(connectionKey{}).(*connection); ok {
			c.answer()
			if c.framing.unframed && request.Method == http.MethodPost && !request.ProtoAtLeast(1, 1) {
				// The server takes the body for an empty one, and what was sent would be lost.
				c.turnedAway([]byte("HTTP/1.0 400"), noLength, noLength)
				w.Header().Set("Connection", "close")
				http.Error(w, noLength, http.StatusBadRequest)
				return
			}
			if c.framing.ambiguous {
				w.Header().Set("Connection", "close")
			}
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
