// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bufio"
	"bytes"
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"fwupgrade.io/operator/internal/result"
)

// lineBytes is the memory in which a connection gathers a line of a request's head. Longer lines are passed on in
// parts.
const lineBytes = 1 << 10

// connection is what the HTTP server reads from and writes to. It sees what the server tells nobody: what it answers
// before there is a request to handle. And it reads the heads of requests line by line, since some lines have to be
// changed before the server sees them.
//
// Its fields belong to the goroutine that serves the connection, but for those of the listener.
type connection struct {
	net.Conn // the sender's bytes, decrypted where the callback is served over TLS
	raw      net.Conn
	listener *listener
	// source is whose share the connection is of.
	source netip.Prefix
	// These are the listener's. waiting is its place among those that make room; nil while it has a request. proven is
	// whether it had a request after which it was kept, so that its sender is no stranger.
	closed, proven bool
	waiting        *list.Element

	in *bufio.Reader
	// line is what was read of a line and not passed on yet.
	line    []byte
	framing framing
	// answering is whether what is written is known: the handler's answer, or one of the server that was counted.
	answering bool
	// spoken is whether there ever was an answer, or what went wrong was counted.
	spoken bool
	// idle is whether the server waits for the next request, for as long as a connection is kept, and none was seen to
	// begin.
	idle bool
}

func newConnection(raw, plain net.Conn, l *listener) *connection {
	return &connection{
		Conn: plain, raw: raw, listener: l, source: sourceOf(raw.RemoteAddr()),
		in: bufio.NewReaderSize(plain, lineBytes),
	}
}

// Read implements io.Reader.
func (c *connection) Read(p []byte) (int, error) {
	if len(c.line) == 0 && c.framing.left == 0 {
		if err := c.readLine(); err != nil {
			return 0, err
		}
	}
	if len(c.line) > 0 {
		n := copy(p, c.line)
		c.line = c.line[n:]
		return n, nil
	}
	p = p[:min(int64(len(p)), c.framing.left)]
	from := c.Conn.Read
	if c.in.Buffered() > 0 {
		from = c.in.Read
	}
	n, err := from(p)
	c.framing.left -= int64(n)
	return n, err
}

// readLine reads the next line of the head or of what frames a body, or a part of it. It fails only if it read nothing.
func (c *connection) readLine() error {
	if c.idle {
		if err := c.awaitHead(); err != nil {
			return err
		}
	}
	line, err := c.in.ReadSlice('\n')
	if len(line) == 0 {
		return err
	}
	whole := false
	if mayHoldCoding(line) {
		// Whether the line goes on in the next one, as lines of old did, decides. What is peeked may overwrite it.
		line = bytes.Clone(line)
		next, _ := c.in.Peek(1)
		whole = len(next) == 1 && next[0] != ' ' && next[0] != '\t'
	}
	c.framing.see(line, whole)
	c.line = line
	return nil
}

// awaitHead waits for the next head, which protects the connection from then on, and bounds how long its first line may
// take: the server, which gets whole lines, does not see that it has begun. For the lines after it the server sets a
// deadline of its own. The first bytes of the head may have been passed on already, while the request before it was
// handled: too few of them for the server to see that it has begun.
func (c *connection) awaitHead() error {
	if !c.framing.begun {
		switch first, err := c.in.Peek(1); {
		case err != nil:
			return err
		case first[0] == '\r' || first[0] == '\n':
			return nil // old senders end a body with a line end that is not counted: no head has begun
		}
	}
	c.idle = false
	c.listener.busy(c)
	//nolint:forbidigo // The deadline of a socket is by the kernel's clock.
	return c.SetReadDeadline(time.Now().Add(readHeaderTimeout))
}

// Write implements io.Writer. What is written before the handler has the request is the server's own answer. Over a
// connection that had to make room nobody would hear it.
func (c *connection) Write(p []byte) (int, error) {
	if !c.answering {
		if c.listener.isClosed(c) {
			return 0, net.ErrClosed
		}
		c.answer()
		c.answeredByServer(p)
	}
	return c.Conn.Write(p)
}

// answeredByServer counts an answer of the server and logs its cause: what the answer says, which holds nothing of what
// was sent, and where that is not more than its status, in what of the request the server was.
func (c *connection) answeredByServer(answer []byte) {
	head, problem, _ := strings.Cut(string(answer), "\r\n\r\n")
	if problem == "" {
		line, _, _ := strings.Cut(head, "\r\n")
		_, problem, _ = strings.Cut(line, " ")
	}
	stage := c.framing.stage()
	if problem == "400 Bad Request" {
		problem = stage
	}
	status := c.listener.metrics.answeredByServer(answer)
	c.listener.lines.info("answer "+status+" "+stage, "Turned away a request that can't be read", "status", status,
		"problem", result.Clean(problem, maxProblemBytes))
}

// Close implements io.Closer.
func (c *connection) Close() error {
	defer c.listener.release(c)
	return c.Conn.Close()
}

// answer notes that the present request gets an answer.
func (c *connection) answer() { c.answering, c.spoken = true, true }

// CloseWrite tells the sender that nothing more is sent. The server uses it so that an answer is not lost.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// changed is told the state of the connection by the server.
func (c *connection) changed(state http.ConnState) {
	switch state {
	case http.StateActive:
		c.idle = false
		c.listener.busy(c)
	case http.StateIdle:
		c.answering, c.idle = false, true
		c.listener.rest(c, c.framing.begun) // it has where the sender did not wait for the answer
	case http.StateClosed:
		if !c.spoken {
			c.listener.metrics.silentConnections.Inc()
		}
	}
}

// self is the connection, whatever it is embedded in.
func (c *connection) self() *connection { return c }

// connectionKey is the key under which a request's context has its connection.
type connectionKey struct{}

// withConnection is the context of a connection's requests.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	if own, ok := c.(interface{ self() *connection }); ok {
		return context.WithValue(ctx, connectionKey{}, own.self())
	}
	return ctx
}

// connectionOf returns the connection over which a request came.
func connectionOf(r *http.Request) (*connection, bool) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	return c, ok
}

// isLast says whether the connection has to be closed after a request, of which the body was read: because where it
// ends can be read in two ways, or because it is not known to this side.
func isLast(r *http.Request) bool {
	c, ok := connectionOf(r)
	return ok && (c.framing.ambiguous || c.framing.lost)
}

// lacksLength says whether a push is of HTTP/1.0 and nobody knows how long its body is. The server takes that for an
// empty one, and what was sent would be lost.
func lacksLength(r *http.Request) bool {
	c, ok := connectionOf(r)
	return ok && c.framing.unframed && r.Method == http.MethodPost && !r.ProtoAtLeast(1, 1)
}

// stateChanged tells a connection its state.
func stateChanged(c net.Conn, state http.ConnState) {
	if own, ok := c.(interface{ self() *connection }); ok {
		own.self().changed(state)
	}
}

// sourceOf is the address of a sender; of IPv6 the network, since one sender has a whole one.
func sourceOf(address net.Addr) netip.Prefix {
	const networkBits = 64
	parsed, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := parsed.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = networkBits
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
