// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"fwupgrade.io/operator/hack/local"
)

const certificateLife = 24 * time.Hour

// authority signs the certificates of the cluster.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes one, and writes ca.crt and the keys of service accounts to the folder.
func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "node-test"}, key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	a := &authority{dir: dir, cert: ca, key: key}
	if err := os.WriteFile(a.path("ca.crt"), a.pem(), 0o600); err != nil {
		return nil, err
	}
	accounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of service accounts: %w", err)
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(accounts)
	if err != nil {
		return nil, fmt.Errorf("encode the key of service accounts: %w", err)
	}
	return a, os.WriteFile(a.path("accounts.key"), encoded, 0o600)
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: a.cert.Raw})
}

// issue writes <name>.crt and <name>.key, for clients and servers.
func (a *authority) issue(name, user, group string, hosts ...string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the key of %s: %w", name, err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: user},
		NotBefore:    a.cert.NotBefore,
		NotAfter:     time.Now().Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der})
	if key, err = keyutil.MarshalPrivateKeyToPEM(private); err != nil {
		return nil, nil, fmt.Errorf("encode the key of %s: %w", name, err)
	}
	if err := os.WriteFile(a.path(name+".crt"), certificate, 0o600); err != nil {
		return nil, nil, err
	}
	return certificate, key, os.WriteFile(a.path(name+".key"), key, 0o600)
}

// kubeconfig issues a client certificate and writes a kubeconfig with it.
func (a *authority) kubeconfig(name, user, group string) (*rest.Config, error) {
	certificate, key, err := a.issue(name, user, group)
	if err != nil {
		return nil, err
	}
	config := &rest.Config{
		Host: apiServerURL,
		TLSClientConfig: rest.TLSClientConfig{
			CAData: a.pem(), CertData: certificate, KeyData: key,
		},
		QPS: -1, // no limit of the client's own
	}
	return config, local.WriteKubeconfig(config, a.path(name+".kubeconfig"))
}
