// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"fwupgrade.io/operator/test/harness"
)

// handshakeShape is how a sender begins over TLS.
type handshakeShape struct {
	// change changes how an honest sender begins.
	change func(c *tls.Config)
	// instead is what is sent where nothing of TLS is.
	instead string
	// path is to what is pushed where the handshake succeeds: the secret of the webhook, or nothing.
	path string
	// status is the one answer; empty for none.
	status string
	// counted is the series that counts it, beside the answers.
	counted string
}

const handshakeErrors = "fwupgrade_webhook_tls_handshake_errors_total"

func handshakeShapes(t *testing.T, ours *authority) map[string]handshakeShape {
	t.Helper()
	other := newAuthority(t, "others")
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	with := func(certificate *tls.Certificate) func(*tls.Config) {
		return func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
		}
	}
	version := func(version uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
	}
	protocols := func(names ...string) func(*tls.Config) { return func(c *tls.Config) { c.NextProtos = names } }
	refused := func(reason string) string {
		return fmt.Sprintf("fwupgrade_webhook_client_certificates_refused_total{reason=%q}", reason)
	}
	failed := func(kind string) string { return fmt.Sprintf("%s{kind=%q}", handshakeErrors, kind) }
	return map[string]handshakeShape{
		"a right secret":                          {path: "/" + secret, status: "200"},
		"a certificate of ours":                   {change: with(ours.client(t, soon)), status: "200"},
		"one that expired":                        {change: with(ours.client(t, past)), status: "401", counted: refused("expired")},
		"one of another CA":                       {change: with(other.client(t, soon)), status: "401", counted: refused("unknown_authority")},
		"one of another CA beside a secret":       {change: with(other.client(t, soon)), path: "/" + secret, status: "200"},
		"one that expired beside a secret":        {change: with(ours.client(t, past)), path: "/" + secret, status: "200"},
		"one of another CA beside a wrong secret": {change: with(other.client(t, soon)), path: "/" + wrongSecret, status: "401"},
		"no certificate":                          {status: "401"},
		"a CA that is not ours": {
			change: func(c *tls.Config) { c.RootCAs = other.clientConfig().RootCAs }, counted: failed("refused_by_sender"),
		},
		"TLS 1.0":            {change: version(tls.VersionTLS10), counted: failed("unsupported")},
		"TLS 1.1":            {change: version(tls.VersionTLS11), counted: failed("unsupported")},
		"HTTP/2 alone":       {change: protocols("h2"), counted: failed("unsupported")},
		"an odd protocol":    {change: protocols("\x1b[2J\u202e\u200b\n\x00"), counted: failed("unsupported")},
		"plain HTTP":         {instead: push(secret, "{}"), status: "400", counted: failed("plain_http")},
		"HTTP/2 in plain":    {instead: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status: "400", counted: failed("plain_http")},
		"the PROXY protocol": {instead: "PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n" + push(secret, "{}"), counted: failed("not_tls")},
		"nonsense":           {instead: "\x1b[2J\u202e nonsense", counted: failed("not_tls")},
		"half a hello":       {instead: "\x16\x03\x01\x02\x00\x01", counted: failed("timeout")},
	}
}

// handshakes begins in all these ways, each a few times.
func handshakes(t *testing.T, w *webhook) {
	const times = 3
	for name, shape := range handshakeShapes(t, w.tls) {
		t.Run(name, func(t *testing.T) {
			before := w.series(t)
			each(times, func(n int) {
				if got := w.begin(t, source(n), shape); got != shape.status {
					t.Errorf("want %q, got %q", shape.status, got)
				}
			})
			if shape.counted != "" {
				harness.Eventually(t, func() string {
					if n := w.series(t)[shape.counted] - before[shape.counted]; n != times {
						return fmt.Sprintf("%s grew by %v, not by %d", shape.counted, n, times)
					}
					return ""
				})
			}
			w.checkCountedBeside(t)
		})
	}
	checkOneLineOfAKind(t, w.log.String())
}

// begin begins as the shape says, pushes if it may, and returns the statuses of what came back.
func (w *webhook) begin(t *testing.T, from string, shape handshakeShape) string {
	t.Helper()
	c, err := w.dial(t.Context(), from)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	if shape.instead != "" {
		_, _ = io.WriteString(c, shape.instead) // its error is that the webhook has enough
		return strings.Join(w.hear(c, 0).statuses, " ")
	}
	config := w.tls.clientConfig()
	if shape.change != nil {
		shape.change(config)
	}
	secured := tls.Client(c, config)
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := secured.HandshakeContext(t.Context()); err != nil {
		return ""
	}
	sent := strings.Replace(push("", `{"notifyType":"ping"}`), callbackPath+"/", callbackPath+shape.path, 1)
	_, _ = io.WriteString(secured, sent)
	return strings.Join(w.hear(secured, 1).statuses, " ")
}

// checkOneLineOfAKind holds that what strangers do is logged once, or twice where a minute begins anew meanwhile.
func checkOneLineOfAKind(t *testing.T, log string) {
	t.Helper()
	times := map[string]int{}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "handshake") || strings.Contains(line, "client certificate") {
			_, said, _ := strings.Cut(line, `"msg":`)
			times[said]++
		}
	}
	if len(times) < 5 {
		t.Errorf("the log tells of few problems:\n%s", log)
	}
	for line, n := range maps.All(times) {
		if n > 2 {
			t.Errorf("logged %d times: %s", n, line)
		}
	}
}

// A certificate of the server that has expired is served, as senders may not look at it, and told: by the metric that
// says when, and by a line of the log.
func TestExpiredCertificateIsTold(t *testing.T) {
	ours := newAuthority(t, "ours")
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	w := startWebhook(t, ours.serverArgsUntil(t, past)...)
	w.tls = ours
	careless := handshakeShape{path: "/" + secret, change: func(c *tls.Config) { c.InsecureSkipVerify = true }}
	if got := w.begin(t, source(0), careless); got != "200" {
		t.Errorf("one who does not look at it: %q", got)
	}
	if got := w.begin(t, source(0), handshakeShape{path: "/" + secret}); got != "" {
		t.Errorf("one who looks at it: %q", got)
	}
	harness.Eventually(t, func() string { // it is counted when it is logged
		if w.series(t)[handshakeErrors+`{kind="refused_by_sender"}`] != 1 {
			return "who refuses it is not counted"
		}
		return ""
	})
	series := w.series(t)
	if at := series["fwupgrade_webhook_certificate_expiry_timestamp_seconds"]; at != float64(past.Unix()) {
		t.Errorf("it expired at %d, the metric says %v", past.Unix(), at)
	}
	if n := strings.Count(w.log.String(), "Served a certificate that has expired"); n != 1 {
		t.Errorf("%d lines tell of it:\n%s", n, w.log)
	}
	w.checkCounted(t)
}
