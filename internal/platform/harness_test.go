// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	testclock "k8s.io/utils/clock/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testAppID    = "iBGxMaIpdrwWHhbBDnHCsgwDNEEa"
	testSecret   = "s3cr3t/ÄÖ&x=1+2 \"quoted\"" //nolint:gosec // a secret with all that is escaped somewhere
	testCallback = "https://receiver.example.com:443/v1.0.0/messageReceiver/pa55word-in-the-path?key=another+secret+word"
)

// platform is a server for one behaviour: it gives tokens as the real one does, and answers all else by a function.
type platform struct {
	*httptest.Server
	t         *testing.T
	authority *authority

	mu       sync.Mutex
	requests []request4test
	logins   int
	token    string
	// onLogin and answer replace what is answered.
	onLogin, answer http.HandlerFunc
}

// request4test is a request as the platform got it.
type request4test struct {
	method, path, query, body, protocol string
	header                              http.Header
	connection                          string
	close                               bool
}

type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func makeAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	own := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	})
	a.certificate, a.key = own.Leaf, own.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue signs a certificate, valid for an hour unless the template says otherwise.
func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	must := func(err error) {
		if err != nil {
			a.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	must(err)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	must(err)
	leaf, err := x509.ParseCertificate(der)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) server(names ...string) tls.Certificate {
	return a.issue(&x509.Certificate{
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func (a *authority) client(name string, until time.Time) tls.Certificate {
	return a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// startPlatform starts a platform with a certificate of its own authority; configure may change its TLS.
func startPlatform(t *testing.T, configure ...func(*platform, *tls.Config)) *platform {
	t.Helper()
	p := &platform{t: t, authority: makeAuthority(t)}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.Config.ErrorLog = nil
	p.TLS = &tls.Config{Certificates: []tls.Certificate{p.authority.server("platform.example.com")}}
	for _, f := range configure {
		f(p, p.TLS)
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *platform) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.requests = append(p.requests, request4test{
		method: r.Method, path: r.URL.EscapedPath(), query: r.URL.RawQuery, body: string(body), protocol: r.Proto,
		header: r.Header, connection: r.RemoteAddr, close: r.Close,
	})
	onLogin, answer, token := p.onLogin, p.answer, p.token
	p.mu.Unlock()
	switch {
	case r.URL.Path == loginPath && onLogin != nil:
		onLogin(w, r)
	case r.URL.Path == loginPath:
		_, _ = fmt.Fprintf(w, `{"accessToken":%q,"tokenType":"bearer","expiresIn":3600}`, p.newToken())
	case r.Header.Get("Authorization") != "Bearer "+token:
		refuse(w, http.StatusForbidden, "1010005", "App_key or access_token is invalid.")
	case answer != nil:
		answer(w, r)
	default:
		_, _ = io.WriteString(w, `{"data":[],"pageNo":0,"pageSize":100,"totalCount":0}`)
	}
}

// newToken ends the token and makes another one, as any login does.
func (p *platform) newToken() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logins++
	p.token = fmt.Sprintf("token-%d-of-the-platform", p.logins)
	return p.token
}

// set changes what is answered.
func (p *platform) set(onLogin, answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onLogin, p.answer = onLogin, answer
}

// seen returns the requests so far.
func (p *platform) seen() []request4test {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// count returns how many requests there were to a path.
func (p *platform) count(path string) int {
	n := 0
	for _, r := range p.seen() {
		if r.path == path {
			n++
		}
	}
	return n
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error_code":%q,"error_desc":%q}`, code, description)
}

func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// tester is a client of a platform, with a clock that stands still.
type tester struct {
	*Client
	t     *testing.T
	clock *testclock.FakeClock
	mu    sync.Mutex
	calls []Call
}

func connect(t *testing.T, p *platform, configure ...func(*Options)) *tester {
	t.Helper()
	c := &tester{t: t, clock: testclock.NewFakeClock(time.Now())}
	o := Options{
		Endpoint: p.URL, AppID: testAppID, Secret: func() ([]byte, error) { return []byte(testSecret), nil },
		RootCAs: p.authority.pool(), CallsPerMinute: maxCallsPerMinute, Clock: c.clock,
		Observe: func(call Call) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.calls = append(c.calls, call)
		},
	}
	for _, f := range configure {
		f(&o)
	}
	var err error
	if c.Client, err = New(o); err != nil {
		t.Fatal(err)
	}
	c.Redact([]byte(testCallback))
	return c
}

// list makes a call, a second after the last one so that the limiter is no matter.
func (c *tester) list() error {
	c.t.Helper()
	c.clock.Step(time.Second)
	_, err := c.Tasks(c.t.Context(), TaskFilter{}, PriorityRound)
	return err
}

// create asks for a task, a minute after the last call so that the limiter is no matter.
func (c *tester) create() (string, error) {
	c.t.Helper()
	c.clock.Step(time.Minute)
	return c.CreateTask(c.t.Context(), requested(), nil)
}

// requested is a request for a task.
func requested() TaskRequest {
	return TaskRequest{PackageID: "package", Targets: Targets{Devices: []string{"d-1", "d-2"}}}
}

// must fails the test unless an error is of a kind; an empty kind is no error.
func (c *tester) must(want Kind, err error) {
	c.t.Helper()
	_ = c.failure(want, err)
}

// failure returns an error that must be of a kind.
func (c *tester) failure(want Kind, err error) *Error {
	c.t.Helper()
	if KindOf(err) != want || (err == nil) != (want == "") {
		c.t.Fatalf("got %v of kind %q, want kind %q", err, KindOf(err), want)
	}
	e, _ := err.(*Error) //nolint:errorlint // what the client returns, unwrapped
	return e
}

// patient lets the clock run, a hundred times as fast as the real one, while somebody waits for it.
func (c *tester) patient() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			time.Sleep(time.Millisecond)
			if c.clock.HasWaiters() {
				c.clock.Step(100 * time.Millisecond)
			}
		}
	}()
	c.t.Cleanup(func() { cancel(); <-done })
}
