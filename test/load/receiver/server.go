// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/webhook/wire"
)

// The limits of the operator's own server, so that neither side has it easier.
const (
	maxBodyBytes      = 64 << 10
	maxHeaderBytes    = 16 << 10
	maxConnections    = 4096
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 20 * time.Second
	idleTimeout       = 2 * time.Minute
	storeTimeout      = 10 * time.Second
	shutdownTimeout   = 11 * time.Second
)

// keep stores one result; nil means that it is stored.
type keep func(ctx context.Context, r result.Result) error

// handler answers 200 once a push was kept, as the operator does.
type handler struct{ keep keep }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	if r.URL.Path != Path || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes))
	if err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	n, err := wire.Decode(body)
	if err != nil || n.Kind == wire.KindOther {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if err := h.keep(ctx, n.Result(arrived.UnixMicro())); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "{\"result\":\"recorded\"}\n")
}

// serve serves the callback until ctx ends.
func serve(ctx context.Context, address string, keep keep, ready func()) error {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler:           &handler{keep: keep},
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	return runServer(ctx, server, address, maxConnections, ready)
}

// serveHealth answers /readyz with 200 once ready is closed.
func serveHealth(ctx context.Context, address string, ready <-chan struct{}) error {
	server := &http.Server{
		ReadHeaderTimeout: readHeaderTimeout,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			select {
			case <-ready:
			default:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}),
	}
	return runServer(ctx, server, address, maxConnections, func() {})
}

func runServer(ctx context.Context, server *http.Server, address string, connections int, ready func()) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(listener, connections)) }()
	ready()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err = server.Shutdown(grace)
	if servedErr := <-served; !errors.Is(servedErr, http.ErrServerClosed) {
		err = errors.Join(err, servedErr)
	}
	return err
}
