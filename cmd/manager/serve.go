// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"fwupgrade.io/operator/webhook"
)

const (
	// serveHeaderTimeout and serveIdleTimeout are how long a client of metrics, probes or profiles may be silent.
	serveHeaderTimeout = 10 * time.Second
	serveIdleTimeout   = 90 * time.Second
	// serveWriteTimeout ends an answer that nobody reads. Profiles take as long as is asked for.
	serveWriteTimeout = time.Minute
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
	endpoint *metricsEndpoint,
	ready *readiness,
	work func(context.Context) error,
) error {
	// The context ends when a port fails, too; then work stops as it does otherwise.
	group, ctx := errgroup.WithContext(ctx)
	var servers []*http.Server
	for _, port := range []struct {
		listener net.Listener
		handler  http.Handler
		tls      *tls.Config
		write    time.Duration
	}{
		{l.metrics, endpoint.mux(), endpoint.tls, serveWriteTimeout},
		{l.probes, probesHandler(ready), nil, serveWriteTimeout},
		{l.pprof, pprofHandler(), nil, 0},
	} {
		if port.listener == nil {
			continue
		}
		server := newServer(port.handler, port.write, ctrl.Log.WithName("http"))
		servers = append(servers, server)
		listener := port.listener
		if port.tls != nil {
			listener = tls.NewListener(listener, port.tls)
		}
		group.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", port.listener.Addr(), err)
			}
			return nil
		})
	}
	following, stopFollowing := context.WithCancel(ctx)
	group.Go(func() error {
		endpoint.watch(following)
		return nil
	})
	group.Go(func() error {
		defer stopFollowing()
		err := work(ctx)
		for _, server := range servers {
			_ = server.Close() // its error is that of connections that are gone
		}
		return err
	})
	return group.Wait()
}

// newServer makes a server; without an end for slow answers where write is 0. What it can't serve, such as a handshake
// that failed, is a line of the log, once a minute.
func newServer(handler http.Handler, write time.Duration, log logr.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: serveHeaderTimeout, WriteTimeout: write, IdleTimeout: serveIdleTimeout,
		ErrorLog: webhook.NewServerLog(log),
	}
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
