// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// clientCAs are the authorities whose client certificates authenticate. They follow their file; connections that are
// open keep what they were authenticated with.
type clientCAs struct {
	path string
	// read is the content of the file as it was read last.
	read    []byte
	current atomic.Pointer[x509.CertPool]
}

func newClientCAs(path string) (*clientCAs, error) {
	c := &clientCAs{path: path}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads the file again. If it can't be used, the authorities stay as they were. It is not for concurrent use.
func (c *clientCAs) reload() error {
	const maxFileBytes = 1 << 20
	content, err := readBounded(c.path, maxFileBytes)
	if err != nil {
		return fmt.Errorf("client CA file %s: %w", c.path, err)
	}
	if bytes.Equal(content, c.read) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return fmt.Errorf("client CA file %s: %w", c.path,
			errors.New("holds no certificate: put the authority's certificates there as PEM"))
	}
	c.read = content
	c.current.Store(pool)
	return nil
}

// certificateFiles are where the server's certificate is expected.
func certificateFiles(folder string) (certificate, key string) {
	return filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
}

// tlsConfig serves the watched certificate and asks for client certificates where authorities are configured.
func tlsConfig(watcher *certwatcher.CertWatcher, authorities *clientCAs) *tls.Config {
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: watcher.GetCertificate,
	}
	if authorities == nil {
		return config
	}
	// A resumed session would carry on a certificate whose authority was removed meanwhile.
	config.SessionTicketsDisabled = true
	// Without a certificate a push may still be authenticated by a secret.
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.ClientCAs = authorities.current.Load()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		own := config.Clone()
		own.GetConfigForClient = nil
		own.ClientCAs = authorities.current.Load()
		return own, nil
	}
	return config
}
