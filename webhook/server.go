// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// Receiver serves the callback. It is a Runnable of the manager that runs on every replica.
type Receiver struct {
	options Options
	clock   clock.WithTicker
	log     logr.Logger
	// lines are the part of the log that strangers can fill.
	lines       *occasional
	metrics     *metrics
	secrets     *secrets
	clientCAs   *clientCAs
	certificate *certificate
	committer   *committer

	started   chan struct{}
	startOnce sync.Once
	address   atomic.Pointer[net.Addr]
	draining  atomic.Bool
}

// New makes a receiver. It fails, with a sentence that says what to change, if the options can't work, a file they
// name can't be used, or the metrics are registered already.
func New(o Options) (*Receiver, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	r := &Receiver{
		options: o, clock: o.Clock, log: o.Log, lines: newOccasional(o.Clock, o.Log, lineInterval),
		started: make(chan struct{}),
	}
	if err := r.loadFiles(); err != nil {
		return nil, err
	}
	slices, err := newStore(o.Config, o.Namespace)
	if err != nil {
		return nil, err
	}
	if r.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	if err := r.registerFiles(); err != nil {
		return nil, err
	}
	r.committer = newCommitter(slices, o.Clock, o.Log, r.metrics)
	return r, nil
}

// loadFiles reads everything that the options name, so that a mistake shows at the start.
func (r *Receiver) loadFiles() error {
	var err error
	if files := secretFiles(&r.options); len(files) > 0 {
		if r.secrets, err = newSecrets(files); err != nil {
			return err
		}
	}
	if r.options.ClientCAFile != "" {
		if r.clientCAs, err = newClientCAs(r.options.ClientCAFile); err != nil {
			return err
		}
	}
	if r.options.CertDir != "" {
		if r.certificate, err = newCertificate(r.options.CertDir, r.clock, r.log); err != nil {
			return err
		}
	}
	return nil
}

// registerFiles registers the metrics that there are only with certain files.
func (r *Receiver) registerFiles() error {
	var collectors []prometheus.Collector
	if r.secrets != nil {
		collectors = append(collectors, r.secrets)
	}
	if r.certificate != nil {
		collectors = append(collectors, certificateMetrics(r.certificate)...)
	}
	for _, collector := range collectors {
		if err := r.options.Registerer.Register(collector); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// NeedLeaderElection is false: every replica receives.
func (r *Receiver) NeedLeaderElection() bool { return false }

// Ready is a healthz.Checker: it fails before the receiver listens and from when it is told to stop.
func (r *Receiver) Ready(*http.Request) error {
	switch {
	case r.address.Load() == nil:
		return errors.New("the callback is not listening yet")
	case r.draining.Load():
		return errors.New("the callback is shutting down")
	}
	return nil
}

// Started is closed when the receiver listens.
func (r *Receiver) Started() <-chan struct{} { return r.started }

// Addr is where the receiver listens; nil before Started is closed.
func (r *Receiver) Addr() net.Addr {
	address := r.address.Load()
	if address == nil {
		return nil
	}
	return *address
}

// Start serves until ctx ends, drains, and returns when nothing of the receiver runs any more, at most
// Options.StopTimeout later. A receiver is started once. The order of stopping:
//  1. Readiness fails; pushes are still answered, for Options.DrainDuration.
//  2. The listener closes; pushes that have arrived get their answers.
//  3. The committer writes what is left; certificates and secrets are no longer followed.
func (r *Receiver) Start(ctx context.Context) error {
	listener, err := r.listen(ctx)
	if err != nil {
		return err
	}
	server := r.server()

	// What serves has to outlive ctx: its end is only the beginning of the drain.
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var running sync.WaitGroup
	failed := make(chan error, 1)
	running.Go(func() { failed <- serve(server, listener) })
	running.Go(func() { r.reloader().run(background) })
	committing, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	committed := make(chan struct{})
	running.Go(func() {
		defer close(committed)
		r.committer.run(committing)
	})

	r.listening(listener.Addr())
	err = r.untilStopped(ctx, failed)
	r.closeConnections(ctx, server)
	r.flush(committed, abandon)
	stopBackground()
	running.Wait()
	return err
}

// listen opens the callback's port.
func (r *Receiver) listen(ctx context.Context) (net.Listener, error) {
	inner, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.options.BindAddress)
	if err != nil {
		return nil, fmt.Errorf("--callback-bind-address: listen for the callback: %w", err)
	}
	var secure *tls.Config
	if r.certificate != nil {
		secure = tlsConfig(r.certificate, r.clientCAs)
	}
	return newListener(inner, secure, r.options.ConnectionsPerSource, r.metrics, r.lines), nil
}

// listening makes the receiver ready.
func (r *Receiver) listening(address net.Addr) {
	r.address.Store(&address)
	r.log.Info("Listening for the platform's notifications", "address", address.String(), "tls", r.options.CertDir != "")
	r.startOnce.Do(func() { close(r.started) })
}

// untilStopped waits until the receiver is to stop taking pushes: because ctx ended and the drain is over, or because
// something failed.
func (r *Receiver) untilStopped(ctx context.Context, failed <-chan error) error {
	select {
	case err := <-failed:
		r.draining.Store(true)
		return err
	case <-ctx.Done():
	}
	r.draining.Store(true)
	if r.options.DrainDuration == 0 {
		return nil
	}
	r.log.Info("Draining", "duration", r.options.DrainDuration.String())
	drain := r.clock.NewTimer(r.options.DrainDuration)
	defer drain.Stop()
	select {
	case err := <-failed:
		return err
	case <-drain.C():
		return nil
	}
}

// closeConnections stops listening and waits for the answers that are still due.
func (r *Receiver) closeConnections(ctx context.Context, server *http.Server) {
	// ctx is over; the last answers have a time of their own.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		r.log.Info("Closed connections that did not end in time")
		_ = server.Close() // its error is that of connections that are gone
	}
}

// flush lets the committer write what is left and gives up after flushTimeout.
func (r *Receiver) flush(committed <-chan struct{}, abandon context.CancelFunc) {
	r.committer.close()
	timeout := r.clock.NewTimer(flushTimeout)
	defer timeout.Stop()
	select {
	case <-committed:
	case <-timeout.C():
		abandon()
		<-committed
	}
	r.log.Info("Stopped")
}

// reloader follows the files of credentials and of the certificate.
func (r *Receiver) reloader() *reloader {
	reloads := map[string]reload{}
	if r.secrets != nil {
		reloads[reloadSecrets] = r.secrets.reload
	}
	if r.clientCAs != nil {
		reloads[reloadClientCA] = r.clientCAs.reload
	}
	if r.certificate != nil {
		reloads[reloadCertificate] = r.certificate.reload
	}
	return &reloader{clock: r.clock, log: r.log, metrics: r.metrics, reloads: reloads}
}

// server is the HTTP server with all its limits. HTTP/2 is off: the platform doesn't speak it, and it would let one
// connection carry hundreds of pushes past the limit of connections.
func (r *Receiver) server() *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	pushes := &handler{
		auth: &authenticator{
			path: r.options.CallbackPath, secrets: r.secrets, clientCAs: r.clientCAs, refused: r.certificateRefused,
			anonymous: r.options.AllowAnonymous,
		},
		committer: r.committer,
		clock:     r.clock,
		log:       r.log,
		lines:     r.lines,
		metrics:   r.metrics,
		draining:  &r.draining,
	}
	return &http.Server{
		Handler:                      r.front(pushes),
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  r.options.IdleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ConnContext:                  withConnection,
		ConnState:                    stateChanged,
		ErrorLog:                     log.New(serverLog{lines: r.lines}, "", 0),
	}
}

// certificateRefused counts a client certificate that does not count.
func (r *Receiver) certificateRefused(err error) {
	reason := certificateProblem(err)
	r.metrics.refusedCertificates.WithLabelValues(reason).Inc()
	r.lines.info("certificate "+reason, "Did not take a client certificate for credentials", "reason", reason)
}

// serve serves until the server is shut down.
func serve(server *http.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the callback: %w", err)
	}
	return nil
}
