// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHeaders(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.must("", c.list())
	seen := p.seen()
	if len(seen) != 2 {
		t.Fatalf("got %d requests, want a login and a list", len(seen))
	}
	login, list := seen[0], seen[1]
	want := "appId=" + testAppID + "&secret=s3cr3t%2F%C3%84%C3%96%26x%3D1%2B2+%22quoted%22"
	if diff := cmp.Diff(want, login.body); diff != "" || login.method != http.MethodPost {
		t.Errorf("login by %s (-want +got):\n%s", login.method, diff)
	}
	for name, want := range map[string]string{"Content-Type": contentForm, "app_key": "", "Authorization": ""} {
		if got := login.header.Get(name); got != want {
			t.Errorf("login: header %s is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"app_key": testAppID, "Authorization": "Bearer token-1-of-the-platform"} {
		if got := list.header.Get(name); got != want {
			t.Errorf("list: header %s is %q, want %q", name, got, want)
		}
	}
	if want := "operationType=firmware_upgrade&pageNo=0&pageSize=100"; list.query != want {
		t.Errorf("list: query %q, want %q", list.query, want)
	}
}

// TestPost holds what a POST must not do: be sent twice by the transport, or follow a redirect.
func TestPost(t *testing.T) {
	t.Run("no Idempotency-Key, and a connection for each call", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		for range 3 {
			c.clock.Step(time.Second)
			c.must("", c.Subscribe(t.Context(), "fwUpgradeResultNotify", testCallback))
		}
		connections := map[string]bool{}
		for _, r := range p.seen() {
			for name := range r.header {
				if strings.Contains(strings.ToLower(name), "idempotency") {
					t.Errorf("%s %s has the header %s", r.method, r.path, name)
				}
			}
			if connections[r.connection] {
				t.Errorf("%s %s: came on a connection that had been used", r.method, r.path)
			}
			connections[r.connection] = true
		}
	})
	t.Run("no second GET by the transport", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		c.must("", c.list())
		p.set(nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		c.must(Unreachable, c.list())
		if got := p.count(operationsPath); got != 2 {
			t.Errorf("the platform got %d lists, want 2", got)
		}
	})
	t.Run("no redirect", func(t *testing.T) {
		var followed atomic.Int32
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
		defer other.Close()
		for _, status := range []int{301, 302, 303, 307, 308} {
			p := startPlatform(t)
			c := connect(t, p)
			redirect := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/else", status) }
			p.set(nil, redirect)
			c.must(Unexpected, c.Subscribe(t.Context(), "fwUpgradeResultNotify", testCallback))
			c.must(Unexpected, c.list())
			p.set(redirect, nil)
			c.clock.Step(2 * time.Hour)
			c.must(Unexpected, c.Login(t.Context()))
		}
		if n := followed.Load(); n > 0 {
			t.Errorf("%d redirects were followed", n)
		}
	})
}

// TestNoProxy runs itself anew, as net/http reads the environment once for a process.
func TestNoProxy(t *testing.T) {
	const proxy = "http://127.0.0.2:3128"
	if os.Getenv("HTTPS_PROXY") != proxy {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoProxy$", "-test.v")
		for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
			again.Env = append(again.Env, name+"="+proxy)
		}
		if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestNoProxy") {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	p := startPlatform(t)
	c := connect(t, p, func(o *Options) { o.Endpoint = "https://platform.example.com:8743" })
	var dialed []string
	c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = append(dialed, address)
		return new(net.Dialer).DialContext(ctx, network, p.Listener.Addr().String())
	}
	c.must("", c.Login(t.Context()))
	p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
	_, err := c.create()
	c.must("", err)
	if diff := cmp.Diff([]string{"platform.example.com:8743", "platform.example.com:8743"}, dialed); diff != "" {
		t.Errorf("dialed (-want +got):\n%s", diff)
	}
}

func TestKinds(t *testing.T) {
	refusal := func(code, description string) string {
		return `{"error_code":"` + code + `","error_desc":"` + description + `"}`
	}
	list := func(c *tester) error { return c.list() }
	subscribe := func(c *tester) error { return c.Subscribe(c.t.Context(), "fwUpgradeResultNotify", testCallback) }
	subscriptions := func(c *tester) error {
		_, err := c.Subscriptions(c.t.Context(), "fwUpgradeResultNotify")
		return err
	}
	task := func(c *tester) error {
		_, err := c.Task(c.t.Context(), "op-1", PriorityRound)
		return err
	}
	cases := map[string]struct {
		call   func(*tester) error
		status int
		body   string
		want   Kind
		says   string
	}{
		"throttled":                {list, 403, refusal("1010009", "app throttle exceed."), Throttled, "app throttle exceed."},
		"throttled by status":      {list, 429, "", Throttled, "callsPerMinute"},
		"throttled by a 5xx":       {list, 503, refusal("1010009", ""), Throttled, "callsPerMinute"},
		"code as a number":         {list, 403, `{"error_code":1010009,"error_desc":null}`, Throttled, ""},
		"code in another case":     {list, 403, `{"Error_Code":"1010009"}`, Throttled, ""},
		"failed":                   {list, 500, refusal("100023", "The data in dataBase is abnormal."), Unexpected, "abnormal"},
		"failed without JSON":      {list, 502, "<html>", Unexpected, "failed"},
		"unknown task":             {task, 404, refusal("123009", "The requested task does not exist."), NotFound, ""},
		"no such path":             {task, 404, "<html>not found</html>", Unexpected, "address"},
		"another 404":              {task, 404, refusal("100418", "The deviceData is not existed."), Refused, "not existed"},
		"callback":                 {subscribe, 400, refusal("100222", "Internal server error."), CallbackRefused, "port"},
		"subscribed already":       {subscribe, 409, refusal("100227", "The resource has been bound."), Exists, ""},
		"subscribed, by status":    {subscribe, 409, "", Exists, ""},
		"application":              {subscribe, 403, refusal("100203", "The application is not existed."), Refused, ""},
		"lists no subscriptions":   {subscriptions, 404, "", Unsupported, ""},
		"lists no subscriptions 2": {subscriptions, 405, "", Unsupported, ""},
		"refuses the list":         {subscriptions, 400, refusal("100022", "The input is invalid"), Refused, ""},
		"no JSON":                  {list, 200, "<html>", Unexpected, "understood"},
		"no object":                {list, 200, `["x"]`, Unexpected, "understood"},
		"no answer":                {list, 200, "", Unexpected, "understood"},
		"another task":             {task, 200, `{"operationId":"op-2","status":"wait"}`, Unexpected, "another task"},
		"no task":                  {task, 200, `{}`, Unexpected, "another task"},
		"too large":                {list, 200, `{"x":"` + strings.Repeat("x", maxAnswerBytes) + `"}`, Unexpected, "4 MiB"},
		"as large as can be":       {list, 200, `{"x":"` + strings.Repeat("x", maxAnswerBytes-8) + `"}`, "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(nil, always(tc.status, tc.body))
			c := connect(t, p)
			e := c.failure(tc.want, tc.call(c))
			if e == nil {
				return
			}
			if !strings.Contains(e.Message, tc.says) || e.HTTPStatus != tc.status || e.Message == "" {
				t.Errorf("got %q with status %d, want it to say %q", e.Message, e.HTTPStatus, tc.says)
			}
			if last := c.calls[len(c.calls)-1]; last.Outcome != string(tc.want) {
				t.Errorf("observed %q, want %q", last.Outcome, tc.want)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		p.Close()
		e := c.failure(Unreachable, c.Login(t.Context()))
		if !strings.Contains(e.Message, "connection refused") || strings.Contains(e.Message, loginPath) {
			t.Errorf("says %q", e.Message)
		}
	})
	t.Run("the answer breaks off", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		p.set(nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"data":[`)
		})
		if e := c.failure(Unreachable, c.list()); !strings.Contains(e.Message, "broke off") {
			t.Errorf("says %q", e.Message)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		c.must("", c.Login(t.Context()))
		release := make(chan struct{})
		p.set(nil, func(http.ResponseWriter, *http.Request) { <-release })
		defer close(release)
		c.timeout = 50 * time.Millisecond
		if e := c.failure(Unreachable, c.list()); !strings.Contains(e.Message, "in time") {
			t.Errorf("says %q", e.Message)
		}
		if got := c.Status().Failures; got != 1 {
			t.Errorf("%d failures, want 1", got)
		}
	})
	t.Run("a body without end", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		c.must("", c.Login(t.Context()))
		p.set(nil, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
		})
		c.timeout = 50 * time.Millisecond
		c.must(Unreachable, c.list())
	})
}

// TestAnswerWithoutEnd holds that no more of an answer is read than may be.
func TestAnswerWithoutEnd(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	written := make(chan int, 1)
	p.set(nil, func(w http.ResponseWriter, _ *http.Request) {
		n, err := 0, error(nil)
		for chunk := make([]byte, 64<<10); err == nil && n < 16*maxAnswerBytes; n += len(chunk) {
			_, err = w.Write(chunk)
		}
		written <- n
	})
	c.must(Unexpected, c.list())
	if n := <-written; n >= 16*maxAnswerBytes {
		t.Errorf("the platform could send %d bytes", n)
	}
}

// TestTimeout holds that every call has a deadline: the one of the code, not one that a test set.
func TestTimeout(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	var left []time.Duration
	transport := c.http.Transport
	c.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		deadline, ok := r.Context().Deadline()
		if !ok {
			t.Errorf("%s has no deadline", r.URL.Path)
		}
		left = append(left, time.Until(deadline))
		return transport.RoundTrip(r)
	})
	_, err := c.Tasks(context.Background(), TaskFilter{}, PriorityRound)
	c.must("", err)
	if len(left) != 2 || slices.Max(left) > 30*time.Second {
		t.Errorf("calls may take %s, want at most 30 s each", left)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCanceled(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.must("", c.Login(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	p.set(nil, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := c.Tasks(ctx, TaskFilter{}, PriorityRound)
	c.must(Canceled, err)
	_, err = c.Tasks(ctx, TaskFilter{}, PriorityRound) // before it is made
	c.must(Canceled, err)
	if got := c.Status().Failures; got != 0 {
		t.Errorf("%d failures, want none: the caller gave up", got)
	}
	if got := p.count(operationsPath); got != 1 {
		t.Errorf("%d calls were made, want 1", got)
	}
}

func TestStatus(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	if diff := cmp.Diff(Status{}, c.Status()); diff != "" {
		t.Errorf("before any call (-want +got):\n%s", diff)
	}
	c.must("", c.list())
	if s := c.Status(); s.ClockOffset.Abs() > 5*time.Second {
		t.Errorf("after a call: %+v", s)
	}
	if len(c.calls) != 2 || c.calls[0].Name != CallLogin || c.calls[1].Name != CallListTasks ||
		c.calls[1].Outcome != OutcomeSuccess {
		t.Errorf("observed %+v", c.calls)
	}
}

// TestMessagesStayTheSame holds that what breaks off again and again in the same way is told in the same words: in a
// status other ones would be a change each time.
func TestMessagesStayTheSame(t *testing.T) {
	reset := func(after string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(connection, after)
			if secured, ok := connection.(*tls.Conn); ok {
				connection = secured.NetConn()
			}
			if plain, ok := connection.(*net.TCPConn); ok {
				_ = plain.SetLinger(0) // resets it
			}
			_ = connection.Close()
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"before an answer": reset(""), "within one": reset("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			c := connect(t, p)
			p.set(nil, answer)
			first, second := c.failure(Unreachable, c.list()), c.failure(Unreachable, c.list())
			if first.Message != second.Message || first.Err.Error() != second.Err.Error() ||
				!strings.Contains(first.Message, "reset") {
				t.Errorf("%q and then %q", first.Message, second.Message)
			}
		})
	}
	// As the resolver of a cluster fails.
	failed := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{
		Err: "read udp 10.244.0.5:39873->10.96.0.10:53: i/o timeout", Name: "platform.example.com", Server: "10.96.0.10:53",
	}}
	const want = "dial tcp: lookup platform.example.com on 10.96.0.10:53: read udp 10.96.0.10:53: i/o timeout"
	if got := (&redactor{}).wrap(failed).Error(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
