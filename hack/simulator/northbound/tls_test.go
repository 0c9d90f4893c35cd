// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

func TestOnlyTLS(t *testing.T) {
	f := start(t, northbound.Options{})
	stranger := &client{t: t, server: f.Server, http: &http.Client{Transport: &http.Transport{}}}
	if answer := stranger.tryLogin(f.Secret()); answer.err == nil {
		t.Errorf("a client that does not know the authority was answered %d", answer.status)
	}
	plain := strings.Replace(f.URL(), "https", "http", 1)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, plain+operationsPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = f.header()
	response, err := f.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	// Go's server tells a client that it spoke HTTP to it. What counts is that the call did not come through.
	if response.StatusCode != http.StatusBadRequest || f.Report().Calls.ByKind[northbound.CallTasks] != 0 {
		t.Errorf("plain HTTP was answered %d", response.StatusCode)
	}
}

func TestMutualTLS(t *testing.T) {
	pair, authorities := clientCertificate(t)
	server := mustStart(t, northbound.Options{ClientCAs: authorities})

	if answer := newClient(t, server, nil).tryLogin(server.Secret()); answer.err == nil {
		t.Errorf("without a client certificate: %d", answer.status)
	}
	if answer := newClient(t, server, &pair).tryLogin(server.Secret()); answer.status != http.StatusOK {
		t.Errorf("with a client certificate: %d %v", answer.status, answer.err)
	}
}

// clientCertificate makes a client certificate that is its own authority.
func clientCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestCertificateOfOnesOwn(t *testing.T) {
	other := httptest.NewUnstartedServer(nil)
	other.StartTLS()
	defer other.Close()
	server := mustStart(t, northbound.Options{Certificate: &other.TLS.Certificates[0]})
	c := newClient(t, server, nil)
	roots := x509.NewCertPool()
	roots.AddCert(other.Certificate())
	c.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	c.login()
}
