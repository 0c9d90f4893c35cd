// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A TLS handshake that fails is counted by its kind and logged with its cause, without the sender's address, once a
// minute. One who only opens and closes the port is counted and not logged. Requests without TLS are told what is
// wrong.
func TestFailedHandshakesAreSeen(t *testing.T) {
	ca := makeAuthority(t, "platform")
	folder := t.TempDir()
	ca.server(folder, "callback")
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	overTLS := func(change func(*tls.Config)) func(*testReceiver) string {
		config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
		change(config)
		return func(r *testReceiver) string {
			c := tls.Client(r.connect("127.0.0.1"), config)
			if err := c.HandshakeContext(r.t.Context()); err != nil {
				return err.Error()
			}
			_, err := c.Read(make([]byte, 1)) // with TLS 1.3 the server refuses after the client is done
			return err.Error()
		}
	}
	raw := func(text string) func(*testReceiver) string {
		return func(r *testReceiver) string { return dial(r.t, r.Addr(), text) }
	}
	cases := map[string]struct {
		try  func(*testReceiver) string
		kind string
		// cause is what is logged.
		cause string
		// answer begins what the sender gets.
		answer string
	}{
		"a sender that doesn't trust the certificate": {
			overTLS(func(c *tls.Config) { c.RootCAs = nil }), handshakeRefused, "bad certificate", "",
		},
		"an old version": {
			overTLS(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
			handshakeUnsupported, "unsupported versions", "",
		},
		"no cipher in common": {
			overTLS(func(c *tls.Config) {
				c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
			}),
			handshakeUnsupported, "no cipher suite", "",
		},
		"HTTP/2 alone": {
			overTLS(func(c *tls.Config) { c.NextProtos = []string{"h2"} }),
			handshakeUnsupported, "unsupported application protocols", "",
		},
		"a sender of TLS 1.3 that refuses without encryption": {
			func(r *testReceiver) string {
				config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
				_ = tls.Client(garbled{r.connect("127.0.0.1")}, config).HandshakeContext(r.t.Context())
				return ""
			}, handshakeRefused, "may not trust the certificate", "",
		},
		"plain DELETE":      {raw("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n"), handshakePlainHTTP, "", "HTTP/1.1 400 Bad Request"},
		"plain PATCH":       {raw("PATCH / HTTP/1.1\r\nHost: h\r\n\r\n"), handshakePlainHTTP, "", "HTTP/1.1 400 Bad Request"},
		"plain GET":         {raw("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), handshakePlainHTTP, "", "HTTP/1.1 400 Bad Request"},
		"plain OPTIONS":     {raw("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), handshakePlainHTTP, "", "HTTP/1.1 400 Bad Request"},
		"GET of a database": {raw("GET counter\r\n"), handshakeNotTLS, "", ""},
		"an unknown method": {raw("GO / HTTP/1.1\r\nHost: h\r\n\r\n"), handshakeNotTLS, "", ""},
		"SMTP":              {raw("EHLO example.com\r\n"), handshakeNotTLS, "", ""},
		"old SMTP":          {raw("HELO example.com\r\n"), handshakeNotTLS, "", ""},
		"PROXY protocol":    {raw("PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n"), handshakeNotTLS, hintProxyProtocol, ""},
		"PROXY protocol, version 2": {
			raw("\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c"), handshakeNotTLS, hintProxyProtocol, "",
		},
		"plain HTTP/2":       {raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), handshakePlainHTTP, "", "HTTP/1.1 400 Bad Request"},
		"letters":            {raw("hello world"), handshakeNotTLS, "", ""},
		"plain HTTP":         {raw("POST / HTTP/1.1\r\nHost: h\r\n\r\n"), handshakePlainHTTP, "", "HTTP/1.1 400 Bad Request"},
		"something else":     {raw("SSH-2.0-OpenSSH_9.2\r\n"), handshakeNotTLS, "", ""},
		"opened and closed":  {raw(""), handshakeBrokenOff, "", ""},
		"half a handshake":   {raw("\x16\x03\x01\x00\x80\x01"), handshakeBrokenOff, "", ""},
		"a sender too quiet": {quiet, handshakeTimedOut, "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := startReceiver(t, func(o *Options) { o.CertDir = folder })
			for range 2 {
				if got := tc.try(r); !strings.HasPrefix(got, tc.answer) {
					t.Errorf("the sender got %q", got)
				}
			}
			eventually(t, "both are counted as "+tc.kind, func() bool {
				return r.metric("fwupgrade_webhook_tls_handshake_errors_total", tc.kind) == 2
			})
			if hinted := strings.Contains(r.logs.text(), hintProxyProtocol); hinted != (tc.cause == hintProxyProtocol) {
				t.Errorf("hint at the PROXY protocol: %v", hinted)
			}
			if n := r.metric("fwupgrade_webhook_tls_handshake_errors_total"); n != 2 {
				t.Errorf("counted %v times in all", n)
			}
			logged := 1
			if tc.kind == handshakeBrokenOff {
				logged = 0
			}
			text := r.logs.text()
			if n := strings.Count(text, "A TLS handshake failed"); n != logged || !strings.Contains(text, tc.cause) {
				t.Errorf("logged %d times:\n%s", n, text)
			}
			_, line, _ := strings.Cut(text, "A TLS handshake failed")
			if strings.Contains(line, "127.0.0.1") {
				t.Errorf("the sender's address was logged:\n%s", text)
			}
			if n := r.metric("fwupgrade_webhook_silent_connections_total"); n != 0 {
				t.Errorf("%v connections are counted twice", n)
			}
			if n := r.metric("fwupgrade_webhook_server_answers_total"); n != 0 {
				t.Errorf("%v answers are counted twice", n)
			}
		})
	}
}

// garbled is a connection over which nothing encrypted arrives as it was sent. To the server it looks like the alert of
// an OpenSSL that refuses a certificate.
type garbled struct{ net.Conn }

func (g garbled) Write(p []byte) (int, error) {
	const greeting = 0x16 // the only record that is not encrypted and says something
	if p[0] != greeting {
		p = bytes.Clone(p)
		p[len(p)-1] ^= 1
	}
	return g.Conn.Write(p)
}

// quiet begins nothing and waits until it is thrown out.
func quiet(r *testReceiver) string {
	c := r.connect("127.0.0.1")
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, _ := io.ReadAll(c)
	return string(got)
}
