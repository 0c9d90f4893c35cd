// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// certificate is the server's own. It follows its files.
type certificate struct {
	folder string
	clock  clock.PassiveClock
	log    logr.Logger
	// read is the content of the files as they were read last.
	read    []byte
	current atomic.Pointer[tls.Certificate]
	// warnings are given once a day.
	warnings *occasional
}

// newCertificate reads the files. An expired certificate is used nevertheless: senders may not look at it.
func newCertificate(folder string, clk clock.PassiveClock, log logr.Logger) (*certificate, error) {
	c := &certificate{folder: folder, clock: clk, log: log}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads the files again and warns of a certificate that ends. If they can't be used, the certificate stays as it
// was. It is not for concurrent use.
func (c *certificate) reload() (changes []any, err error) {
	changes, err = c.readFiles()
	c.warn()
	return changes, err
}

func (c *certificate) readFiles() (changes []any, err error) {
	failed := func(err error) error {
		return fmt.Errorf("certificate directory %s: needs a matching tls.crt and tls.key: %w", c.folder, err)
	}
	var files [2][]byte
	for i, name := range []string{"tls.crt", "tls.key"} {
		if files[i], err = readBounded(filepath.Join(c.folder, name), maxCertificateFileBytes); err != nil {
			return nil, failed(fmt.Errorf("%s %w", name, err))
		}
	}
	content := slices.Concat(files[0], files[1])
	if bytes.Equal(content, c.read) {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(files[0], files[1])
	if err != nil {
		return nil, failed(err)
	}
	c.read = content
	c.current.Store(&pair)
	c.warnings = newOccasional(c.clock, c.log, warningInterval)
	return []any{"notAfter", pair.Leaf.NotAfter}, nil
}

// warn logs that the certificate has expired, or expires soon.
func (c *certificate) warn() {
	if c.warnings == nil {
		return
	}
	leaf := c.current.Load().Leaf
	left := leaf.NotAfter.Sub(c.clock.Now())
	// Certificates that live for days only are renewed late.
	soon := min(expiryWarning, leaf.NotAfter.Sub(leaf.NotBefore)/5)
	switch {
	case left < 0:
		c.warnings.info("expired", "Served a certificate that has expired: renew it", "notAfter", leaf.NotAfter)
	case left < soon:
		c.warnings.info("expires", "Served a certificate that expires soon: renew it", "notAfter", leaf.NotAfter)
	}
}
