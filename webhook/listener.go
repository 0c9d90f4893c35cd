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
// can't take all of them. A connection beyond a limit takes the place of the one that has been idle the longest, be it
// that it waits for its next request or that it has not sent a byte yet. If none is idle, one beyond the share of its
// source is closed, and one beyond the limit of all waits until another one ends or becomes idle, and what comes after
// it waits in the kernel's backlog.
type listener struct {
	net.Listener
	// tls is how the callback is served; nil for plain HTTP.
	tls *tls.Config
	// limit and share are how many connections there may be, in all and of one source.
	limit, share int
	metrics      *metrics
	lines        *occasional

	mu sync.Mutex
	// freed is told when a connection was closed or became idle, or the listener was closed.
	freed    *sync.Cond
	closed   bool
	total    int
	bySource map[netip.Prefix]int
	// idle are the connections that wait for a request, the one that has waited the longest first.
	idle list.List
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
	own := func(other *connection) bool { return other.source == c.source }
	if l.bySource[c.source] >= l.share && !l.closeIdle(own) {
		l.metrics.connectionLimits.WithLabelValues(limitRefused).Inc()
		l.lines.info("share", "Closed a connection, as its source has as many as one may have", "source", c.source.String(),
			"connections", l.share)
		return false
	}
	whosever := func(*connection) bool { return true }
	if l.total >= l.limit && !l.closeIdle(whosever) {
		l.metrics.connectionLimits.WithLabelValues(limitWaited).Inc()
		l.lines.info("full", "Let connections wait, as all are taken", "connections", l.limit)
	}
	for l.total >= l.limit && !l.closed {
		if !l.closeIdle(whosever) {
			l.freed.Wait()
		}
	}
	if l.closed {
		return false
	}
	l.bySource[c.source]++
	l.total++
	l.metrics.connections.Set(float64(l.total))
	c.idle = l.idle.PushBack(c)
	return true
}

// closeIdle closes the connection that has been idle the longest of those that match; false if none is idle.
func (l *listener) closeIdle(matches func(*connection) bool) bool {
	for e := l.idle.Front(); e != nil; e = e.Next() {
		oldest, ok := e.Value.(*connection)
		if !ok || !matches(oldest) {
			continue
		}
		l.metrics.connectionLimits.WithLabelValues(limitReplaced).Inc()
		l.remove(oldest)
		_ = oldest.raw.Close() // whoever serves it sees that, and closes it in turn
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
	l.forgetIdle(c)
	if l.bySource[c.source]--; l.bySource[c.source] == 0 {
		delete(l.bySource, c.source)
	}
	l.total--
	l.metrics.connections.Set(float64(l.total))
	l.freed.Broadcast()
}

// rest notes that a connection waits for its next request.
func (l *listener) rest(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.closed && c.idle == nil {
		c.idle = l.idle.PushBack(c)
		l.freed.Broadcast()
	}
}

// busy notes that a request has begun.
func (l *listener) busy(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetIdle(c)
}

func (l *listener) forgetIdle(c *connection) {
	if c.idle != nil {
		l.idle.Remove(c.idle)
		c.idle = nil
	}
}
