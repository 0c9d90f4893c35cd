// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

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
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is a certificate authority, for servers and for clients.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes an authority that signed itself.
func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	pair := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour),
	})
	a.certificate = pair.Leaf
	a.key, _ = pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// issue makes a key and signs a certificate of it.
func (a *authority) issue(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// client makes a client's certificate that is valid until a time.
func (a *authority) client(t *testing.T, until time.Time) *tls.Certificate {
	t.Helper()
	pair := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "a sender"}, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return &pair
}

// serverArgs are the arguments of a webhook that serves a certificate of this authority.
func (a *authority) serverArgs(t *testing.T) []string {
	t.Helper()
	return a.serverArgsUntil(t, time.Now().Add(time.Hour))
}

// serverArgsUntil are these arguments for a certificate that is valid until a time. Clients are asked for theirs.
func (a *authority) serverArgsUntil(t *testing.T, until time.Time) []string {
	t.Helper()
	pair := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "the callback"}, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"tls.key": {Type: "PRIVATE KEY", Bytes: key},
		"ca.crt":  {Type: "CERTIFICATE", Bytes: a.certificate.Raw},
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	return []string{"--callback-cert-dir=" + dir, "--callback-client-ca-file=" + filepath.Join(dir, "ca.crt")}
}

// clientConfig is how a sender reaches a server of this authority.
func (a *authority) clientConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}
