// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"

	"fwupgrade.io/operator/webhook"
)

// retryWatching is how long after a failure the files of the certificate are read again.
const retryWatching = time.Minute

// metricsEndpoint is how metrics are served: to everybody who reaches the port, by plain HTTP, or with --metrics-secure
// by HTTPS to whom the API server lets get /metrics.
type metricsEndpoint struct {
	handler http.Handler
	// tls is nil for plain HTTP.
	tls *tls.Config
	// watcher reads the certificate again; nil where there is no file of it.
	watcher *certwatcher.CertWatcher
}

// newMetricsEndpoint makes what the options ask for. The client asks the API server whose a token is, and what he may.
func newMetricsEndpoint(
	o *options,
	gatherer prometheus.Gatherer,
	config *rest.Config,
	client *http.Client,
) (*metricsEndpoint, error) {
	e := &metricsEndpoint{
		handler: promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}),
	}
	if !o.metricsSecure {
		return e, nil
	}
	filter, err := filters.WithAuthenticationAndAuthorization(config, client)
	if err != nil {
		return nil, fmt.Errorf("--metrics-secure: %w", err)
	}
	log := webhook.NewLimitedLog(ctrl.Log.WithName("metrics"), "Authentication", "Authorization")
	if e.handler, err = filter(log, e.handler); err != nil {
		return nil, fmt.Errorf("--metrics-secure: %w", err)
	}
	e.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if o.metricsCertDir == "" {
		own, err := selfSigned()
		if err != nil {
			return nil, fmt.Errorf("--metrics-secure: %w", err)
		}
		e.tls.Certificates = []tls.Certificate{own}
		return e, nil
	}
	certificate, key := filepath.Join(o.metricsCertDir, "tls.crt"), filepath.Join(o.metricsCertDir, "tls.key")
	e.watcher, err = certwatcher.New(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("--metrics-cert-dir=%s: %w", o.metricsCertDir, err)
	}
	e.tls.GetCertificate = e.watcher.GetCertificate
	return e, nil
}

// selfSigned makes a certificate that nobody can check. What is sent is encrypted all the same.
func selfSigned() (tls.Certificate, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.X509KeyPair(certificate, key)
}

// mux serves /metrics alone.
func (e *metricsEndpoint) mux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", e.handler)
	return mux
}

// watch reads the certificate again when its files change, until the context ends. Where they can't be followed, it
// reads them once in a while: metrics that are served with an old certificate are no reason to end.
func (e *metricsEndpoint) watch(ctx context.Context) {
	if e.watcher == nil {
		return
	}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := e.watcher.Start(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		err = errors.Join(err, e.watcher.ReadCertificate())
		ctrl.Log.WithName("metrics").Error(err, "Could not follow the certificate of the metrics",
			"retryAfter", retryWatching.String())
	}, retryWatching)
}
