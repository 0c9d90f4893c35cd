// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
)

// listener accepts connections within two limits: of all, and of each source, so that one sender who is silent or slow
// can't take all of them. A connection beyond a limit takes the place of the one that has waited the longest, be it for
// its next request or for the whole head of its first one: strangers may take their time with that. One that waits for
// its next request makes room only if its source has no fewer connections than the new one's, so that a crowd can't
// drive out the connections that the platform keeps. If there is none to make room, one beyond the share of its source
// is closed, and one beyond the limit of all waits until another one ends or makes room, and what comes after it waits
// in the kernel's backlog.
type listener struct {
	net.Listener
	// tls is how the callback is served; nil for plain HTTP.
	tls *tls.Config
	// limit and share are how many connections there may be, in all and of one source.
	limit, share int
	metrics      *metrics
	lines        *occasional

	mu sync.Mutex
	// freed is told when a connection was closed or waits for its next request, or the listener was closed.
	freed    *sync.Cond
	closed   bool
	total    int
	bySource map[netip.Prefix]int
	// waiting are the connections that wait for the whole head of their first request, or for their next request; the one
	// that has waited the longest goes first.
	waiting list.List
}

func newListener(inner net.Listener, secure *tls.Config, share int, m *metrics, lines *occasional) *listener {
	l := &listener{
		Listener: inner, tls: secure, limit: maxConnections, share: share, metrics: m, lines: lines,
		bySource: map[netip.Prefix]int{},
	}
	l.freed = sync.NewCond(&l.mu)
	return l
}

// Accept implements net.Listener. It is called by one goroutine.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.tls == nil {
			if c := newConnection(raw, raw, l); l.admit(c) {
				return c, nil
			}
		} else if c := newSecureConnection(raw, l); l.admit(c.connection) {
			return c, nil
		}
		_ = raw.Close() // its error is that of a connection that is not wanted
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.freed.Broadcast()
	l.mu.Unlock()
	return l.Listener.Close()
}

// admit counts a connection in, as soon as there is room for it. It says no if there is none for its source.
func (l *listener) admit(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bySource[c.source] >= l.share && !l.makeRoom(c, true) {
		l.metrics.connectionLimits.WithLabelValues(limitRefused).Inc()
		l.lines.info("share", "Closed a connection, as its source has as many as one may have", "source", c.source.String(),
			"connections", l.share)
		return false
	}
	if l.total >= l.limit && !l.makeRoom(c, false) {
		l.metrics.connectionLimits.WithLabelValues(limitWaited).Inc()
		l.lines.info("full", "Let connections wait, as all are taken", "connections", l.limit)
	}
	for l.total >= l.limit && !l.closed {
		if !l.makeRoom(c, false) {
			l.freed.Wait()
		}
	}
	if l.closed {
		return false
	}
	l.bySource[c.source]++
	l.total++
	l.metrics.connections.Set(float64(l.total))
	c.waiting = l.waiting.PushBack(c)
	return true
}

// makeRoom closes a connection in favour of a new one, of the same source if ownOnly is set; false if none is to make
// room.
func (l *listener) makeRoom(c *connection, ownOnly bool) bool {
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		other, ok := e.Value.(*connection)
		if !ok || ownOnly && other.source != c.source || other.proven && l.bySource[other.source] < l.bySource[c.source] {
			continue
		}
		l.metrics.connectionLimits.WithLabelValues(limitReplaced).Inc()
		l.remove(other)
		_ = other.raw.Close() // whoever serves it sees that, and closes it in turn
		return true
	}
	return false
}

// release counts a connection out, once.
func (l *listener) release(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
}

func (l *listener) remove(c *connection) {
	if c.closed {
		return
	}
	c.closed = true
	l.stopWaiting(c)
	if l.bySource[c.source]--; l.bySource[c.source] == 0 {
		delete(l.bySource, c.source)
	}
	l.total--
	l.metrics.connections.Set(float64(l.total))
	l.freed.Broadcast()
}

// isClosed says whether a connection was counted out.
func (l *listener) isClosed(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.closed
}

// rest notes that a request was answered and the connection kept. It waits for its next request, unless that has begun.
func (l *listener) rest(c *connection, begun bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.proven = true
	if !begun && !c.closed && c.waiting == nil {
		c.waiting = l.waiting.PushBack(c)
		l.freed.Broadcast()
	}
}

// busy notes that a connection has a request.
func (l *listener) busy(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopWaiting(c)
}

func (l *listener) stopWaiting(c *connection) {
	if c.waiting != nil {
		l.waiting.Remove(c.waiting)
		c.waiting = nil
	}
}
