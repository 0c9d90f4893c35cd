// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestServerCertificate(t *testing.T) {
	certificate := func(change func(*x509.Certificate)) func(*platform, *tls.Config) {
		return func(p *platform, config *tls.Config) {
			template := &x509.Certificate{
				DNSNames: []string{"platform.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
				ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			}
			change(template)
			config.Certificates = []tls.Certificate{p.authority.issue(template)}
		}
	}
	unchanged := func(*x509.Certificate) {}
	cases := map[string]struct {
		server func(*platform, *tls.Config)
		client func(*Options)
		want   Kind
		says   string
	}{
		"as it should be": {certificate(unchanged), func(*Options) {}, "", ""},
		"expired": {certificate(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}), func(*Options) {}, CertificateInvalid, "has expired"},
		"not valid yet": {certificate(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		}), func(*Options) {}, CertificateInvalid, "not valid yet"},
		"another authority": {certificate(unchanged), func(o *Options) {
			o.RootCAs = x509.NewCertPool()
		}, CertificateInvalid, "ca.crt"},
		"the system's authorities": {certificate(unchanged), func(o *Options) {
			o.RootCAs = nil
		}, CertificateInvalid, "ca.crt"},
		"another host": {certificate(func(c *x509.Certificate) {
			c.IPAddresses = nil
		}), func(*Options) {}, CertificateInvalid, "serverName"},
		"another host, named": {certificate(func(c *x509.Certificate) {
			c.IPAddresses = nil
		}), func(o *Options) { o.ServerName = "platform.example.com" }, "", ""},
		"the name is another one": {certificate(unchanged), func(o *Options) {
			o.ServerName = "platform.example.org"
		}, CertificateInvalid, "serverName"},
		"only a common name": {certificate(func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = "platform.example.com", nil, nil
		}), func(o *Options) { o.ServerName = "platform.example.com" }, CertificateInvalid, "serverName"},
		"a client's": {certificate(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), func(*Options) {}, CertificateInvalid, "replaced"},
		"TLS 1.2": {func(_ *platform, config *tls.Config) {
			config.MaxVersion = tls.VersionTLS12
		}, func(*Options) {}, "", ""},
		"TLS 1.1": {func(_ *platform, config *tls.Config) {
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, func(*Options) {}, Unreachable, "protocol version"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t, tc.server)
			c := connect(t, p, tc.client)
			e := c.failure(tc.want, c.Login(t.Context()))
			if e != nil && !strings.Contains(e.Message, tc.says) {
				t.Errorf("says %q, want %q in it", e.Message, tc.says)
			}
			if e != nil && len(p.seen()) > 0 {
				t.Error("the secret was sent")
			}
		})
	}
}

// TestClientCertificate holds that the certificate of mutual TLS is shown, and followed when it is renewed.
func TestClientCertificate(t *testing.T) {
	var names []string
	mutual := func(p *platform, config *tls.Config) {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, p.authority.pool()
		config.VerifyConnection = func(state tls.ConnectionState) error {
			names = append(names, state.PeerCertificates[0].Subject.CommonName)
			return nil
		}
	}
	t.Run("renewed", func(t *testing.T) {
		p := startPlatform(t, mutual)
		var current atomic.Pointer[tls.Certificate]
		c := connect(t, p, func(o *Options) {
			o.ClientCertificate = func() (*tls.Certificate, error) { return current.Load(), nil }
		})
		for _, name := range []string{"first", "second"} {
			certificate := p.authority.client(name, time.Now().Add(time.Hour))
			current.Store(&certificate)
			c.must("", c.list())
		}
		if got := strings.Join(names, " "); got != "first first second" {
			t.Errorf("shown were %s, want first for the login and a list, then second", got)
		}
	})
	cases := map[string]struct {
		certificate func(p *platform) (*tls.Certificate, error)
		says        string
	}{
		"expired": {func(p *platform) (*tls.Certificate, error) {
			certificate := p.authority.client("a", time.Now().Add(-time.Hour))
			return &certificate, nil
		}, "client certificate"},
		"another authority's": {func(p *platform) (*tls.Certificate, error) {
			certificate := makeAuthority(p.t).client("a", time.Now().Add(time.Hour))
			return &certificate, nil
		}, "client certificate"},
		"unreadable": {func(*platform) (*tls.Certificate, error) {
			return nil, errors.New("no such Secret")
		}, "no such Secret"},
		"none":      {func(*platform) (*tls.Certificate, error) { return nil, nil }, "there is none"},
		"not given": {nil, "demands a client certificate"},
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, tc := range cases {
			t.Run(tls.VersionName(version)+" "+name, func(t *testing.T) {
				p := startPlatform(t, mutual, func(_ *platform, config *tls.Config) { config.MaxVersion = version })
				c := connect(t, p, func(o *Options) {
					if tc.certificate != nil {
						o.ClientCertificate = func() (*tls.Certificate, error) { return tc.certificate(p) }
					}
				})
				e := c.failure(CertificateInvalid, c.Login(t.Context()))
				if version == tls.VersionTLS13 && !strings.Contains(e.Message, tc.says) || e.Message == "" {
					t.Errorf("says %q, want %q in it", e.Message, tc.says)
				}
				if len(p.seen()) > 0 {
					t.Error("the secret was sent")
				}
			})
		}
	}
}

// TestFallbackRoots holds that there are roots where the system has none. The package that brings them registers itself
// once for a process, so that registering others fails.
func TestFallbackRoots(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no roots were registered")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool())
}
