// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
)

// clientCAs are the authorities whose client certificates authenticate. They follow their file.
type clientCAs struct {
	path string
	// read is the content of the file as it was read last.
	read    []byte
	current atomic.Pointer[x509.CertPool]
}

func newClientCAs(path string) (*clientCAs, error) {
	c := &clientCAs{path: path}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads the file again. If it can't be used, the authorities stay as they were. It is not for concurrent use.
func (c *clientCAs) reload() (changes []any, err error) {
	content, err := readBounded(c.path, maxCertificateFileBytes)
	if err != nil {
		return nil, fmt.Errorf("client CA file %s: %w", c.path, err)
	}
	if bytes.Equal(content, c.read) {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("client CA file %s: %w", c.path,
			errors.New("holds no certificate: put the authority's certificates there as PEM"))
	}
	c.read = content
	c.current.Store(pool)
	return []any{"certificates", bytes.Count(content, []byte("-----BEGIN CERTIFICATE-----"))}, nil
}

// verify says whether a client certificate, the first of the given ones, is of one of the authorities and valid now.
// The others may lead from it to the authority. That the sender holds its key was checked in the handshake.
func (c *clientCAs) verify(presented []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, certificate := range presented[1:] {
		between.AddCert(certificate)
	}
	_, err := presented[0].Verify(x509.VerifyOptions{
		Roots: c.current.Load(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// Why a client certificate does not count.
const (
	certificateUnknown = "unknown_authority"
	certificateExpired = "expired"
	certificateUsage   = "usage"
	certificateOther   = "other"
)

// certificateProblems are all that certificateProblem returns.
func certificateProblems() []string {
	return []string{certificateUnknown, certificateExpired, certificateUsage, certificateOther}
}

// certificateProblem names an error of verify in a word.
func certificateProblem(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return certificateUnknown
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			return certificateExpired
		case x509.IncompatibleUsage:
			return certificateUsage
		}
	}
	return certificateOther
}

// tlsConfig serves the certificate. Where authorities are configured it asks for client certificates, but leaves it to
// the authenticator whether one counts: a secret is enough, whatever certificate comes with it.
func tlsConfig(own *certificate, authorities *clientCAs) *tls.Config {
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own.current.Load(), nil },
	}
	if authorities == nil {
		return config
	}
	config.ClientAuth = tls.RequestClientCert
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		present := config.Clone()
		present.GetConfigForClient = nil
		// Senders that have several certificates choose one by the names of the authorities.
		present.ClientCAs = authorities.current.Load()
		return present, nil
	}
	return config
}
