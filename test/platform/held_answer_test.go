// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/pem"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// heldAnswer is a server in front of the API server, which keeps one answer back: that to the creation of the next
// record of a task.
type heldAnswer struct {
	server *httptest.Server
	armed  atomic.Bool
	// stored is closed when the record is.
	stored chan struct{}
	// release lets the answer go.
	release func()
}

func newHeldAnswer(t *testing.T) *heldAnswer {
	t.Helper()
	released := make(chan struct{})
	h := &heldAnswer{stored: make(chan struct{}), release: sync.OnceFunc(func() { close(released) })}
	to, err := url.Parse(cluster.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := rest.TLSConfigFor(rest.AnonymousClientConfig(cluster.Config())) // who asks authenticates
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trusted, ForceAttemptHTTP2: true}
	proxy := &httputil.ReverseProxy{
		Transport: transport, ErrorLog: log.New(&logged, "", 0),
		FlushInterval: -1, // what is watched comes at once
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodPost && strings.HasSuffix(r.Request.URL.Path, recordOf) &&
				h.armed.CompareAndSwap(true, false) {
				close(h.stored)
				<-released
			}
			return nil
		},
	}
	h.server = httptest.NewUnstartedServer(proxy)
	h.server.EnableHTTP2 = true
	h.server.StartTLS()
	t.Cleanup(func() {
		h.release()
		h.server.CloseClientConnections()
		h.server.Close()
		transport.CloseIdleConnections()
	})
	return h
}

// next keeps the next answer back.
func (h *heldAnswer) next() { h.armed.Store(true) }

// configOf is what an account connects with to this server.
func (h *heldAnswer) configOf(account *rest.Config) *rest.Config {
	account = rest.CopyConfig(account)
	account.Host = h.server.URL
	account.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})
	return account
}
