// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestPostOfCreation holds how a creation is sent: by HTTP/1.1 although the platform offers HTTP/2, over a connection
// of its own that is closed, without a header by which Go's transport would send it again.
func TestPostOfCreation(t *testing.T) {
	p := startPlatform(t, func(p *platform, _ *tls.Config) { p.EnableHTTP2 = true })
	p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
	c := connect(t, p)
	for range 3 {
		_, err := c.create()
		c.must("", err)
	}
	connections := map[string]bool{}
	for _, r := range p.seen() {
		if r.protocol != "HTTP/1.1" || !r.close || connections[r.connection] {
			t.Errorf("%s %s: %s, closes %t, on a used connection %t", r.method, r.path, r.protocol, r.close,
				connections[r.connection])
		}
		connections[r.connection] = true
		for name := range r.header {
			if strings.Contains(strings.ToLower(name), "idempotency") || name == "Expect" {
				t.Errorf("%s %s has the header %s", r.method, r.path, name)
			}
		}
	}
	if got := p.count(createPath); got != 3 {
		t.Errorf("%d creations came, want 3", got)
	}
}

// TestPostOnReusedConnection has a platform handle a creation and break the connection, where all other calls keep
// theirs: whatever becomes of the shared transport, a creation does not use what others leave.
func TestPostOnReusedConnection(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.transport.DisableKeepAlives = false
	t.Cleanup(c.transport.CloseIdleConnections)
	c.must("", c.list())
	c.must("", c.list())
	if seen := p.seen(); seen[1].connection != seen[2].connection {
		t.Fatal("the connection is not kept, so that nothing is tested")
	}
	p.set(nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	before := p.seen()
	_, err := c.create()
	c.must(Unreachable, err)
	after := p.seen()[len(before):]
	if len(after) != 1 || after[0].connection == before[1].connection || Creation(err) != CreationUnknown {
		t.Errorf("sent %+v: %v, %s", after, err, Creation(err))
	}
}

// TestPostOnlyToTheEndpoint holds that a creation is not sent to where a platform redirects, be it the platform itself.
func TestPostOnlyToTheEndpoint(t *testing.T) {
	p := startPlatform(t)
	var elsewhere atomic.Int32
	other := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	other.TLS = &tls.Config{Certificates: []tls.Certificate{p.authority.server("platform.example.com")}}
	other.StartTLS()
	defer other.Close()
	for _, target := range []string{other.URL + "/else", p.URL + "/else", createPath} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			p.set(nil, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, status) })
			c := connect(t, p)
			c.must("", c.Login(t.Context()))
			before := len(p.seen())
			var dialed []string
			dial := c.transport.DialContext
			c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				dialed = append(dialed, address)
				return dial(ctx, network, address)
			}
			_, err := c.create()
			c.must(Unexpected, err)
			if len(p.seen()) != before+1 || !slices.Equal(dialed, []string{p.Listener.Addr().String()}) {
				t.Errorf("%d to %s: dialed %v, sent %+v", status, target, dialed, p.seen()[before:])
			}
		}
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestPostAfterRefusedToken holds that a refused creation is the caller's, who has another token the next time.
func TestPostAfterRefusedToken(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
	c := connect(t, p)
	c.must("", c.Login(t.Context()))
	p.newToken() // somebody else's
	_, err := c.create()
	c.must(TokenInvalid, err)
	if p.count(createPath) != 1 || p.count(loginPath) != 1 || Creation(err) != CreationTokenRefused {
		t.Errorf("sent %d times, %d logins, %s", p.count(createPath), p.count(loginPath), Creation(err))
	}
	_, err = c.create()
	c.must("", err)
	if p.count(createPath) != 2 || p.count(loginPath) != 2 {
		t.Errorf("sent %d times in all, %d logins", p.count(createPath), p.count(loginPath))
	}
}

// TestPostWithStaleToken holds that a creation whose token ends while it waits is sent once, with the next one.
func TestPostWithStaleToken(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
	c := connect(t, p)
	old, err := c.tokens.get(t.Context())
	c.must("", err)
	c.limiter.throttle()
	failed := make(chan error, 1)
	go func() {
		_, err := c.CreateTask(context.Background(), requested(), nil)
		failed <- err
	}()
	for !c.clock.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	c.tokens.refuse(old)
	c.clock.Step(time.Hour / 2)
	c.must("", <-failed)
	last := p.seen()[len(p.seen())-1]
	if p.count(createPath) != 1 || last.header.Get("Authorization") != "Bearer token-2-of-the-platform" {
		t.Errorf("sent %d times, with %q", p.count(createPath), last.header.Get("Authorization"))
	}
}

// silentServer takes connections with TLS, and what comes until they end, and says how many bytes that were.
func silentServer(t *testing.T, p *platform) (address string, came chan int) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: p.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	came = make(chan int, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			_ = conn.Close()
			came <- int(n)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String(), came
}

// TestPostIsKept holds that of a creation that is called back not a byte is sent, though the connection stands.
func TestPostIsKept(t *testing.T) {
	p := startPlatform(t)
	never := errors.New("ten seconds are over")
	cases := map[string]struct {
		kind   Kind
		end    bool // of the context, once connected
		ready  func() error
		asked  int32
		failed error
	}{
		"not ready":     {kind: Canceled, ready: func() error { return never }, asked: 1, failed: never},
		"context ended": {kind: Canceled, end: true, ready: func() error { return nil }, failed: context.Canceled},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := connect(t, p)
			c.must("", c.Login(t.Context()))
			address, came := silentServer(t, p)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.transport.DialContext = func(_ context.Context, network, _ string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(context.Background(), network, address)
				if tc.end {
					cancel()
				}
				return conn, err
			}
			var asked atomic.Int32
			_, err := c.CreateTask(ctx, requested(), func() error { asked.Add(1); return tc.ready() })
			c.must(tc.kind, err)
			if Creation(err) != CreationNotSent || !errors.Is(err, tc.failed) || asked.Load() != tc.asked {
				t.Errorf("%s, %v, asked %d times", Creation(err), err, asked.Load())
			}
			if n := <-came; n > 0 {
				t.Errorf("%d bytes were sent", n)
			}
			if s := c.Status(); s.Failures != 0 {
				t.Errorf("%d failures of the platform, want none", s.Failures)
			}
		})
	}
}

// TestPostIsLetGoOnce holds that a transport that connected a second time for one posting would not write to it.
func TestPostIsLetGoOnce(t *testing.T) {
	p := &posting{}
	if !p.letGo(t.Context()) || p.letGo(t.Context()) || !p.sent {
		t.Errorf("let go twice, or not at all: %+v", p)
	}
}

// TestPostReady holds that ready is asked last, after the turn and the connection, and once.
func TestPostReady(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
	c := connect(t, p)
	c.must("", c.Login(t.Context()))
	var dialed, asked int
	dial := c.transport.DialContext
	c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed++
		return dial(ctx, network, address)
	}
	_, err := c.CreateTask(t.Context(), requested(), func() error {
		asked++
		if dialed != 1 || p.count(createPath) != 0 {
			t.Errorf("asked when %d were dialed and %d sent", dialed, p.count(createPath))
		}
		return nil
	})
	if c.must("", err); asked != 1 || p.count(createPath) != 1 {
		t.Errorf("asked %d times, sent %d", asked, p.count(createPath))
	}
}
