// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
)

// A stranger whose handshakes fail, as often as he likes, gets one line of the log.
func TestFailedHandshakesAreOneLine(t *testing.T) {
	own, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	var lines, told atomic.Int32
	log := funcr.New(func(_, args string) {
		lines.Add(1)
		if strings.Contains(args, "TLS handshake error") {
			told.Add(1)
		}
	}, funcr.Options{})
	inner := listenLocally(t)
	server := newServer(http.NotFoundHandler(), serveWriteTimeout, log)
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(tls.NewListener(inner, &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own},
		}))
	}()
	for range 10 {
		c := dialLocally(t, inner)
		if _, err := io.WriteString(c, "no handshake\r\n\r\n"); err != nil {
			t.Error(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = io.Copy(io.Discard, c) // until it is closed, after which there is a line or none
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if lines.Load() != 1 || told.Load() != 1 {
		t.Errorf("%d lines, %d of a handshake", lines.Load(), told.Load())
	}
}

// Metrics are served on when the files of their certificate can't be followed.
func TestMetricsOutliveTheirCertificate(t *testing.T) {
	folder := t.TempDir()
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	write := func() {
		for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write()
	endpoint, err := newMetricsEndpoint(&options{metricsSecure: true, metricsCertDir: folder}, prometheus.NewRegistry(),
		&rest.Config{Host: "http://127.0.0.1:1"}, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	ports := &listeners{metrics: listenLocally(t)}
	err = serve(t.Context(), ports, endpoint, &readiness{}, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return errors.New("the process ends")
		case <-time.After(12 * time.Second): // 10 s are tried
		}
		c := tls.Client(dialLocally(t, ports.metrics), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // unsigned
		return c.HandshakeContext(ctx)
	})
	if err != nil {
		t.Error(err)
	}
	write() // what follows the files ends only after it began
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := endpoint.watcher.Start(ended); err != nil {
		t.Error(err)
	}
}

// An answer that nobody reads ends.
func TestAnswersThatNobodyReadsEnd(t *testing.T) {
	inner := listenLocally(t)
	ended := make(chan struct{})
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}), time.Second, funcr.New(func(_, _ string) {}, funcr.Options{}))
	go func() { _ = server.Serve(inner) }()
	defer func() { _ = server.Close() }()
	c := dialLocally(t, inner)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("it is still written")
	}
}

func listenLocally(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dialLocally(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
