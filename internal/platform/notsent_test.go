// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// dialTo makes a client connect to another address than the endpoint's.
func (c *tester) dialTo(address string) {
	c.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// unused returns an address of this machine at which nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	return listener.Addr().String()
}

// TestCreationNotSent holds for every way in which no request leaves that this is known.
func TestCreationNotSent(t *testing.T) {
	served := func(change func(*authority, *tls.Config)) func(*tester) {
		return func(c *tester) {
			other := startPlatform(c.t, func(p *platform, config *tls.Config) { change(p.authority, config) })
			c.dialTo(other.Listener.Addr().String())
			c.t.Cleanup(func() {
				if n := len(other.seen()); n > 0 {
					c.t.Errorf("%d requests came", n)
				}
			})
		}
	}
	cases := map[string]struct {
		prepare func(*tester)
		want    Kind
	}{
		"nobody listens": {func(c *tester) { c.dialTo(unused(c.t)) }, Unreachable},
		"no such host": {func(c *tester) {
			nameless := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", unused(c.t))
			}}
			c.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{Resolver: nameless}).DialContext(ctx, network, "platform.example.com:8743")
			}
		}, Unreachable},
		"no connection in time": {func(c *tester) {
			c.timeout = 100 * time.Millisecond
			c.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				<-c.t.Context().Done()
				return nil, c.t.Context().Err()
			}
		}, Unreachable},
		"no handshake in time": {func(c *tester) {
			c.timeout = 100 * time.Millisecond
			listener, err := new(net.ListenConfig).Listen(c.t.Context(), "tcp", "127.0.0.1:0") // accepts by its backlog
			if err != nil {
				c.t.Fatal(err)
			}
			c.t.Cleanup(func() { _ = listener.Close() })
			c.dialTo(listener.Addr().String())
		}, Unreachable},
		"no TLS": {func(c *tester) {
			listener, err := new(net.ListenConfig).Listen(c.t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				c.t.Fatal(err)
			}
			server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.NotFoundHandler()}
			done := make(chan struct{})
			go func() { defer close(done); _ = server.Serve(listener) }()
			c.t.Cleanup(func() { _ = server.Close(); <-done })
			c.dialTo(listener.Addr().String())
		}, Unreachable},
		"another authority": {served(func(*authority, *tls.Config) {}), CertificateInvalid},
		"old TLS": {served(func(_ *authority, config *tls.Config) {
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}), Unreachable},
		"the client's certificate can't be read": {func(c *tester) {
			served(func(_ *authority, config *tls.Config) { config.ClientAuth = tls.RequireAnyClientCert })(c)
			c.transport.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // only to get as far as the client's
			c.transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return nil, &clientCertificateError{errors.New("no such file")}
			}
		}, CertificateInvalid},
		"the client's certificate is refused": {func(c *tester) {
			served(func(_ *authority, config *tls.Config) {
				config.ClientAuth, config.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
			})(c)
			c.transport.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // only to get as far as the client's
		}, CertificateInvalid},
		"the breaker is open": {func(c *tester) {
			for range breakerFailures {
				attempt{breaker: c.breaker}.failed(c.clock.Now())
			}
			attempt{breaker: c.breaker, trial: true}.failed(c.clock.Now().Add(time.Hour)) // longer than a creation is apart
		}, BreakerOpen},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
			c := connect(t, p)
			c.must("", c.Login(t.Context()))
			tc.prepare(c)
			_, err := c.create()
			c.must(tc.want, err)
			if got := Creation(err); got != CreationNotSent || p.count(createPath) > 0 {
				t.Errorf("%s, %d were sent", got, p.count(createPath))
			}
		})
	}
}

// TestCreationWithoutToken holds that a creation for which there is no token is not sent, whatever the login's answer
// would mean for a creation.
func TestCreationWithoutToken(t *testing.T) {
	refused := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code, "why") }
	}
	for name, login := range map[string]http.HandlerFunc{
		"wrong secret": refused(401, "100208"), "throttled": refused(403, "1010009"), "token": refused(403, "1010005"),
		"task": refused(400, "123016"), "application": refused(403, "100203"), "failed": refused(500, "50252"),
		"no JSON": always(200, "<html>"), "no token": always(200, `{}`),
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(login, nil)
			c := connect(t, p)
			for range 2 { // the second time it may be held back
				_, err := c.CreateTask(t.Context(), requested(), nil)
				if got := Creation(err); got != CreationNotSent || p.count(createPath) > 0 {
					t.Errorf("%v: %s", err, got)
				}
				c.clock.SetTime(later(c.clock.Now().Add(time.Second), c.Status().ThrottledUntil))
			}
			// What one caller is told about its creation is nothing of the others'.
			if e, ok := errors.AsType[*Error](c.Login(t.Context())); ok && e.creation != "" {
				t.Errorf("a login fails as a creation: %+v", e)
			}
		})
	}
	t.Run("no secret", func(t *testing.T) {
		c := connect(t, startPlatform(t), func(o *Options) {
			o.Secret = func() ([]byte, error) { return nil, errors.New("no such Secret") }
		})
		_, err := c.create()
		if c.must(SecretUnreadable, err); Creation(err) != CreationNotSent {
			t.Errorf("%s", Creation(err))
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// TestCreationWithStaleTokens holds that a creation whose tokens all end before its turn is not sent.
func TestCreationWithStaleTokens(t *testing.T) {
	p := startPlatform(t)
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"accessToken":%q,"expiresIn":10}`, p.newToken())
	}, nil)
	c := connect(t, p, func(o *Options) { o.CallsPerMinute = 1 })
	failed := make(chan error, 1)
	go func() {
		_, err := c.CreateTask(context.Background(), requested(), nil)
		failed <- err
	}()
	for {
		select {
		case err := <-failed:
			if c.must(TokenInvalid, err); Creation(err) != CreationNotSent || p.count(createPath) > 0 {
				t.Errorf("%s: %v", Creation(err), err)
			}
			return
		case <-time.After(time.Millisecond):
			if c.clock.HasWaiters() {
				c.clock.Step(15 * time.Second)
			}
		}
	}
}

// TestCreationIsNoTrial holds that a creation is not the call that tries whether a platform works again.
func TestCreationIsNoTrial(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.must("", c.Login(t.Context()))
	p.set(nil, always(http.StatusServiceUnavailable, ""))
	for range breakerFailures {
		c.must(Unexpected, c.list())
	}
	c.clock.SetTime(c.Status().BreakerOpenUntil)
	p.set(nil, nil)
	_, err := c.create()
	c.must(BreakerOpen, err)
	if Creation(err) != CreationNotSent || p.count(createPath) > 0 {
		t.Errorf("%s, sent %d times", Creation(err), p.count(createPath))
	}
	c.must("", c.list())
	p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
	_, err = c.create()
	c.must("", err)
}

// TestCreationInTime holds that the caller's time is that of the waiting, too.
func TestCreationInTime(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.must("", c.Login(t.Context()))
	c.limiter.throttle() // for a minute of a clock that stands still
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, want := range []error{context.DeadlineExceeded, context.DeadlineExceeded} {
		_, err := c.CreateTask(ctx, requested(), func() error { t.Error("asked"); return nil })
		c.must(Canceled, err)
		if Creation(err) != CreationNotSent || !errors.Is(err, want) || p.count(createPath) > 0 {
			t.Errorf("%s: %v", Creation(err), err)
		}
	}
}

// TestCreationMaybeSent holds that from the moment on at which a request was let go nothing is certain any more.
func TestCreationMaybeSent(t *testing.T) {
	t.Run("no answer in time", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		c.must("", c.Login(t.Context()))
		release := make(chan struct{})
		p.set(nil, func(http.ResponseWriter, *http.Request) { <-release })
		defer close(release)
		c.timeout = 5 * time.Second
		_, err := c.create()
		if c.must(Unreachable, err); Creation(err) != CreationUnknown || p.count(createPath) != 1 {
			t.Errorf("%s, sent %d times", Creation(err), p.count(createPath))
		}
	})
	t.Run("the caller gives up", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		p.set(nil, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
		_, err := c.CreateTask(ctx, requested(), nil)
		if c.must(Canceled, err); Creation(err) != CreationUnknown || p.count(createPath) != 1 {
			t.Errorf("%s, sent %d times", Creation(err), p.count(createPath))
		}
	})
	t.Run("the caller gives up within ready", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.CreateTask(ctx, requested(), func() error { cancel(); return nil })
		if c.must(Canceled, err); Creation(err) != CreationUnknown {
			t.Errorf("%s", Creation(err))
		}
	})
	// With TLS 1.3 the client has done its part before the platform looks at its certificate.
	t.Run("the client's certificate is refused", func(t *testing.T) {
		p := startPlatform(t, func(_ *platform, config *tls.Config) {
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			config.MinVersion = tls.VersionTLS13
		})
		c := connect(t, p)
		c.tokens.current = token{value: "token", secret: []byte(testSecret), renewAt: c.clock.Now().Add(time.Hour)}
		c.tokens.current.expires = c.tokens.current.renewAt
		_, err := c.create()
		if Creation(err) != CreationUnknown || len(p.seen()) > 0 {
			t.Errorf("%s, %v", Creation(err), err)
		}
	})
}
