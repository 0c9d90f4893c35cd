// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/clock"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/result"
)

func wantResult(deviceID string) result.Result {
	return result.Result{
		Task: result.Task{AppID: "app", OperationID: "op"}, DeviceID: deviceID, SubOperationID: "sub",
		ResultFields: storage.ResultFields{
			State: storage.StateSucceeded, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.6",
			StatusDesc: "fine", UpgradeTime: "12",
		},
	}
}

func TestAnswers(t *testing.T) {
	const path = DefaultCallbackPath
	const secretPath = path + "/" + testSecret
	const recorded, ignored = `{"result":"recorded"}`, `{"result":"ignored","reason":"`
	rejected := func(reason string) string { return `{"result":"rejected","reason":"` + reason }
	const unauthorized = `{"error":"no valid credentials"}`
	const notFound = `{"error":"no such path"}`
	const notAllowed = `{"error":"the URL and its credentials are right, but only POST is served: push `

	anonymous := func(o *Options) { o.SecretsFile, o.AllowAnonymous = "", true }
	cases := map[string]struct {
		options func(*Options)
		method  string
		path    string
		body    string
		status  int
		// want is how the answer's body begins.
		want string
		// metric is how it is counted.
		metric string
		stored contents
	}{
		"result": {nil, "POST", secretPath, push("d"), 200, recorded, "recorded",
			contents{results: []result.Result{wantResult("d")}}},
		"result with a query": {nil, "POST", secretPath + "?a=b", push("d"), 200, recorded, "recorded",
			contents{results: []result.Result{wantResult("d")}}},
		"result, anonymous": {anonymous, "POST", path, push("d"), 200, recorded, "recorded",
			contents{results: []result.Result{wantResult("d")}}},
		"result, anonymous, with a slash at the end": {anonymous, "POST", path + "/", push("d"), 200, recorded, "recorded",
			contents{results: []result.Result{wantResult("d")}}},
		"no secret, a slash at the end": {nil, "POST", path + "/", push("d"), 401, unauthorized, "unauthorized", contents{}},
		"result, own path": {
			func(o *Options) { o.CallbackPath = "/here" },
			"POST",
			"/here/" + testSecret,
			push("d"),
			200,
			recorded,
			"recorded",
			contents{results: []result.Result{wantResult("d")}},
		},
		"other type": {nil, "POST", secretPath, `{"notifyType":"deviceAdded","deviceId":"d"}`, 200,
			ignored + "not a firmware upgrade notification: deviceAdded", "ignored", contents{}},
		"command status": {nil, "POST", secretPath, `{"deviceId":"d","commandId":"c","result":{}}`, 200,
			ignored + "not a firmware upgrade notification: command status", "ignored", contents{}},
		"below a valid secret": {nil, "POST", secretPath + "/more/of%20it", push("d"), 200, recorded, "recorded",
			contents{results: []result.Result{wantResult("d")}}},
		"slash after a secret": {nil, "POST", secretPath + "/", push("d"), 200, recorded, "recorded",
			contents{results: []result.Result{wantResult("d")}}},
		"slashes after a secret": {nil, "POST", secretPath + "//?a=b", push("d"), 200, recorded, "recorded",
			contents{results: []result.Result{wantResult("d")}}},
		"other type below a valid secret": {nil, "POST", secretPath + "/", `{"notifyType":"ping"}`, 200,
			ignored + "not a firmware upgrade notification: ping", "ignored", contents{}},
		"no JSON below a valid secret": {nil, "POST", secretPath + "/", "hello", 200, rejected("the body is not JSON"), "rejected",
			contents{
				rejected: []storage.RejectedNotification{
					{Reason: "the body is not JSON: invalid character 'h' looking for beginning of value", Body: "hello"},
				},
			}},
		"no JSON": {nil, "POST", secretPath, "hello", 200, rejected("the body is not JSON"), "rejected",
			contents{
				rejected: []storage.RejectedNotification{
					{Reason: "the body is not JSON: invalid character 'h' looking for beginning of value", Body: "hello"},
				},
			}},
		"nothing": {nil, "POST", secretPath, "", 200, rejected("the body is not JSON"), "rejected",
			contents{rejected: []storage.RejectedNotification{{Reason: "the body is not JSON: unexpected end of JSON input"}}}},
		"not UTF-8": {nil, "POST", secretPath, "{\"\xff\x00", 200, rejected("the body is not JSON"), "rejected",
			contents{
				rejected: []storage.RejectedNotification{
					{Reason: "the body is not JSON: unexpected end of JSON input", RawBody: []byte("{\"\xff\x00")},
				},
			}},
		"byte order mark and raw line feed": {nil, "POST", secretPath,
			"\ufeff" +
				strings.NewReplacer("fine", "f\nine", `"curVersion":"1.6"`, `"curVersion":"1.6\n"`).Replace(push(" d ")) +
				"\n\x00",
			200, recorded, "recorded", contents{results: []result.Result{func() result.Result {
				r := wantResult("d")
				r.StatusDesc = "f ine"
				return r
			}()}}},
		"hidden character in an id": {nil, "POST", secretPath, push("d\u200b"), 200,
			rejected("deviceId holds characters that can't be seen: \\\"d\ufffd\\\""), "rejected",
			contents{rejected: []storage.RejectedNotification{
				{Reason: "deviceId holds characters that can't be seen: \"d\ufffd\"", RawBody: []byte(push("d\u200b"))}}}},
		"bytes in an id": {nil, "POST", secretPath, push("d\xe9"), 200, rejected("deviceId holds bytes"), "rejected",
			contents{rejected: []storage.RejectedNotification{
				{Reason: "deviceId holds bytes that are not UTF-8: \"d\ufffd\"", RawBody: []byte(push("d\xe9"))}}}},
		"type that is not for eyes": {nil, "POST", secretPath, `{"notifyType":"a\u202eb\n"}`, 200,
			rejected("notifyType holds characters that can't be seen: \\\"a\ufffdb\\\""), "rejected",
			contents{rejected: []storage.RejectedNotification{{
				Reason: "notifyType holds characters that can't be seen: \"a\ufffdb\"",
				Body:   `{"notifyType":"a\u202eb\n"}`,
			}}}},
		"no operation": {
			nil,
			"POST",
			secretPath,
			`{"notifyType":"fwUpgradeResultNotify","deviceId":"d","status":"FAIL"}`,
			200,
			rejected("operationId is missing"),
			"rejected",
			contents{rejected: []storage.RejectedNotification{{Reason: "operationId is missing",
				Body: `{"notifyType":"fwUpgradeResultNotify","deviceId":"d","status":"FAIL"}`}}},
		},
		"unknown status": {nil, "POST", secretPath, strings.Replace(push("d"), "SUCCESS", "DONE", 1), 200,
			rejected(`status is \"DONE\", not SUCCESS or FAIL`), "rejected",
			contents{rejected: []storage.RejectedNotification{{Reason: `status is "DONE", not SUCCESS or FAIL`,
				Body: strings.Replace(push("d"), "SUCCESS", "DONE", 1)}}}},
		"as large as may be": {nil, "POST", secretPath, push("d") + strings.Repeat(" ", maxBodyBytes-len(push("d"))), 200,
			recorded, "recorded", contents{results: []result.Result{wantResult("d")}}},
		"too large": {nil, "POST", secretPath, push("d") + strings.Repeat(" ", maxBodyBytes+1-len(push("d"))), 200,
			rejected("the body is larger than 65536 bytes"), "rejected",
			contents{rejected: []storage.RejectedNotification{{Reason: "the body is larger than 65536 bytes",
				Body: push("d") + strings.Repeat(" ", 4096-len(push("d"))), BodyBytes: 65537}}}},
		"two megabytes": {nil, "POST", secretPath, strings.Repeat("x", 2<<20), 200,
			rejected("the body is larger than 65536 bytes"), "rejected",
			contents{rejected: []storage.RejectedNotification{{Reason: "the body is larger than 65536 bytes",
				Body: strings.Repeat("x", 4096), BodyBytes: 2 << 20}}}},

		"no secret":       {nil, "POST", path, push("d"), 401, unauthorized, "unauthorized", contents{}},
		"an empty secret": {nil, "POST", path + "/", push("d"), 401, unauthorized, "unauthorized", contents{}},
		"wrong secret": {
			nil,
			"POST",
			secretPath + "x",
			push("d"),
			401,
			unauthorized,
			"unauthorized",
			contents{},
		},
		"secret spelt otherwise": {
			nil,
			"POST",
			path + "/%63orrect-horse-battery",
			push("d"),
			401,
			unauthorized,
			"unauthorized",
			contents{},
		},
		"below a wrong secret": {
			nil,
			"POST",
			path + "/wrong/" + testSecret,
			push("d"),
			401,
			unauthorized,
			"unauthorized",
			contents{},
		},
		"anonymous with a segment": {
			anonymous,
			"POST",
			path + "/x",
			push("d"),
			401,
			unauthorized,
			"unauthorized",
			contents{},
		},
		"other method, no secret": {nil, "GET", path, "", 401, unauthorized, "unauthorized", contents{}},
		"other path":              {nil, "POST", "/", push("d"), 404, notFound, "not_found", contents{}},
		"longer word":             {nil, "POST", path + "s", push("d"), 404, notFound, "not_found", contents{}},
		"doubled slash": {
			nil,
			"POST",
			"/v1.0.0//messageReceiver/" + testSecret,
			push("d"),
			404,
			notFound,
			"not_found",
			contents{},
		},
		"dot segment": {
			nil,
			"POST",
			"/v1.0.0/./messageReceiver/" + testSecret,
			push("d"),
			404,
			notFound,
			"not_found",
			contents{},
		},
		"parent segment": {nil, "POST", "/x/.." + secretPath, push("d"), 404, notFound, "not_found", contents{}},
		"escaped dot segment": {
			nil,
			"POST",
			"/v1.0.0/%2e/messageReceiver/" + testSecret,
			push("d"),
			404,
			notFound,
			"not_found",
			contents{},
		},
		"path spelt otherwise": {
			nil,
			"POST",
			"/v1.0.0/%6dessageReceiver/" + testSecret,
			push("d"),
			404,
			notFound,
			"not_found",
			contents{},
		},
		"path in another case": {
			nil,
			"POST",
			"/v1.0.0/messagereceiver/" + testSecret,
			push("d"),
			404,
			notFound,
			"not_found",
			contents{},
		},
		"GET":            {nil, "GET", secretPath, "", 405, notAllowed, "method_not_allowed", contents{}},
		"PUT":            {nil, "PUT", secretPath, push("d"), 405, notAllowed, "method_not_allowed", contents{}},
		"OPTIONS":        {nil, "OPTIONS", secretPath, "", 405, notAllowed, "method_not_allowed", contents{}},
		"GET, anonymous": {anonymous, "GET", path, "", 405, notAllowed, "method_not_allowed", contents{}},
		"GET below a valid secret": {
			nil,
			"GET",
			secretPath + "/more",
			"",
			405,
			notAllowed,
			"method_not_allowed",
			contents{},
		},
		"GET of another path":         {nil, "GET", "/status", "", 404, notFound, "not_found", contents{}},
		"POST to where metrics go":    {nil, "POST", "/metrics", "", 404, notFound, "not_found", contents{}},
		"method of a stranger's make": {nil, "BREW", secretPath, "", 405, notAllowed, "method_not_allowed", contents{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReceiver(t, tc.options)
			got := r.send(tc.method, tc.path, tc.body)
			if got.status != tc.status || !strings.HasPrefix(got.body, tc.want) {
				t.Errorf("want %d %s…, got %d %s", tc.status, tc.want, got.status, got.body)
			}
			if contentType := got.header.Get("Content-Type"); contentType != "application/json" {
				t.Errorf("content type %q", contentType)
			}
			if allow := got.header.Get("Allow"); (allow == "POST") != (tc.status == 405) {
				t.Errorf("status %d with Allow: %q", got.status, allow)
			}
			ignoreTimes := cmp.Options{
				cmpopts.IgnoreFields(result.Result{}, "ReceivedAt"),
				cmpopts.IgnoreFields(storage.RejectedNotification{}, "ReceiveTime"),
				cmp.AllowUnexported(contents{}),
			}
			stored := storedIn(t, r.namespace)
			if diff := cmp.Diff(tc.stored, stored, ignoreTimes); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			for _, r := range stored.results {
				if r.ReceivedAt == 0 {
					t.Error("a result has no time")
				}
			}
			if n := r.metric("fwupgrade_webhook_notifications_total", tc.metric); n != 1 {
				t.Errorf("counted %v times as %s", n, tc.metric)
			}
			if n := r.metric("fwupgrade_webhook_notifications_total"); n != 1 {
				t.Errorf("counted %v times in all", n)
			}
			for _, private := range []string{testSecret, "messageReceiver", "subOperationId", "/here"} {
				if logs := r.logs.text(); strings.Contains(logs, private) {
					t.Errorf("%q was logged:\n%s", private, logs)
				}
			}
		})
	}
}

func TestRepetitionIsRecorded(t *testing.T) {
	r := startReceiver(t, nil)
	for range 3 {
		if got := r.send("POST", DefaultCallbackPath+"/"+testSecret, push("d")); got.status != 200 ||
			got.body != `{"result":"recorded"}` {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
	if n := len(storedIn(t, r.namespace).results); n == 0 {
		t.Error("nothing is stored")
	}
}

func TestSecretOfAnApplication(t *testing.T) {
	secret := writeFile(t, "of-app", otherSecret)
	file := writeFile(t, "applications.yaml", "applications: [{appId: app, namespaces: [a], secretsFile: "+secret+"}]")
	apps, err := applications.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	const path = DefaultCallbackPath + "/" + otherSecret
	const foreign = `{"result":"rejected","reason":"appId is not the application whose secret was used"}`
	cases := map[string]struct {
		path, body, want string
		// appID is what the stored result has; empty: it is rejected.
		appID string
	}{
		"its own":                  {path, push("d"), `{"result":"recorded"}`, "app"},
		"another's":                {path, strings.Replace(push("d"), `"app"`, `"other"`, 1), foreign, ""},
		"nobody's becomes its own": {path, strings.Replace(push("d"), `"app"`, `null`, 1), `{"result":"recorded"}`, "app"},
		"the common secret": {
			DefaultCallbackPath + "/" + testSecret,
			strings.Replace(push("d"), `"app"`, `"other"`, 1),
			`{"result":"recorded"}`,
			"other",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := startReceiver(t, func(o *Options) { o.Applications = apps })
			if got := r.send("POST", tc.path, tc.body); got.status != 200 || got.body != tc.want {
				t.Errorf("want 200 %s, got %d %s", tc.want, got.status, got.body)
			}
			stored := storedIn(t, r.namespace)
			if tc.appID == "" {
				if len(stored.results) != 0 || len(stored.rejected) != 1 || stored.rejected[0].Body != tc.body {
					t.Errorf("stored %+v", stored)
				}
				return
			}
			if len(stored.results) != 1 || stored.results[0].AppID != tc.appID {
				t.Errorf("want a result of %q, stored %+v", tc.appID, stored)
			}
		})
	}
}

// dial sends raw bytes, ends the sending half and returns the status line of what comes back.
func dial(t *testing.T, address net.Addr, request string) string {
	t.Helper()
	connection, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := connection.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	line, _ := bufio.NewReader(connection).ReadString('\n')
	return strings.TrimSpace(line)
}

func TestBodyBreaksOff(t *testing.T) {
	body := push("d")
	head := "POST " + DefaultCallbackPath + "/" + testSecret + " HTTP/1.1\r\nHost: h\r\n"
	cases := map[string]string{
		"in the middle": fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body)+1, body),
		"chunked":       fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", head, len(body), body),
		"beyond what is read": fmt.Sprintf(
			"%sContent-Length: %d\r\n\r\n%s",
			head,
			maxBodyBytes*3,
			strings.Repeat(" ", maxBodyBytes*2),
		),
	}
	for name, request := range cases {
		t.Run(name, func(t *testing.T) {
			r := startReceiver(t, nil)
			if got := dial(t, r.Addr(), request); got != "" && got != "HTTP/1.1 408 Request Timeout" {
				t.Errorf("answered %q", got)
			}
			eventually(t, "the push was counted", func() bool {
				return r.metric("fwupgrade_webhook_notifications_total", "incomplete") == 1
			})
			if stored := storedIn(t, r.namespace); len(stored.results)+len(stored.rejected) != 0 {
				t.Errorf("stored %+v", stored)
			}
		})
	}
}

func TestRawRequests(t *testing.T) {
	r := startReceiver(t, nil)
	secretPath := DefaultCallbackPath + "/" + testSecret
	cases := map[string]struct{ request, want string }{
		"asterisk":      {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 Not Found"},
		"absolute form": {"GET http://h" + secretPath + " HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"},
		"leading slashes": {
			"POST /" + secretPath + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 404 Not Found",
		},
		"opaque": {
			"POST http:" + secretPath[1:] + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 404 Not Found",
		},
		"connect": {"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "HTTP/1.1 404 Not Found"},
		"a percent sign below the secret": {
			"POST " + secretPath + "/% HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK",
		},
		"half an escape below the secret": {
			"POST " + secretPath + "/a%2/%41%zz?b=%#% HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK",
		},
		"a percent sign after the secret": {
			"POST " + secretPath + "% HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 401 Unauthorized",
		},
		"a percent sign for a dash of the secret": {
			"POST " + strings.Replace(secretPath, "-", "%", 1) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 401 Unauthorized",
		},
		"a percent sign in the path": {
			"POST /% HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 404 Not Found",
		},
		"too many headers": {
			"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n",
			"HTTP/1.1 431 Request Header Fields Too Large",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := dial(t, r.Addr(), tc.request); got != tc.want {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

// TestWhatFollowsTheSecretHasNoEffect: also where it is longer than what is read of a line at a time, and wherever in
// it a percent sign stands, with an escape or without one.
func TestWhatFollowsTheSecretHasNoEffect(t *testing.T) {
	r := startReceiver(t, func(o *Options) { o.Registerer = nil })
	begin := "POST " + DefaultCallbackPath + "/" + testSecret + "/"
	for _, after := range []string{"%", "%2", "%zz", "%41", "%%41%", "?%=%z"} {
		for _, at := range []int{lineBytes - 4, lineBytes - 3, lineBytes - 2, lineBytes - 1, lineBytes, 3 * lineBytes} {
			request := begin + strings.Repeat("x", at-len(begin)) + after + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
			if got := dial(t, r.Addr(), request); got != "HTTP/1.1 200 OK" {
				t.Errorf("%q after %d bytes: got %q", after, at, got)
			}
		}
	}
}

// connect opens a connection and sends raw bytes.
func connect(t *testing.T, address net.Addr, request string) *net.TCPConn {
	t.Helper()
	connection, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if _, err := connection.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	tcp, ok := connection.(*net.TCPConn)
	if !ok {
		t.Fatalf("a connection of type %T", connection)
	}
	return tcp
}

// heard is all that came over a connection until the other side closed it, and how long that took.
func heard(t *testing.T, connection *net.TCPConn) (answer string, took time.Duration) {
	t.Helper()
	began := time.Now()
	_ = connection.SetReadDeadline(began.Add(patience))
	content, err := io.ReadAll(connection)
	if err != nil {
		t.Errorf("the connection ended with %v", err)
	}
	return string(content), time.Since(began)
}

// TestWhoIsTurnedAwayHoldsNoConnection: an answer that needs no body is given at once, and the connection is closed
// then, although the sender announced a body that it does not send.
func TestWhoIsTurnedAwayHoldsNoConnection(t *testing.T) {
	r := startReceiver(t, nil)
	paths := map[string]struct{ line, status string }{
		"wrong secret": {"POST " + DefaultCallbackPath + "/wrong", "401 Unauthorized"},
		"no secret":    {"PUT " + DefaultCallbackPath, "401 Unauthorized"},
		"other path":   {"POST /", "404 Not Found"},
		"other method": {"PUT " + DefaultCallbackPath + "/" + testSecret, "405 Method Not Allowed"},
	}
	bodies := map[string]string{
		"length":            "Content-Length: 60000\r\n\r\nabc",
		"large length":      "Content-Length: 6000000\r\n\r\nabc",
		"length, no byte":   "Content-Length: 60000\r\n\r\n",
		"chunked":           "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"chunked, unending": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"continue":          "Expect: 100-continue\r\nContent-Length: 60000\r\n\r\n",
		"continue, chunked": "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
	}
	for name, path := range paths {
		for kind, body := range bodies {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				connection := connect(t, r.Addr(), path.line+" HTTP/1.1\r\nHost: h\r\n"+body)
				answer, took := heard(t, connection)
				if !strings.HasPrefix(answer, "HTTP/1.1 "+path.status) || strings.Count(answer, "HTTP/1.1") != 1 {
					t.Errorf("answered %q", answer)
				}
				if took > lingerTime+2*time.Second {
					t.Errorf("closed after %s", took)
				}
			})
		}
	}
}

// TestWhoIsTurnedAwayReadsTheAnswer: one who sends all of a body that nobody wants still gets the answer, and no reset.
func TestWhoIsTurnedAwayReadsTheAnswer(t *testing.T) {
	r := startReceiver(t, nil)
	head := "POST " + DefaultCallbackPath + "/wrong HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"
	for range 10 {
		connection := connect(t, r.Addr(), head)
		if _, err := connection.Write([]byte(strings.Repeat("x", 60000))); err != nil {
			t.Fatal(err)
		}
		if answer, _ := heard(t, connection); !strings.HasPrefix(answer, "HTTP/1.1 401 Unauthorized") {
			t.Errorf("answered %q", answer)
		}
	}
}

// TestTooManyLargeBodies: where too many large bodies are under way, one more is answered 503 at once, without waiting
// for it; bodies as the platform sends them have room even then.
func TestTooManyLargeBodies(t *testing.T) {
	h := &handler{
		auth:      &authenticator{path: DefaultCallbackPath, anonymous: true},
		committer: runCommitter(t, &scriptedAPI{}).committer,
		clock:     clock.RealClock{},
		lines:     newOccasional(clock.RealClock{}, logr.Discard(), lineInterval),
		metrics:   testMetrics(t),
		draining:  &atomic.Bool{},
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.bodies.large.Store(maxLargeBodies - smallBodyBytes)
	head := "POST " + DefaultCallbackPath + " HTTP/1.1\r\nHost: h\r\n"
	for kind, body := range map[string]string{
		"length":  "Content-Length: 60000\r\n\r\nabc",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n1001\r\n" + strings.Repeat("x", 4097) + "\r\n",
	} {
		answer, took := heard(t, connect(t, server.Listener.Addr(), head+body))
		if !strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(answer, "Retry-After: ") ||
			!strings.Contains(answer, "too many large bodies") || took > lingerTime+2*time.Second {
			t.Errorf("%s: after %s %q", kind, took, answer)
		}
	}
	got := dial(t, server.Listener.Addr(), fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(push("d")), push("d")))
	if got != "HTTP/1.1 200 OK" {
		t.Errorf("a small push was answered %q", got)
	}
	if lent := h.bodies.large.Load(); lent != maxLargeBodies-smallBodyBytes {
		t.Errorf("%d bytes were not given back", lent-maxLargeBodies+smallBodyBytes)
	}
}

// TestWhoIsTurnedAwayIsLogged: what is answered 401, 404, 405 or 408 is logged with its cause, of each answer one line
// a minute, and nothing of what is secret.
func TestWhoIsTurnedAwayIsLogged(t *testing.T) {
	const secretPath = DefaultCallbackPath + "/" + testSecret
	const line = `"level"=0 "msg"="Turned away a request" `
	cases := map[string]struct{ request, want string }{
		"no secret": {
			"POST " + DefaultCallbackPath + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			`"answer"="unauthorized" "problem"="no secret in the path, nor anything else that authenticates"`,
		},
		"a wrong secret": {
			"POST " + secretPath + "x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			`"answer"="unauthorized" "problem"="a secret that is none of those configured"`,
		},
		"another path": {
			"POST /messageReceiver/" + testSecret + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			`"answer"="not_found" "problem"="no such path"`,
		},
		"another method": {
			"DELETE " + secretPath + " HTTP/1.1\r\nHost: h\r\n\r\n",
			`"answer"="method_not_allowed" "problem"="the method is DELETE"`,
		},
		"broken off": {
			"POST " + secretPath + " HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{",
			`"answer"="incomplete" "problem"="the connection ended"`,
		},
		"another method, of a stranger's make": {
			testSecret + " " + secretPath + " HTTP/1.1\r\nHost: h\r\n\r\n",
			`"answer"="method_not_allowed" "problem"="the method is none of HTTP's"`,
		},
		"a trailer that is no header": {
			"POST " + secretPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{" + testSecret + "}\r\n\r\n",
			`"answer"="incomplete" "problem"="where it ends can't be read"`,
		},
		"a chunk without a size": {
			"POST " + secretPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + testSecret + "\r\n\r\n",
			`"answer"="incomplete" "problem"="where it ends can't be read"`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := startReceiver(t, nil)
			for range 3 {
				dial(t, r.Addr(), tc.request)
			}
			eventually(t, "it is logged", func() bool { return strings.Contains(r.logs.text(), line+tc.want) })
			eventually(t, "all are counted", func() bool { return r.metric("fwupgrade_webhook_notifications_total") == 3 })
			text := r.logs.text()
			if n := strings.Count(text, "Turned away"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, text)
			}
			if strings.Contains(text, testSecret) || strings.Contains(text, "messageReceiver") {
				t.Errorf("a secret or a path was logged:\n%s", text)
			}
		})
	}
}

// TestEachCauseOfARefusalIsLogged: many pushes without a secret don't hide one with a wrong secret.
func TestEachCauseOfARefusalIsLogged(t *testing.T) {
	r := startReceiver(t, nil)
	for range 3 {
		r.send("POST", DefaultCallbackPath, "")
		r.send("POST", DefaultCallbackPath+"/wrong", "")
	}
	text := r.logs.text()
	for _, want := range []string{"no secret in the path", "a secret that is none of those configured"} {
		if n := strings.Count(text, want); n != 1 {
			t.Errorf("%q was logged %d times:\n%s", want, n, text)
		}
	}
}

// TestWhyIncomplete: why a body was not read is said in words of the code, whatever the error quotes.
func TestWhyIncomplete(t *testing.T) {
	cases := map[string]struct {
		err  error
		want string
	}{
		"broken off": {io.ErrUnexpectedEOF, "the connection ended"},
		"reset": {&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
			"the connection ended"},
		"closed":   {&net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}, "the connection ended"},
		"too slow": {&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, "it did not come to its end within 10s"},
		"framing":  {fmt.Errorf("malformed MIME header line: %q", testSecret), "where it ends can't be read"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := whyIncomplete(tc.err); got != tc.want {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

// panicking is a body whose reading meets a defect.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("body " + testSecret) }

func TestPanicIsAnsweredNotStored(t *testing.T) {
	logs := &logBook{}
	h := &handler{
		auth:     &authenticator{path: DefaultCallbackPath, anonymous: true},
		clock:    clock.RealClock{},
		log:      logs.logger(),
		metrics:  testMetrics(t),
		draining: &atomic.Bool{},
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, DefaultCallbackPath, panicking{}))
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", recorder.Code, recorder.Body)
	}
	if text := logs.text(); strings.Contains(text, testSecret) ||
		!strings.Contains(text, "Recovered while handling a push") {
		t.Errorf("logged:\n%s", text)
	}
}
