// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	// idleConnections are opened, from so many sources.
	idleConnections, idleSources = 10000, 8
	// idleFor is how long they stay open, unless the webhook closes them.
	idleFor = 6 * time.Second
	// maxConnections is how many the webhook serves at a time.
	maxConnections = 4096
)

// idleStrangers opens connections and sends nothing.
func idleStrangers(t *testing.T, w *webhook) {
	crowd(t, w, "")
}

// idleHolders opens connections, pushes once over each of them, and keeps it.
func idleHolders(t *testing.T, w *webhook) {
	crowd(t, w, push(secret, `{"notifyType":"ping"}`))
}

// crowd opens connections one after the other, sends the same over each, and leaves them open for a while.
func crowd(t *testing.T, w *webhook, sent string) {
	t.Helper()
	var open []net.Conn
	for n := range idleConnections {
		c, err := w.dial(t.Context(), source(n%idleSources))
		must(t, err)
		defer func() { _ = c.Close() }()
		if sent != "" {
			if _, err := io.WriteString(c, sent); err != nil {
				continue // it had to make room already
			}
			if got := w.hearOne(c); got != "" && got != "200" {
				t.Errorf("answered %s", got)
			}
		}
		open = append(open, c)
	}
	series := w.series(t)
	if n := series["fwupgrade_webhook_connections"]; n > maxConnections {
		t.Errorf("%v connections are open", n)
	}
	if n := series[`fwupgrade_webhook_connection_limits_total{outcome="replaced"}`]; n == 0 {
		t.Error("no connection made room for another one")
	}
	time.Sleep(idleFor)
	t.Logf("%d of %d connections were opened", len(open), idleConnections)
}

// hearOne reads one answer, whose connection is kept, and counts it. It is empty if none came.
func (w *webhook) hearOne(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 4<<10)
	n, _ := c.Read(buffer) // an answer is small: it comes at once or not at all
	statuses := statusesIn(buffer[:n])
	w.answers.add(statuses...)
	return strings.Join(statuses, " ")
}
