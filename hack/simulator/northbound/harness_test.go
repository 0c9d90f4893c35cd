// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	loginPath         = "/iocm/app/sec/v1.1.0/login"
	refreshPath       = "/iocm/app/sec/v1.1.0/refreshToken"
	subscribePath     = "/iodm/app/sub/v1.1.0/subscribe"
	subscriptionsPath = "/iocm/app/sub/v1.2.0/subscriptions"
	operationsPath    = "/iodm/northbound/v1.5.0/operations"
	createPath        = operationsPath + "/firmwareUpgrade"

	resultNotify      = "fwUpgradeResultNotify"
	stateChangeNotify = "fwUpgradeStateChangeNotify"
)

// begin is when the clock of tests begins.
var begin = time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)

// object is a JSON object.
type object = map[string]any

// fixture is a platform, its clock, and a client of it that is logged in.
type fixture struct {
	*northbound.Server
	*client
	clock *clocktesting.FakeClock
}

// start starts a platform with a clock that stands still, and logs in. Unless the options say otherwise, the token is
// valid for longer than any test's time.
func start(t *testing.T, o northbound.Options) *fixture {
	t.Helper()
	f := &fixture{clock: clocktesting.NewFakeClock(begin)}
	o.Clock = f.clock
	if o.TokenLifetime == 0 {
		o.TokenLifetime = 10_000 * time.Hour
	}
	f.Server = mustStart(t, o)
	f.client = newClient(t, f.Server, nil)
	f.login()
	return f
}

func mustStart(t *testing.T, o northbound.Options) *northbound.Server {
	t.Helper()
	server, err := northbound.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// pass lets time pass, and everything happen that is due then.
func (f *fixture) pass(d time.Duration) {
	f.t.Helper()
	f.clock.Step(d)
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	if err := f.Settle(ctx); err != nil {
		f.t.Fatal(err)
	}
}

// faults replaces the faults.
func (f *fixture) faults(faults northbound.Faults) {
	f.t.Helper()
	if err := f.SetFaults(faults); err != nil {
		f.t.Fatal(err)
	}
}

// truth returns the truth of a task.
func (f *fixture) truth(operationID string) *northbound.Truth {
	f.t.Helper()
	truth, ok := f.Truth(operationID)
	if !ok {
		f.t.Fatalf("There is no task %s", operationID)
	}
	return truth
}

// client is a client of the API that knows nothing but HTTP.
type client struct {
	t      *testing.T
	server *northbound.Server
	http   *http.Client
	token  string
}

func newClient(t *testing.T, server *northbound.Server, certificate *tls.Certificate) *client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.CA())
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, server: server, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is what was answered.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // there was no answer
}

// json returns the body.
func (r reply) json(t *testing.T) object {
	t.Helper()
	var content object
	if err := json.Unmarshal([]byte(r.body), &content); err != nil {
		t.Fatalf("%d %q is no JSON object: %v (%v)", r.status, r.body, err, r.err)
	}
	return content
}

// code returns the error code; empty where there is none.
func (r reply) code() string {
	var content struct {
		Code string `json:"error_code"`
	}
	_ = json.Unmarshal([]byte(r.body), &content)
	return content.Code
}

// send sends a request as it is.
func (c *client) send(method, path, body string, header http.Header) reply {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header = header
	return c.do(request)
}

func (c *client) do(request *http.Request) reply {
	response, err := c.http.Do(request)
	if err != nil {
		return reply{err: err}
	}
	content, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	return reply{status: response.StatusCode, header: response.Header, body: string(content), err: err}
}

// header returns what a call with the token carries.
func (c *client) header() http.Header {
	h := http.Header{}
	h.Set("app_key", c.server.AppID())
	h.Set("Authorization", "Bearer "+c.token)
	return h
}

// get sends a GET with the token.
func (c *client) get(path string, parameters ...string) reply {
	c.t.Helper()
	return c.send(http.MethodGet, path+query(parameters), "", c.header())
}

// post sends JSON with the token.
func (c *client) post(path string, body any) reply {
	c.t.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	header := c.header()
	header.Set("Content-Type", "application/json")
	return c.send(http.MethodPost, path, string(content), header)
}

// query makes the query of names and values.
func query(parameters []string) string {
	if len(parameters) == 0 {
		return ""
	}
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	return "?" + values.Encode()
}

// tryLogin logs in with a secret.
func (c *client) tryLogin(secret string) reply {
	c.t.Helper()
	form := url.Values{"appId": {c.server.AppID()}, "secret": {secret}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return c.send(http.MethodPost, loginPath, form.Encode(), header)
}

// login logs in and keeps the token.
func (c *client) login() {
	c.t.Helper()
	answer := c.tryLogin(c.server.Secret())
	if answer.status != http.StatusOK {
		c.t.Fatalf("login: %d %s %v", answer.status, answer.body, answer.err)
	}
	c.token, _ = answer.json(c.t)["accessToken"].(string)
}

// subscribe subscribes a URL, or ends the test.
func (c *client) subscribe(notifyType, callback string) {
	c.t.Helper()
	answer := c.post(subscribePath, object{"notifyType": notifyType, "callbackUrl": callback})
	if answer.status != http.StatusOK || answer.body != "" {
		c.t.Fatalf("subscribe: %d %q", answer.status, answer.body)
	}
}

// create creates a task for devices, and returns its id.
func (c *client) create(devices ...string) string {
	c.t.Helper()
	answer := c.post(createPath, creation(devices...))
	id, _ := answer.json(c.t)["operationId"].(string)
	if id == "" {
		c.t.Fatalf("create: %d %s", answer.status, answer.body)
	}
	return id
}

// creation is the body of a creation.
func creation(devices ...string) object {
	return object{"fileId": "package", "targets": object{"devices": devices}}
}

// task returns a task as the API shows it.
func (c *client) task(operationID string) object {
	c.t.Helper()
	return c.get(operationsPath + "/" + operationID).json(c.t)
}

// tasks returns the ids of the tasks that the list shows.
func (c *client) tasks(parameters ...string) []string {
	c.t.Helper()
	return column(c.get(operationsPath, parameters...).json(c.t), "operationId")
}

// column returns a key of every entry of a page.
func column(page object, key string) []string {
	data, _ := page["data"].([]any)
	values := []string{}
	for _, entry := range data {
		value, _ := entry.(object)[key].(string)
		values = append(values, value)
	}
	return values
}

// subTasks returns all sub-tasks of a task, page by page.
func (c *client) subTasks(operationID string, size int) []object {
	c.t.Helper()
	var all []object
	for number := 0; ; number++ {
		page := c.get(operationsPath+"/"+operationID+"/subOperations",
			"pageNo", strconv.Itoa(number), "pageSize", strconv.Itoa(size)).json(c.t)
		data, _ := page["data"].([]any)
		for _, entry := range data {
			all = append(all, entry.(object))
		}
		if len(data) < size {
			return all
		}
	}
}

// staResult returns the figures of a task.
func staResult(t *testing.T, task object) map[string]int {
	t.Helper()
	figures, ok := task["staResult"].(object)
	if !ok {
		t.Fatalf("No staResult in %v", task)
	}
	counts := map[string]int{}
	for name, value := range figures {
		counts[name] = int(value.(float64))
	}
	return counts
}

// receiver is a callback.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []object
	answer func(n int) int // the status of the n-th answer, from 0; nil: 200
}

// newReceiver starts a callback.
func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	content, _ := io.ReadAll(request.Body)
	var body object
	_ = json.NewDecoder(bytes.NewReader(content)).Decode(&body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, body)
	if r.answer != nil {
		w.WriteHeader(r.answer(len(r.bodies) - 1))
	}
}

// path is the callback's URL.
func (r *receiver) path() string { return r.URL + "/hook" }

// count is how many notifications came.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

// results returns the results that came, by device, in their order.
func (r *receiver) results() map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string][]string{}
	for _, body := range r.bodies {
		if body["notifyType"] == resultNotify {
			device, _ := body["deviceId"].(string)
			status, _ := body["status"].(string)
			found[device] = append(found[device], status)
		}
	}
	return found
}
