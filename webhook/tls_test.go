// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// authority is a certificate authority of a test.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func makeAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.certificate, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign makes a key and a certificate for it; without a certificate of its own the authority signs itself.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) pem() string { return certificatePEM(a.certificate) }

func certificatePEM(certificate *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
}

// server writes a server certificate into a folder, valid for an hour.
func (a *authority) server(folder, name string) {
	a.t.Helper()
	a.serverUntil(folder, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

func (a *authority) serverUntil(folder, name string, from, until time.Time) {
	a.t.Helper()
	certificate, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: from, NotAfter: until,
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	overwrite(a.t, filepath.Join(folder, "tls.crt"), certificatePEM(certificate))
	overwrite(
		a.t,
		filepath.Join(folder, "tls.key"),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	)
}

// client makes a client certificate, valid for an hour.
func (a *authority) client(name string, usage x509.ExtKeyUsage) *tls.Certificate {
	a.t.Helper()
	return a.clientUntil(name, usage, time.Now().Add(time.Hour))
}

func (a *authority) clientUntil(name string, usage x509.ExtKeyUsage, until time.Time) *tls.Certificate {
	a.t.Helper()
	certificate, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until,
	})
	return &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

// trust has the test's client believe the authority and present the certificate, if there is one, whatever the server
// asks for.
func (r *testReceiver) trust(a *authority, certificate *tls.Certificate) {
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	r.client.CloseIdleConnections()
	r.client.Transport = &http.Transport{TLSClientConfig: config}
}

// A client certificate of a configured authority authenticates the bare path. Any other certificate is no certificate:
// it costs neither the connection nor a right secret, and why it doesn't count is counted.
func TestHTTPS(t *testing.T) {
	ca, strangers := makeAuthority(t, "platform"), makeAuthority(t, "strangers")
	folder := t.TempDir()
	ca.server(folder, "callback")
	r := startReceiver(t, func(o *Options) {
		o.CertDir, o.ClientCAFile = folder, writeFile(t, "ca.crt", ca.pem())
	})
	good := ca.client("platform", x509.ExtKeyUsageClientAuth)
	stranger := strangers.client("platform", x509.ExtKeyUsageClientAuth)
	forServers := ca.client("platform", x509.ExtKeyUsageServerAuth)
	expired := ca.clientUntil("platform", x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Minute))
	// One who knows the authority's name has not its key.
	twin := makeAuthority(t, "platform").client("platform", x509.ExtKeyUsageClientAuth)
	bare, withSecret := DefaultCallbackPath, DefaultCallbackPath+"/"+testSecret
	cases := map[string]struct {
		certificate *tls.Certificate
		path        string
		want        int
		// refused is why the certificate is counted as refused.
		refused string
	}{
		"certificate":                       {good, bare, 200, ""},
		"certificate, a slash at the end":   {good, bare + "/", 200, ""},
		"a stranger's, a slash at the end":  {stranger, bare + "/", 401, certificateUnknown},
		"certificate and secret":            {good, withSecret, 200, ""},
		"certificate and wrong secret":      {good, bare + "/wrong", 401, ""},
		"nothing":                           {nil, bare, 401, ""},
		"secret alone":                      {nil, withSecret, 200, ""},
		"a stranger's certificate":          {stranger, bare, 401, certificateUnknown},
		"a stranger's and a secret":         {stranger, withSecret, 200, ""},
		"a stranger's and a wrong secret":   {stranger, bare + "/wrong", 401, ""},
		"a certificate for a server":        {forServers, bare, 401, certificateUsage},
		"one for a server and a secret":     {forServers, withSecret, 200, ""},
		"an expired certificate":            {expired, bare, 401, certificateExpired},
		"an expired one and a secret":       {expired, withSecret, 200, ""},
		"a certificate for another path":    {good, "/", 404, ""},
		"a stranger's, by another instance": {twin, bare, 401, certificateUnknown},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r.trust(ca, tc.certificate)
			before := r.metric("fwupgrade_webhook_client_certificates_refused_total")
			if got := r.send("POST", tc.path, push("d")); got.status != tc.want {
				t.Errorf("want %d, got %d", tc.want, got.status)
			}
			refused := r.metric("fwupgrade_webhook_client_certificates_refused_total") - before
			if (refused == 1) != (tc.refused != "") {
				t.Errorf("counted %v times as refused", refused)
			}
			if tc.refused != "" && r.metric("fwupgrade_webhook_client_certificates_refused_total", tc.refused) == 0 {
				t.Errorf("not counted as %s", tc.refused)
			}
		})
	}
	if n := r.metric("fwupgrade_webhook_tls_handshake_errors_total"); n != 0 {
		t.Errorf("%v handshakes failed", n)
	}
}

func TestNoCertificateWithoutAuthority(t *testing.T) {
	ca := makeAuthority(t, "platform")
	folder := t.TempDir()
	ca.server(folder, "callback")
	r := startReceiver(t, func(o *Options) { o.CertDir = folder })
	r.trust(ca, ca.client("platform", x509.ExtKeyUsageClientAuth))
	if got := r.send("POST", DefaultCallbackPath, push("d")); got.status != 401 {
		t.Errorf("got %d", got.status)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	ca := makeAuthority(t, "platform")
	folder := t.TempDir()
	ca.server(folder, "callback")
	r := startReceiver(t, func(o *Options) { o.CertDir = folder })
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		dialer := &tls.Dialer{Config: &tls.Config{
			InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"},
		}}
		connection, err := dialer.DialContext(t.Context(), "tcp", r.Addr().String())
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err != nil {
			continue
		}
		if secured, ok := connection.(*tls.Conn); !ok || secured.ConnectionState().NegotiatedProtocol != "http/1.1" {
			t.Errorf("%s: HTTP/1.1 was not negotiated", tls.VersionName(version))
		}
		_ = connection.Close()
	}
}

func TestCertificateIsReloaded(t *testing.T) {
	ca, next := makeAuthority(t, "platform"), makeAuthority(t, "next")
	folder := t.TempDir()
	ca.server(folder, "first")
	r := startReceiver(t, func(o *Options) { o.CertDir = folder })
	path := DefaultCallbackPath + "/" + testSecret
	r.trust(ca, nil)
	if got := r.send("POST", path, push("d")); got.status != 200 {
		t.Fatalf("got %d", got.status)
	}
	next.server(folder, "second")
	r.trust(next, nil)
	eventually(t, "the new certificate is served", func() bool {
		got, err := r.try("POST", path, push("d"))
		return err == nil && got.status == 200
	})
}

func TestClientAuthoritiesAreReloaded(t *testing.T) {
	clk := testclock.NewFakeClock(startTime())
	ca, next := makeAuthority(t, "platform"), makeAuthority(t, "next")
	folder, file := t.TempDir(), writeFile(t, "ca.crt", ca.pem())
	ca.server(folder, "callback")
	r := startReceiver(t, func(o *Options) { o.Clock, o.CertDir, o.ClientCAFile, o.SecretsFile = clk, folder, file, "" })
	old, renewed := ca.client("a", x509.ExtKeyUsageClientAuth), next.client("b", x509.ExtKeyUsageClientAuth)
	accepted := func(certificate *tls.Certificate) bool {
		r.trust(ca, certificate) // also forgets open connections
		got, err := r.try("POST", DefaultCallbackPath, `{"notifyType":"x"}`)
		return err == nil && got.status == 200
	}
	if !accepted(old) || accepted(renewed) {
		t.Fatal("the first authority is not the one that counts")
	}
	overwrite(t, file, ca.pem()+next.pem())
	eventually(t, "both authorities count", func() bool {
		clk.Step(reloadInterval)
		return accepted(renewed) && accepted(old)
	})
	overwrite(t, file, next.pem())
	eventually(t, "the first authority is forgotten", func() bool {
		clk.Step(reloadInterval)
		return !accepted(old) && accepted(renewed)
	})
	overwrite(t, file, "no certificate")
	eventually(t, "the mistake is noticed", func() bool {
		clk.Step(reloadInterval)
		return strings.Contains(r.logs.text(), "holds no certificate")
	})
	if !accepted(renewed) {
		t.Error("after a mistake in the file the authority is forgotten")
	}
}

// A connection that was opened with the certificate of an authority that is removed meanwhile authenticates no more.
func TestRemovedAuthorityEndsOpenConnections(t *testing.T) {
	clk := testclock.NewFakeClock(startTime())
	ca, next := makeAuthority(t, "platform"), makeAuthority(t, "next")
	folder, file := t.TempDir(), writeFile(t, "ca.crt", ca.pem())
	ca.server(folder, "callback")
	r := startReceiver(t, func(o *Options) { o.Clock, o.CertDir, o.ClientCAFile, o.SecretsFile = clk, folder, file, "" })
	r.trust(ca, ca.client("a", x509.ExtKeyUsageClientAuth))
	status := func() int { return r.send("POST", DefaultCallbackPath, `{"notifyType":"x"}`).status }
	if got := status(); got != 200 {
		t.Fatalf("got %d", got)
	}
	overwrite(t, file, next.pem())
	eventually(t, "the authority is forgotten", func() bool { clk.Step(reloadInterval); return status() == 401 })
	if text := r.logs.text(); !strings.Contains(text, `"Reloaded" "file"="client_ca" "certificates"=1`) {
		t.Errorf("the change was not logged:\n%s", text)
	}
}
