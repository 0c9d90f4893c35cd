// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// slowSenders are more than the webhook has connections, slowSources the addresses that they come from: none of them
	// has more than its share.
	slowSenders, slowSources = 4400, 4
	// slowHeadersFor is how long headers are sent slowly: longer than the webhook waits for them, so that some come again.
	slowHeadersFor = 8 * time.Second
)

// each runs something once for each of many senders at a time.
func each(senders int, run func(n int)) {
	var running sync.WaitGroup
	for n := range senders {
		running.Go(func() { run(n) })
	}
	running.Wait()
}

// slowHeaders sends a line of the headers each second, over all connections that there are, and again when one was
// closed.
func slowHeaders(t *testing.T, w *webhook) {
	ctx, cancel := context.WithTimeout(t.Context(), slowHeadersFor)
	defer cancel()
	each(slowSenders, func(n int) {
		for ctx.Err() == nil {
			c, err := w.dialSender(ctx, source(n%slowSources))
			if err != nil {
				continue // there was no room for it in time
			}
			heard := make(chan reply, 1)
			go func() { heard <- w.hear(c, 0) }()
			_, err = io.WriteString(c, "POST "+callbackPath+"/"+wrongSecret+" HTTP/1.1\r\n")
			for i := 0; err == nil && ctx.Err() == nil && len(heard) == 0; i++ {
				_, err = fmt.Fprintf(c, "X-%d: slow\r\n", i)
				pause(ctx, time.Second)
			}
			halfClose(c) // so that an answer is heard that comes just now
			<-heard
			_ = c.Close()
		}
	})
}

// halfClose tells the other side that nothing more is sent.
func halfClose(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // its error is that the connection is closed
	}
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// slowBodies announces large bodies with a valid secret, sends almost all of them, and waits for what comes.
func slowBodies(t *testing.T, w *webhook) {
	const announced, sent = 65536, 65500
	unfinished := request(secret, fmt.Sprintf("Content-Length: %d\r\n", announced), strings.Repeat("x", sent))
	each(slowSenders, func(n int) {
		for _, status := range w.exchange(t, source(n%slowSources), unfinished, 0).statuses {
			if status != "408" && status != "503" {
				t.Errorf("a body that is not finished was answered %s", status)
			}
		}
	})
	if all := w.answers.all(); all["408"] == 0 || all["503"] == 0 {
		t.Errorf("want some of these bodies waited for, and some refused: %v", all)
	}
}

// slowBodiesOfStrangers announces bodies with a wrong secret, and does not send them.
func slowBodiesOfStrangers(t *testing.T, w *webhook) {
	unfinished := []string{
		request(wrongSecret, "Content-Length: 60000\r\n", "xyz"),
		request(wrongSecret, "Transfer-Encoding: chunked\r\n", "ea60\r\nxyz"),
		request(wrongSecret, "Expect: 100-continue\r\nContent-Length: 60000\r\n", ""),
	}
	each(slowSenders, func(n int) {
		got := w.exchange(t, source(n%slowSources), unfinished[n%len(unfinished)], 0)
		if !got.closed || len(got.statuses) != 1 || got.statuses[0] != "401" {
			t.Errorf("answered %v, closed: %v", got.statuses, got.closed)
		}
	})
}

// slowReads pushes over many connections and reads no answer, until the webhook has closed each of them.
func slowReads(t *testing.T, w *webhook) {
	const readers, pushes = 2, 100000
	one := push(secret, `{"notifyType":"`+strings.Repeat("<", 64)+`"}`) // the answer escapes it
	each(readers, func(n int) {
		c, err := w.dial(t.Context(), source(n%slowSources))
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		_ = c.SetWriteDeadline(time.Now().Add(2 * patience))
		for range pushes {
			if _, err = io.WriteString(c, one); err != nil {
				break
			}
		}
		network, ok := err.(net.Error) //nolint:errorlint // It is the error of this very connection.
		if err == nil || ok && network.Timeout() {
			t.Errorf("a sender that reads nothing was not cut off: %v", err)
		}
	})
}
