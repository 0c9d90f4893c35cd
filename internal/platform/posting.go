// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// posting is a POST that must never be sent twice, and of which it must be known afterwards whether it was sent.
//
// It has a transport of its own, which no other request uses before or after: so its connection is never one that was
// used, on which Go's transport would send some requests again. Nothing follows a redirect. And it is let go once:
// whatever the transport does, to a second connection of the same posting nothing is written.
type posting struct {
	// ready is asked when the connection stands; nil: it is.
	ready func() error
	// sent says that the connection stood and the request was let go: all, some or nothing of it reached the platform.
	sent bool
	// kept is why it was not let go when the connection stood.
	kept error
}

var errShut = errors.New("the request was not let go")

// notReadyError is the error of ready.
type notReadyError struct{ err error }

func (e *notReadyError) Error() string { return e.err.Error() }
func (e *notReadyError) Unwrap() error { return e.err }

// roundTrip sends the request and returns the answer's head. What is not sent when it returns never is.
func (p *posting) roundTrip(shared *http.Transport, req *http.Request) (*http.Response, error) {
	shut := &atomic.Bool{}
	own := shared.Clone()
	own.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := shared.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &gatedConn{Conn: conn, shut: shut}, nil
	}
	ctx := req.Context()
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Go's transport calls this when it has the connection, TLS included, and writes when it has returned.
		GotConn: func(httptrace.GotConnInfo) { shut.Store(!p.letGo(ctx)) },
	}))
	req.Close = true
	req.GetBody = nil // by which the body could be sent again
	response, err := own.RoundTrip(req)
	if p.sent || p.kept == nil {
		return response, err
	}
	if response != nil { // a platform may answer what nobody asked
		_ = response.Body.Close()
	}
	return nil, p.kept
}

// letGo decides whether the request is written, now that the connection stands.
func (p *posting) letGo(ctx context.Context) bool {
	if p.sent {
		return false
	}
	if p.kept = ctx.Err(); p.kept == nil && p.ready != nil {
		if err := p.ready(); err != nil {
			p.kept = &notReadyError{err}
		}
	}
	p.sent = p.kept == nil
	return p.sent
}

// gatedConn is a connection to which nothing is written once it is shut.
type gatedConn struct {
	net.Conn
	shut *atomic.Bool
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if c.shut.Load() {
		return 0, errShut
	}
	return c.Conn.Write(b)
}
