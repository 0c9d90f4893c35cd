// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

const (
	// serveHeaderTimeout and serveIdleTimeout are how long a client of metrics, probes or profiles may be silent.
	serveHeaderTimeout = 10 * time.Second
	serveIdleTimeout   = 90 * time.Second
)

// readiness is what /readyz answers.
type readiness struct {
	check atomic.Pointer[healthz.Checker]
}

// set makes a check the one that decides from now on.
func (r *readiness) set(check healthz.Checker) { r.check.Store(&check) }

// ServeHTTP answers 200 when the process takes its part of the work, else 503 and why not.
func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	check := r.check.Load()
	if check == nil {
		http.Error(w, "starting: the API server was not asked for all that is needed yet", http.StatusServiceUnavailable)
		return
	}
	if err := (*check)(request); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	alive(w, request)
}

// alive answers 200.
func alive(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

// serve serves metrics, probes and profiles while work runs, also while that waits for the API server and while it
// stops. It closes the listeners.
func serve(
	ctx context.Context,
	l *listeners,
	gatherer prometheus.Gatherer,
	ready *readiness,
	work func(context.Context) error,
) error {
	// The context ends when a port fails, too; then work stops as it does otherwise.
	group, ctx := errgroup.WithContext(ctx)
	var servers []*http.Server
	for _, port := range []struct {
		listener net.Listener
		handler  http.Handler
	}{
		{l.metrics, metricsHandler(gatherer)},
		{l.probes, probesHandler(ready)},
		{l.pprof, pprofHandler()},
	} {
		if port.listener == nil {
			continue
		}
		server := &http.Server{
			Handler: port.handler, ReadHeaderTimeout: serveHeaderTimeout, IdleTimeout: serveIdleTimeout,
		}
		servers = append(servers, server)
		group.Go(func() error {
			if err := server.Serve(port.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", port.listener.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		err := work(ctx)
		for _, server := range servers {
			_ = server.Close() // its error is that of connections that are gone
		}
		return err
	})
	return group.Wait()
}

func metricsHandler(gatherer prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	return mux
}

func probesHandler(ready *readiness) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", alive)
	mux.Handle("/readyz", ready)
	return mux
}

func pprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
