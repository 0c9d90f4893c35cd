// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// connect opens a connection from a local address; it is closed with the test.
func (r *testReceiver) connect(from string) net.Conn {
	r.t.Helper()
	dialer := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.DialContext(r.t.Context(), "tcp", r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// isClosed says whether the other side closes the connection within a time.
func isClosed(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// pushOver pushes over a connection, which stays open, and returns the status line of the answer.
func pushOver(t *testing.T, c net.Conn, device string) string {
	t.Helper()
	body := push(device)
	request, err := http.NewRequest(http.MethodPost, "http://h"+DefaultCallbackPath+"/"+testSecret, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := request.Write(c); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	answer, err := http.ReadResponse(bufio.NewReader(c), request)
	if err != nil {
		return err.Error()
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.Status
}

// A source that holds its share of unfinished requests gets no more of them, and keeps nobody else out.
func TestSourceHasAShareOfTheConnections(t *testing.T) {
	r := startReceiver(t, func(o *Options) { o.ConnectionsPerSource = 3 })
	for range 3 {
		c := r.connect("127.0.0.1")
		if _, err := io.WriteString(c, headers("Expect: 100-continue\r\nContent-Length: 1\r\n", "")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // the beginning of "Continue"
			t.Fatal(err)
		}
	}
	eventually(t, "they are counted", func() bool { return r.metric("fwupgrade_webhook_connections") == 3 })
	if !isClosed(r.connect("127.0.0.1"), time.Second) {
		t.Error("a connection beyond the share of its source stays open")
	}
	if got := pushOver(t, r.connect("127.0.0.2"), "d"); got != "200 OK" {
		t.Errorf("another source: %s", got)
	}
	if n := r.metric("fwupgrade_webhook_connection_limits_total", limitRefused); n != 1 {
		t.Errorf("counted %v times", n)
	}
	if n := strings.Count(r.logs.text(), "its source has as many"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// A connection over which nothing came yet makes room for a new one.
func TestNewConnectionReplacesASilentOne(t *testing.T) {
	r := startReceiver(t, func(o *Options) { o.ConnectionsPerSource = 2 })
	first := r.connect("127.0.0.1")
	eventually(t, "it is counted", func() bool { return r.metric("fwupgrade_webhook_connections") == 1 })
	second, third := r.connect("127.0.0.1"), r.connect("127.0.0.1")
	if !isClosed(first, readHeaderTimeout/2) {
		t.Error("the silent connection stays open")
	}
	for _, c := range []net.Conn{second, third} {
		if got := pushOver(t, c, "d"); got != "200 OK" {
			t.Errorf("a later one: %s", got)
		}
	}
}

// A connection whose first head has begun and not ended makes room, too, and nothing is answered or counted over it;
// one over which a push came before does not, while the next one comes.
func TestNewConnectionReplacesASlowHead(t *testing.T) {
	r := startReceiver(t, func(o *Options) { o.ConnectionsPerSource = 2 })
	known := r.connect("127.0.0.1")
	if got := pushOver(t, known, "d"); got != "200 OK" {
		t.Fatal(got)
	}
	slow := r.connect("127.0.0.1")
	for _, c := range []net.Conn{known, slow} {
		if _, err := io.WriteString(c, headers("", "")[:10]); err != nil {
			t.Fatal(err)
		}
	}
	if isClosed(slow, 300*time.Millisecond) {
		t.Fatal("closed before there was a need")
	}
	if got := pushOver(t, r.connect("127.0.0.1"), "d"); got != "200 OK" {
		t.Errorf("the new connection: %s", got)
	}
	if !isClosed(slow, readHeaderTimeout/2) {
		t.Error("the slow one stays open")
	}
	if _, err := io.WriteString(known, headers("Content-Length: 0\r\n", "")[10:]); err != nil {
		t.Error(err)
	}
	if line, err := bufio.NewReader(known).ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("the known one: %q, %v", line, err)
	}
	if n := r.metric("fwupgrade_webhook_server_answers_total"); n != 0 {
		t.Errorf("%v answers were counted", n)
	}
}

// Where all connections are taken, a source that holds many does not drive out the idle ones of a source that holds
// few; one that holds no more does.
func TestCrowdDoesNotDriveOutTheFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		l := newListener(make(pipes), nil, 3, m, newOccasional(clock.RealClock{}, (&logBook{}).logger(), lineInterval))
		l.limit = 3
		arrive := func(source byte) (*connection, chan bool) {
			raw := &pipe{source: source}
			c, admitted := newConnection(raw, raw, l), make(chan bool, 1)
			go func() { admitted <- l.admit(c) }()
			synctest.Wait()
			return c, admitted
		}
		few, _ := arrive(1)
		few.changed(http.StateActive)
		few.changed(http.StateIdle)
		for range 2 {
			crowd, _ := arrive(2)
			crowd.changed(http.StateActive)
		}
		_, third := arrive(2)
		if len(third) != 0 || l.isClosed(few) {
			t.Error("another one of the crowd did not wait")
		}
		few.changed(http.StateActive) // it is served meanwhile
		few.changed(http.StateIdle)
		if _, other := arrive(3); len(other) != 1 || !l.isClosed(few) {
			t.Error("one of another source waits")
		}
		_ = l.Close()
		<-third
	})
}

// A connection that waits for its next push makes room for a new one.
func TestNewConnectionReplacesTheLongestIdle(t *testing.T) {
	r := startReceiver(t, func(o *Options) { o.ConnectionsPerSource = 2 })
	first, second := r.connect("127.0.0.1"), r.connect("127.0.0.1")
	for _, c := range []net.Conn{first, second} {
		if got := pushOver(t, c, "d"); got != "200 OK" {
			t.Fatal(got)
		}
	}
	eventually(t, "both are idle", func() bool { return r.metric("fwupgrade_webhook_connections") == 2 })
	if got := pushOver(t, r.connect("127.0.0.1"), "d"); got != "200 OK" {
		t.Errorf("the new connection: %s", got)
	}
	if !isClosed(first, patience) {
		t.Error("the connection that was idle the longest stays open")
	}
	if got := pushOver(t, second, "d"); got != "200 OK" {
		t.Errorf("the other idle one: %s", got)
	}
	if n := r.metric("fwupgrade_webhook_connection_limits_total", limitReplaced); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

// The connections of all senders together are bounded: one more waits until another one ends, or becomes idle and makes
// room. It is counted, and logged once a minute.
func TestConnectionsOfAllAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := &logBook{}
		registry := prometheus.NewRegistry()
		m, err := newMetrics(registry)
		if err != nil {
			t.Fatal(err)
		}
		incoming := make(pipes)
		l := newListener(incoming, nil, 2, m, newOccasional(clock.RealClock{}, logs.logger(), lineInterval))
		l.limit = 2
		accepted := make(chan net.Conn)
		ended := make(chan error, 1)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				accepted <- c
			}
		}()
		var open []net.Conn
		arrive := func() {
			incoming <- &pipe{source: byte(len(open))}
			synctest.Wait()
		}
		serve := func() { // so that it is busy
			c, _ := (<-accepted).(*connection)
			c.changed(http.StateActive)
			open = append(open, c)
		}
		for range 2 {
			arrive()
			serve()
		}
		for oldest := range 3 {
			arrive()
			select {
			case <-accepted:
				t.Fatal("a connection beyond the limit is served")
			default:
			}
			for range 2 { // closing twice counts once
				_ = open[oldest].Close()
			}
			serve()
		}
		if n := strings.Count(logs.text(), "all are taken"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, logs.text())
		}
		r := &testReceiver{t: t, registry: registry}
		if n := r.metric("fwupgrade_webhook_connection_limits_total", limitWaited); n != 3 {
			t.Errorf("counted %v times", n)
		}
		arrive()
		last, _ := open[len(open)-1].(*connection)
		last.changed(http.StateIdle)
		serve() // in its place
		if n := r.metric("fwupgrade_webhook_connection_limits_total", limitReplaced); n != 1 {
			t.Errorf("replaced %v", n)
		}
		if n := r.metric("fwupgrade_webhook_connections"); n != 2 {
			t.Errorf("%v connections", n)
		}
		arrive()
		_ = l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	})
}

// pipes are connections that are to be accepted, each of a source of its own.
type pipes chan *pipe

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return nil }

// pipe is a connection of which only the ends are used.
type pipe struct {
	net.Conn
	source byte
}

func (p *pipe) Close() error { return nil }

func (p *pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, p.source)} }

// One sender has a whole network of IPv6, and one address of IPv4, however it is written.
func TestSourceOfAConnection(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":          "192.0.2.1/32",
		"::ffff:192.0.2.1":   "192.0.2.1/32",
		"2001:db8:1:2:3::4":  "2001:db8:1:2::/64",
		"2001:db8:1:2:ff::1": "2001:db8:1:2::/64",
	} {
		if got := sourceOf(&net.TCPAddr{IP: net.ParseIP(address), Port: 5}).String(); got != want {
			t.Errorf("%s: want %s, got %s", address, want, got)
		}
	}
	if got := sourceOf(&net.UnixAddr{Name: "x"}); got.IsValid() {
		t.Errorf("got %s", got)
	}
}

// A connection is kept idle for as long as the option says. By default that is longer than load balancers keep theirs.
func TestIdleTimeout(t *testing.T) {
	r := startReceiver(t, func(o *Options) { o.IdleTimeout = time.Second })
	c := r.connect("127.0.0.1")
	if got := pushOver(t, c, "d"); got != "200 OK" {
		t.Fatal(got)
	}
	if isClosed(c, 500*time.Millisecond) {
		t.Error("closed too early")
	}
	if !isClosed(c, patience) {
		t.Error("never closed")
	}
	if got := (Options{}).withDefaults().IdleTimeout; got <= 600*time.Second {
		t.Errorf("by default %s", got)
	}
}

// One who sends nothing, or no end of the headers, holds a connection for readHeaderTimeout and is counted.
func TestSilentConnectionsEndSoon(t *testing.T) {
	r := startReceiver(t, nil)
	start := time.Now()
	silent, half := r.connect("127.0.0.1"), r.connect("127.0.0.1")
	if _, err := half.Write([]byte("POST / HTTP/1.1\r\nHost: h\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{silent, half} {
		if !isClosed(c, patience) {
			t.Error("stays open")
		}
	}
	if took := time.Since(start); took < readHeaderTimeout || took > 2*readHeaderTimeout+time.Second {
		t.Errorf("took %s", took)
	}
	eventually(t, "both are counted", func() bool { return r.metric("fwupgrade_webhook_silent_connections_total") == 2 })
}

// The log of the HTTP server says once a minute that connections can't be accepted, and nothing that was sent.
func TestServerLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := &logBook{}
		l := serverLog{lines: newOccasional(clock.RealClock{}, logs.logger(), lineInterval)}
		write := func(line string) {
			if _, err := l.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			write("http: Accept error: accept tcp [::]:8443: accept4: too many open files; retrying in 5ms\n")
			write("http: panic serving 192.0.2.1:5: " + testSecret + "\ngoroutine 1 [running]:\n")
		}
		time.Sleep(lineInterval)
		write("http: Accept error: again; retrying in 5ms\n")
		text := logs.text()
		if n := strings.Count(text, "Could not accept connections"); n != 2 || !strings.Contains(text, "too many open") {
			t.Errorf("logged %d times:\n%s", n, text)
		}
		if !strings.Contains(text, `"leftOut"=4`) {
			t.Errorf("doesn't say how many lines were left out:\n%s", text)
		}
		if n := strings.Count(text, "Recovered"); n != 1 || strings.Contains(text, testSecret) {
			t.Errorf("the panic was logged %d times:\n%s", n, text)
		}
	})
}
