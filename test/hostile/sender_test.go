// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// patience bounds what a test waits for; it is never reached unless something is broken.
const patience = 60 * time.Second

// sources are the addresses of those who attack: each has its share of the connections. The honest ones have another.
func source(n int) string { return fmt.Sprintf("127.0.0.%d", 10+n) }

const honestSource = "127.0.0.2"

// dial opens a connection from a loopback address.
func (w *webhook) dial(ctx context.Context, from string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return dialer.DialContext(ctx, "tcp", w.CallbackAddress)
}

// dialSender opens a connection for pushes: over TLS where the webhook serves it.
func (w *webhook) dialSender(ctx context.Context, from string) (net.Conn, error) {
	c, err := w.dial(ctx, from)
	if err != nil || w.tls == nil {
		return c, err
	}
	secured := tls.Client(c, w.tls.clientConfig())
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secured, nil
}

// reply is what came back over a connection.
type reply struct {
	statuses []string
	text     string
	// closed is whether the webhook closed the connection.
	closed bool
}

// exchange sends bytes over a new connection and reads until the webhook closes it or, where it is to be kept, until so
// many answers came and for a short while longer. What came is counted.
func (w *webhook) exchange(t *testing.T, from, request string, kept int) reply {
	t.Helper()
	c, err := w.dialSender(t.Context(), from)
	if err != nil {
		t.Error(err) // many of these run at a time, outside of the test's own goroutine
		return reply{}
	}
	defer func() { _ = c.Close() }()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(c, request) // its error is that the webhook has enough
	}()
	got := w.hear(c, kept)
	_ = c.Close()
	<-sent
	return got
}

// hear reads what comes over a connection, as exchange does.
func (w *webhook) hear(c net.Conn, kept int) reply {
	const while = 300 * time.Millisecond
	var received []byte
	var got reply
	buffer := make([]byte, 16<<10)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		n, err := c.Read(buffer)
		received = append(received, buffer[:n]...)
		if err != nil {
			network, ok := err.(net.Error) //nolint:errorlint // It is the error of this very connection.
			got.closed = !ok || !network.Timeout()
			break
		}
		if kept > 0 && len(statusesIn(received)) >= kept {
			_ = c.SetReadDeadline(time.Now().Add(while))
		}
	}
	got.statuses, got.text = statusesIn(received), string(received)
	w.answers.add(got.statuses...)
	return got
}

// notification is a result of a device, as the platform writes it.
func notification(operation, device, status string) string {
	return fmt.Sprintf(`{"notifyType":"fwUpgradeResultNotify","deviceId":%q,"appId":"app","operationId":%q,`+
		`"subOperationId":"sub","curVersion":"1.6","targetVersion":"1.6","sourceVersion":"1.3","status":%q,`+
		`"statusDesc":"Invalid URI","upgradeTime":"12"}`, device, operation, status)
}

// request is a push with a secret, header lines beside Host, and a body.
func request(key, lines, body string) string {
	return "POST " + callbackPath + "/" + key + " HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n" + body
}

// push is a push with the length of its body.
func push(key, body string) string {
	return request(key, fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
}

// nameOf makes the name of a test one of an object.
func nameOf(t *testing.T) string {
	name := strings.ToLower(t.Name()[strings.LastIndex(t.Name(), "/")+1:])
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name), "-")
}
