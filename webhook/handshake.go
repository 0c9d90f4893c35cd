// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// secureConnection is a connection over TLS. It does the handshake itself, where the server would log a failure with
// the sender's address and count nothing.
type secureConnection struct {
	*connection
	tls       *tls.Conn
	handshake sync.Once
	failed    bool
}

func newSecureConnection(raw net.Conn, l *listener) *secureConnection {
	secured := tls.Server(raw, l.tls)
	return &secureConnection{connection: newConnection(raw, secured, l), tls: secured}
}

// ConnectionState is the state of TLS after the handshake. The server asks for it before it reads.
func (c *secureConnection) ConnectionState() tls.ConnectionState {
	c.shakeHands()
	return c.tls.ConnectionState()
}

// Read implements io.Reader.
func (c *secureConnection) Read(p []byte) (int, error) {
	c.shakeHands()
	if c.failed {
		return 0, io.EOF // the server then answers nothing
	}
	return c.connection.Read(p)
}

// shakeHands does the handshake, counts a failure and ends the connection.
func (c *secureConnection) shakeHands() {
	c.handshake.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		defer cancel()
		err := c.tls.HandshakeContext(ctx)
		if err == nil {
			return
		}
		c.failed, c.spoken = true, true
		kind, hint := handshakeProblem(err)
		details := []any{"kind", kind, "problem", withoutAddresses(err)}
		if hint != "" {
			details = append(details, "hint", hint)
		}
		if kind != handshakeBrokenOff { // as each probe does that only looks whether the port is open
			c.listener.lines.info("handshake "+kind+" "+hint, "A TLS handshake failed", details...)
		}
		c.listener.metrics.handshakeErrors.WithLabelValues(kind).Inc()
		if kind == handshakePlainHTTP {
			_, _ = io.WriteString(c.raw, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"+
				"This port is served over HTTPS.\n")
		}
		_ = c.raw.Close()
	})
}

// Why a handshake failed.
const (
	// handshakePlainHTTP is a request without TLS.
	handshakePlainHTTP = "plain_http"
	// handshakeNotTLS is anything else that is no TLS.
	handshakeNotTLS = "not_tls"
	// handshakeUnsupported is a version, a cipher or a protocol that is not served.
	handshakeUnsupported = "unsupported"
	// handshakeRefused is a sender that refused what it was offered: in most cases it doesn't trust the certificate.
	handshakeRefused = "refused_by_sender"
	// handshakeTimedOut is a sender that took too long.
	handshakeTimedOut = "timeout"
	// handshakeBrokenOff is a sender that closed the connection.
	handshakeBrokenOff = "broken_off"
	handshakeOther     = "other"
)

// handshakeProblems are all that handshakeProblem returns.
func handshakeProblems() []string {
	return []string{
		handshakePlainHTTP, handshakeNotTLS, handshakeUnsupported, handshakeRefused, handshakeTimedOut, handshakeBrokenOff,
		handshakeOther,
	}
}

// hintProxyProtocol says why a connection begins with neither TLS nor a request.
const hintProxyProtocol = "the balancer speaks the PROXY protocol: turn that off"

// handshakeProblem names the error of a handshake in a word. The hint says what may be the cause; it may be empty.
func handshakeProblem(err error) (kind, hint string) {
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		switch begin := string(record.RecordHeader[:]); {
		case beginsLikeHTTP(begin):
			return handshakePlainHTTP, ""
		case begin == "PROXY", begin == "\r\n\r\n\x00": // versions 1 and 2
			return handshakeNotTLS, hintProxyProtocol
		}
		return handshakeNotTLS, ""
	}
	if operation, ok := errors.AsType[*net.OpError](err); ok {
		switch {
		// OpenSSL refuses a certificate over TLS 1.3 with an alert that is not encrypted as the server expects it.
		case operation.Op == "remote error", strings.Contains(operation.Error(), "bad record MAC"):
			return handshakeRefused, "the sender may not trust the certificate"
		case operation.Timeout():
			return handshakeTimedOut, ""
		case operation.Op == "read", operation.Op == "write":
			return handshakeBrokenOff, ""
		}
	}
	switch text := err.Error(); {
	case errors.Is(err, context.DeadlineExceeded):
		return handshakeTimedOut, ""
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return handshakeBrokenOff, ""
	case strings.Contains(text, "unsupported"), strings.Contains(text, "no cipher suite"):
		return handshakeUnsupported, ""
	}
	return handshakeOther, ""
}

// methods are those of HTTP, among them the one that begins HTTP/2.
func methods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace, "PRI",
	}
}

// beginsLikeHTTP says whether the five bytes that should begin TLS begin a request: with a method, of any length, and
// with what it asks for.
func beginsLikeHTTP(begin string) bool {
	return slices.ContainsFunc(methods(), func(method string) bool {
		target, whole := strings.CutPrefix(begin, method+" ")
		return strings.HasPrefix(method+" ", begin) || whole && strings.Contains("/*h", target[:1])
	})
}

// withoutAddresses is the beginning of the text of an error of the network, without the sender's address.
func withoutAddresses(err error) string {
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Err != nil {
		err = operation.Err
	}
	text := err.Error() // some quote what the sender asked for
	return text[:min(len(text), maxProblemBytes)]
}
