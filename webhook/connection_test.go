// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// headers makes a push with the given header lines beside Host.
func headers(lines, body string) string {
	return "POST " + DefaultCallbackPath + "/" + testSecret + " HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n" + body
}

// A push whose Transfer-Encoding names "identity", which is no coding, is stored as any other one, however the line is
// written and in whatever parts it arrives. Nothing else is taken out of a head.
func TestTransferEncodingIdentity(t *testing.T) {
	body := push("d")
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	cases := map[string]struct {
		request string
		want    string
	}{
		"before the length":     {headers("Transfer-Encoding: identity\r\n"+length, body), "200 OK"},
		"after the length":      {headers(length+"Transfer-Encoding: identity\r\n", body), "200 OK"},
		"other case":            {headers(length+"transfer-encoding:IDENTITY\r\n", body), "200 OK"},
		"blanks":                {headers(length+"Transfer-Encoding: \t identity \t\r\n", body), "200 OK"},
		"line feeds alone":      {strings.ReplaceAll(headers(length+"Transfer-Encoding: identity\r\n", body), "\r\n", "\n"), "200 OK"},
		"before chunked":        {headers("Transfer-Encoding: identity, chunked\r\n", chunked), "200 OK"},
		"a line beside chunked": {headers("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", chunked), "200 OK"},
		"after a long line": {
			headers("X-Long: "+strings.Repeat("x", 3*lineBytes)+"\r\nTransfer-Encoding: identity\r\n"+length, body), "200 OK",
		},
		"chunked":               {headers("Transfer-Encoding: chunked\r\n", chunked), "200 OK"},
		"within a long line":    {headers("X: "+strings.Repeat("x", lineBytes-3)+"Transfer-Encoding: identity\r\n"+length, body), "200 OK"},
		"gzip":                  {headers("Transfer-Encoding: gzip\r\n"+length, body), "501 Not Implemented"},
		"gzip, identity":        {headers("Transfer-Encoding: gzip, identity\r\n"+length, body), "501 Not Implemented"},
		"chunked twice":         {headers("Transfer-Encoding: chunked, chunked\r\n", chunked), "501 Not Implemented"},
		"continued":             {headers("Transfer-Encoding: identity\r\n , chunked\r\n", chunked), "501 Not Implemented"},
		"a blank in the name":   {headers("Transfer-Encoding : identity\r\n"+length, body), "400 Bad Request"},
		"within a longer name":  {headers("X-Transfer-Encoding: identity\r\n"+length, body), "200 OK"},
		"empty":                 {headers(length+"Transfer-Encoding:\r\n", body), "200 OK"},
		"empty before a length": {headers("Transfer-Encoding: \t \r\n"+length, body), "200 OK"},
		"two empty ones":        {headers("Transfer-Encoding: ,\r\n"+length, body), "200 OK"},
		"with a parameter":      {headers(length+"Transfer-Encoding: identity;q=1\r\n", body), "200 OK"},
		"blanks in a parameter": {headers(length+"Transfer-Encoding: Identity ; q=0.5 ,\r\n", body), "200 OK"},
		"parameter and chunked": {headers("Transfer-Encoding: identity;q=1, chunked\r\n", chunked), "200 OK"},
		"empty and chunked":     {headers("Transfer-Encoding: , chunked ,\r\n", chunked), "200 OK"},
		"a line empty":          {headers("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", chunked), "200 OK"},
		"gzip with a parameter": {headers("Transfer-Encoding: gzip;q=1\r\n"+length, body), "501 Not Implemented"},
		"empty, continued":      {headers("Transfer-Encoding:\r\n chunked, chunked\r\n", chunked), "501 Not Implemented"},
		"no body and no length": {headers("Transfer-Encoding: identity\r\n", ""), "200 OK"},
	}
	r := startReceiver(t, nil)
	for name, tc := range cases {
		for _, size := range []int{len(tc.request), 1} {
			t.Run(fmt.Sprintf("%s by %d", name, size), func(t *testing.T) {
				c := r.connect("127.0.0.1")
				for part := range parts(tc.request, size) {
					if _, err := io.WriteString(c, part); err != nil {
						break // it is refused already
					}
				}
				_ = c.SetReadDeadline(time.Now().Add(patience))
				line, err := bufio.NewReader(c).ReadString('\n')
				if want := "HTTP/1.1 " + tc.want; !strings.HasPrefix(line, want) {
					t.Errorf("want %q, got %q, %v", want, line, err)
				}
			})
		}
	}
}

// parts cuts a text into parts of a size.
func parts(text string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// Each push over a connection is read as the first one is, whether or not the sender waits for the answers before, in
// whatever parts the bytes arrive, and whatever the bodies look like.
func TestPushesOverAKeptConnection(t *testing.T) {
	r := startReceiver(t, nil)
	var requests []string
	for i := range 40 {
		// Bodies longer and shorter than what is read at a time, without a line feed, and like a head.
		body := push(fmt.Sprintf("%d", i))
		switch i % 4 {
		case 1:
			body = "\r\n\r\nTransfer-Encoding: identity\r\n\r\n" + body
		case 2:
			body += strings.Repeat(" ", lineBytes*3/2)
		}
		length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
		switch i % 5 {
		case 0, 1:
			requests = append(requests, headers("Transfer-Encoding: identity\r\n"+length, body))
		case 2:
			requests = append(requests, headers(length, body)+"\r\n") // one line end too many, as old senders do
		case 3:
			half := len(body) / 2
			requests = append(requests, headers("Transfer-Encoding: chunked\r\n", fmt.Sprintf(
				"%x;name=value\r\n%s\r\n%X\r\n%s\r\n0\r\nX-Trailer: identity\r\n\r\n",
				half, body[:half], len(body)-half, body[half:])))
		case 4:
			requests = append(requests, headers("Transfer-Encoding: identity, chunked\r\n",
				fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)))
		}
	}
	all := strings.Join(requests, "")
	for name, by := range map[string][]string{
		"one after the other": requests,
		"at once":             {all},
		"by 7":                slices.Collect(parts(all, 7)),
		"by 700":              slices.Collect(parts(all, 700)),
	} {
		t.Run(name, func(t *testing.T) {
			c := r.connect("127.0.0.1")
			_ = c.SetReadDeadline(time.Now().Add(patience))
			reader := bufio.NewReader(c)
			sent := make(chan error, 1)
			answered := make(chan struct{}, len(requests))
			go func() {
				for _, part := range by {
					if _, err := io.WriteString(c, part); err != nil {
						sent <- err
						return
					}
					if len(by) == len(requests) {
						<-answered
					}
				}
				sent <- nil
			}()
			for i := range requests {
				answer, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatalf("push %d: %v", i, err)
				}
				content, _ := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					t.Errorf("push %d: %d %s", i, answer.StatusCode, content)
				}
				answered <- struct{}{}
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}

// A body is passed on as it is, also where it looks like headers.
func TestBodyIsNotChanged(t *testing.T) {
	r := startReceiver(t, nil)
	body := "x\r\n\r\nTransfer-Encoding: identity\r\n\r\n"
	if got := r.send("POST", DefaultCallbackPath+"/"+testSecret, body); got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	stored := storedIn(t, r.namespace)
	if len(stored.rejected) != 1 || stored.rejected[0].Body != body {
		t.Errorf("stored %+v", stored.rejected)
	}
}

// After a request that gives the length of its body in two ways the connection is closed; after one that gives it once,
// be it beside "identity", it is kept.
func TestTwoLengthsEndTheConnection(t *testing.T) {
	r := startReceiver(t, nil)
	body := push("d")
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for name, tc := range map[string]struct {
		request string
		closed  bool
	}{
		"both": {
			headers(length+"Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)), true,
		},
		"length":          {headers(length, body), false},
		"beside identity": {headers(length+"Transfer-Encoding: identity\r\n", body), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.connect("127.0.0.1")
			if _, err := io.WriteString(c, tc.request); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK || answer.Close != tc.closed {
				t.Errorf("got %d, closed: %v", answer.StatusCode, answer.Close)
			}
		})
	}
}

// After a request whose end this side can't find itself the connection is closed, since what follows would be passed on
// unseen: a second length among it, too.
func TestConnectionEndsWhereItsFramingIsLost(t *testing.T) {
	r := startReceiver(t, nil)
	body := push("d")
	long := strings.Repeat("x", 2*lineBytes)
	for name, request := range map[string]string{
		"a folded length": headers(fmt.Sprintf("Content-Length:\r\n %d\r\n", len(body)), body),
		"a long length":   headers(fmt.Sprintf("Content-Length: %*d\r\n", 2*lineBytes, len(body)), body),
		"a long extension": headers("Transfer-Encoding: chunked\r\n",
			fmt.Sprintf("%x;x=%s\r\n%s\r\n0\r\n\r\n", len(body), long, body)),
	} {
		t.Run(name, func(t *testing.T) {
			c := r.connect("127.0.0.1")
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK || !answer.Close {
				t.Errorf("got %d, closed: %v", answer.StatusCode, answer.Close)
			}
		})
	}
}

// A push of HTTP/1.0 of which that version doesn't know how long its body is, is answered 400, since the server takes
// the body for an empty one: nothing is answered 200 of which nothing is kept.
func TestPushWithoutALength(t *testing.T) {
	body := push("d")
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	old := func(request string) string { return strings.Replace(request, "HTTP/1.1", "HTTP/1.0", 1) }
	cases := map[string]struct {
		request string
		status  string
		results int
	}{
		"chunked":               {old(headers("Transfer-Encoding: chunked\r\n", chunked)), "400 Bad Request", 0},
		"chunked with a length": {old(headers(length+"Transfer-Encoding: chunked\r\n", chunked)), "400 Bad Request", 0},
		"no length":             {old(headers("", body)), "400 Bad Request", 0},
		"identity alone":        {old(headers("Transfer-Encoding: identity\r\n", body)), "400 Bad Request", 0},
		"a length":              {old(headers(length, body)), "200 OK", 1},
		"identity and length":   {old(headers("Transfer-Encoding: identity\r\n"+length, body)), "200 OK", 1},
		"chunked, HTTP/1.1":     {headers("Transfer-Encoding: chunked\r\n", chunked), "200 OK", 1},
		"chunked, HTTP/1.2": {
			strings.Replace(headers("Transfer-Encoding: chunked\r\n", chunked), "HTTP/1.1", "HTTP/1.2", 1), "200 OK", 1,
		},
		"a probe": {"GET /healthz HTTP/1.0\r\n\r\n", "200 OK", 0},
		"a stranger": {
			strings.Replace(old(headers("", body)), testSecret, "wrong", 1), "401 Unauthorized", 0,
		},
		"a stranger on another path": {
			strings.Replace(old(headers("", body)), DefaultCallbackPath, "/x", 1), "404 Not Found", 0,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := startReceiver(t, nil)
			if _, got, _ := strings.Cut(dial(t, r.Addr(), tc.request), " "); got != tc.status {
				t.Errorf("want %s, got %s", tc.status, got)
			}
			if stored := storedIn(t, r.namespace); len(stored.results) != tc.results || len(stored.rejected) != 0 {
				t.Errorf("stored %+v", stored)
			}
			want := 0.0
			if tc.status == "400 Bad Request" {
				want = 1
			}
			eventually(t, "it is counted and logged", func() bool {
				return r.metric("fwupgrade_webhook_notifications_total", "no_length") == want &&
					strings.Contains(r.logs.text(), "the body needs a Content-Length, or HTTP/1.1") == (want == 1)
			})
			if n := r.metric("fwupgrade_webhook_server_answers_total"); n != 0 {
				t.Errorf("counted %v times as the server's own", n)
			}
		})
	}
}

// One who sends such a body to its end gets to read the answer, and no reset.
func TestWhoGivesNoLengthReadsTheAnswer(t *testing.T) {
	r := startReceiver(t, nil)
	for path, status := range map[string]string{"/" + testSecret: "400 Bad Request", "/wrong": "401 Unauthorized"} {
		for range 5 {
			connection := connect(t, r.Addr(), "POST "+DefaultCallbackPath+path+" HTTP/1.0\r\nHost: h\r\n\r\n")
			if _, err := connection.Write([]byte(strings.Repeat("x", 60000))); err != nil {
				t.Fatal(err)
			}
			answer, took := heard(t, connection)
			if !strings.HasPrefix(answer, "HTTP/1.0 "+status) || took > 2*time.Second {
				t.Errorf("after %s: %q", took, answer)
			}
		}
	}
}

// What the HTTP server answers by itself, before there is a push to handle, is counted by its status, and its cause is
// logged once a minute, without anything secret; what the handler answers is not.
func TestServersOwnAnswersAreCounted(t *testing.T) {
	cases := map[string]struct {
		request string
		// status is what is answered and counted.
		status string
		// problem is what is logged.
		problem string
	}{
		"no HTTP":            {"nonsense\r\n\r\n", "400", "the request line can't be read"},
		"a blank in a path":  {strings.Replace(headers("", ""), " HTTP", " x HTTP", 1), "400", "the request line can't be read"},
		"PROXY protocol":     {"PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n" + headers("", ""), "400", hintProxyProtocol},
		"no header":          {headers(testSecret+"\r\n", ""), "400", "a header line can't be read"},
		"odd length":         {headers("Content-Length: x\r\n", ""), "400", "Content-Length or Host can't be read"},
		"no host":            {"GET / HTTP/1.1\r\n\r\n", "400", "400 Bad Request: missing required Host header"},
		"unknown coding":     {headers("Transfer-Encoding: gzip\r\n", ""), "501", "Unsupported transfer encoding"},
		"large headers":      {headers("X: "+strings.Repeat("x", 2*maxHeaderBytes)+"\r\n", ""), "431", "431 Request Header Fields Too Large"},
		"odd expectation":    {headers("Expect: nothing\r\nContent-Length: 0\r\n", ""), "417", "417 Expectation Failed"},
		"another protocol":   {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", "505", "unsupported protocol version"},
		"a stranger's path":  {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "", ""},
		"a probe":            {"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "", ""},
		"an awaited body":    {headers("Expect: 100-continue\r\nContent-Length: 1\r\n", "x"), "", ""},
		"a refused password": {"POST " + DefaultCallbackPath + "/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := startReceiver(t, nil)
			got := dial(t, r.Addr(), tc.request)
			if tc.status == "" {
				if n := r.metric("fwupgrade_webhook_server_answers_total"); n != 0 {
					t.Errorf("%s is counted %v times", got, n)
				}
				return
			}
			if !strings.HasPrefix(got, "HTTP/1.1 "+tc.status+" ") {
				t.Errorf("answered %q", got)
			}
			eventually(t, "it is counted", func() bool {
				return r.metric("fwupgrade_webhook_server_answers_total", tc.status) == 1
			})
			dial(t, r.Addr(), tc.request)
			eventually(t, "it is counted again", func() bool {
				return r.metric("fwupgrade_webhook_server_answers_total") == 2
			})
			text := r.logs.text()
			if n := strings.Count(text, "Turned away a request that can't be read"); n != 1 ||
				!strings.Contains(text, tc.problem) || strings.Contains(text, testSecret) {
				t.Errorf("logged %d times:\n%s", n, text)
			}
			if n := r.metric("fwupgrade_webhook_notifications_total"); n != 0 {
				t.Errorf("counted %v times as a push", n)
			}
		})
	}
}

// A mistake that comes after a push over the same connection is counted, too.
func TestServersOwnAnswerAfterAPush(t *testing.T) {
	r := startReceiver(t, nil)
	c := r.connect("127.0.0.1")
	if got := pushOver(t, c, "d"); got != "200 OK" {
		t.Fatal(got)
	}
	if _, err := io.WriteString(c, headers("Transfer-Encoding: gzip\r\n", "")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is counted", func() bool { return r.metric("fwupgrade_webhook_server_answers_total", "501") == 1 })
}

// A head that does not go on is cut off as soon on a connection that was kept as on a new one: the time for which a
// connection is kept is for silent ones.
func TestUnfinishedHeadAfterAPush(t *testing.T) {
	r := startReceiver(t, nil)
	body := push("d")
	whole := headers(fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
	for name, tc := range map[string]struct{ with, after string }{
		"a part of a line":                     {"", "POST /v1.0"},
		"a line":                               {"", "POST / HTTP/1.1\r\n"},
		"a byte with the push":                 {"P", ""},
		"three bytes with the push":            {"POS", ""},
		"three bytes with the push, one after": {"POS", "T"},
		"a part of a line with the push":       {"POST /v1.0", ""},
		"a line with the push":                 {"POST / HTTP/1.1\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := r.connect("127.0.0.1")
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(c, whole+tc.with); err != nil {
				t.Fatal(err)
			}
			reader := bufio.NewReader(c)
			answer, err := http.ReadResponse(reader, nil)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatal(answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if _, err := io.WriteString(c, tc.after); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, reader); err != nil { // it may be answered 400 before it is closed
				t.Errorf("stays open: %v", err)
			}
		})
	}
}

// A line end after a push, as old senders append one to a body, begins no head: the connection is kept as before, and
// makes room as before.
func TestLineEndAfterAPush(t *testing.T) {
	const share = 2
	r := startReceiver(t, func(o *Options) { o.ConnectionsPerSource = share })
	var kept [share]net.Conn
	for i := range kept {
		kept[i] = r.connect("127.0.0.1")
		if got := pushOver(t, kept[i], "d"); got != "200 OK" {
			t.Fatal(got)
		}
		if _, err := io.WriteString(kept[i], "\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if isClosed(kept[0], readHeaderTimeout+2*time.Second) || isClosed(kept[1], time.Millisecond) {
		t.Fatal("a connection is closed")
	}
	if got := pushOver(t, r.connect("127.0.0.1"), "d"); got != "200 OK" {
		t.Errorf("a connection beyond the share: %s", got)
	}
	if !isClosed(kept[0], patience) {
		t.Error("the one that has waited the longest stays open")
	}
	if got := pushOver(t, kept[1], "d"); got != "200 OK" {
		t.Errorf("the other one: %s", got)
	}
}
