// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
	ctrl "sigs.k8s.io/controller-runtime"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	goleak.VerifyTestMain(m)
}

// testCallback is a URL that the platform takes. Nobody listens there: pushes are what tests say.
const testCallback = "http://127.0.0.1:1/v1.0.0/messageReceiver/the-path-is-secret"

// world is a link, the platform that it calls by TLS, a store, and the one clock of all.
type world struct {
	*northbound.Server
	*Link
	t     *testing.T
	clock *virtualClock
	store *memory

	mu          sync.Mutex
	followed    []Followed
	followedErr error
	callback    Callback
	callbackErr error
	repairs     int
	// stateChanges is how often the State was told to have changed.
	stateChanges int
	changes      map[result.Task]int
	// logged are the lines of the link's log.
	logged []string
}

// memory is a store without an API server: a tally, as the store has one, and what was added to it.
type memory struct {
	*tally.Tally
	mu     sync.Mutex
	polled []result.Result
	full   bool
	err    error
	// onAdd is called with what was added, readsBack is what is read of it; may be nil.
	onAdd     func([]result.Result)
	readsBack func(result.Result) result.Result
}

func (m *memory) LastReceived(task result.Task) time.Time {
	if at := m.LastReceivedAt(task); at != 0 {
		return time.UnixMicro(at)
	}
	return time.Time{}
}

func (m *memory) AddPolled(_ context.Context, _ result.Task, results []result.Result) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.polled = append(m.polled, results...)
	read := slices.Clone(results)
	for i := range read {
		if m.readsBack != nil {
			read[i] = m.readsBack(read[i])
		}
	}
	m.Add(read)
	if m.onAdd != nil {
		m.onAdd(results)
	}
	return nil
}

func (m *memory) IsFull() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.full
}

func (m *memory) set(full bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full, m.err = full, err
}

func (m *memory) added() []result.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.polled)
}

// newWorld starts a platform and a link that nobody runs yet. The link may make fewer calls than the platform admits.
func newWorld(t *testing.T, o northbound.Options, adjust ...func(*Options)) *world {
	t.Helper()
	w := &world{
		t: t, clock: newVirtualClock(), store: &memory{Tally: tally.New()},
		callback: Callback{URL: testCallback, Version: "1"}, changes: map[result.Task]int{},
	}
	o.Clock = w.clock.FakeClock
	server, err := northbound.Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	w.Server = server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Link = New(w.options(server.URL(), server.AppID(), server.Secret(), w.roots(), adjust...))
	return w
}

func (w *world) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.CA())
	return roots
}

func (w *world) options(
	endpoint, appID, secret string, roots *x509.CertPool, adjust ...func(*Options),
) Options {
	w.t.Helper()
	o := Options{
		Notifications: []string{string(v1alpha1.NotificationResult)}, Store: w.store,
		Callback: func() (Callback, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.callback, w.callbackErr
		},
		Followed: func(context.Context) ([]Followed, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Clone(w.followed), w.followedErr
		},
		Changed: func(tasks []result.Task) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, task := range tasks {
				w.changes[task]++
			}
		},
		StateChanged: func() {
			w.t.Logf("told: %+v", w.State())
			w.mu.Lock()
			defer w.mu.Unlock()
			w.stateChanges++
		},
		Repaired: func(n int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.repairs += n
		},
		CallsPerMinute: 60, Period: RoundPeriod, Clock: w.clock,
	}
	for _, f := range adjust {
		f(&o)
	}
	var err error
	o.Client, err = platform.New(platform.Options{
		Endpoint: endpoint, AppID: appID, Secret: func() ([]byte, error) { return []byte(secret), nil },
		RootCAs: roots, CallsPerMinute: o.CallsPerMinute, Clock: w.clock,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// run runs the link until the test ends, or the function that it returns is called.
func (w *world) run() (stop func()) {
	log := funcr.New(func(_, args string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.logged = append(w.logged, args)
	}, funcr.Options{})
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), log))
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	w.t.Cleanup(stop)
	return stop
}

// pass lets time pass while the link runs.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.passUntil(d, func() bool { return false })
}

// passUntil lets time pass until a condition holds, at most so long, and says whether it does. The condition is looked
// at while the link rests.
func (w *world) passUntil(limit time.Duration, condition func() bool) bool {
	w.t.Helper()
	end := w.clock.Now().Add(limit)
	for {
		awaitRest()
		if condition() {
			return true
		}
		if !w.clock.proceed(end) {
			awaitRest()
			return condition()
		}
	}
}

// await lets time pass until a condition holds, or ends the test.
func (w *world) await(limit time.Duration, what string, condition func() bool) {
	w.t.Helper()
	if !w.passUntil(limit, condition) {
		w.t.Fatalf("within %s: %s; %+v", limit, what, w.State())
	}
}

// loggedWith returns the lines of the link's log that have a text.
func (w *world) loggedWith(text string) (lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.logged {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// calls returns how many calls of a kind there were.
func (w *world) calls(kind northbound.Call) int { return w.Report().Calls.ByKind[kind] }

// follow has a task of the platform followed.
func (w *world) follow(operation string, adjust ...func(*Followed)) result.Task {
	task := result.Task{AppID: w.AppID(), OperationID: operation}
	f := Followed{Task: task}
	for _, change := range adjust {
		change(&f)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.followed = slices.DeleteFunc(w.followed, func(other Followed) bool { return other.Task == task })
	w.followed = append(w.followed, f)
	return task
}

// createTask has the platform upgrade devices.
func (w *world) createTask(spec northbound.TaskSpec) (operation string) {
	w.t.Helper()
	operation, err := w.CreateTask(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return operation
}

// createEnded has the platform upgrade so many devices, and lets time pass until it is done.
func (w *world) createEnded(count int) (operation string) {
	w.t.Helper()
	operation = w.createTask(northbound.TaskSpec{Count: count})
	for range 1000 {
		if truth, _ := w.Truth(operation); truth.Counts.Wait+truth.Counts.Processing == 0 {
			return operation
		}
		w.clock.Step(time.Minute)
	}
	w.t.Fatal("the task does not end")
	return ""
}

// push stores the results of a task's devices as pushes bring them, but for those that are lost.
func (w *world) push(operation string, isLost func(n int) bool) {
	w.t.Helper()
	truth, _ := w.Truth(operation)
	var results []result.Result
	for n := range truth.Devices {
		d := &truth.Devices[n]
		if (d.Status == "success" || d.Status == "fail") && !isLost(n) {
			results = append(results, pushOf(w.AppID(), truth, d))
		}
	}
	w.store.Add(results)
}

// pushOf is the result that a push brings, a second after the device ended.
func pushOf(appID string, truth *northbound.Truth, d *northbound.DeviceTruth) result.Result {
	r := result.Result{
		Task: result.Task{AppID: appID, OperationID: truth.OperationID}, DeviceID: d.DeviceID,
		SubOperationID: d.SubOperationID, ReceivedAt: d.StopTime.Add(time.Second).UnixMicro(),
	}
	r.State, r.TargetVersion, r.CurVersion = storage.StateSucceeded, truth.FileVersion, truth.FileVersion
	if d.Status == "fail" {
		r.State, r.CurVersion, r.StatusDesc = storage.StateFailed, "", d.Detail
	}
	r.Normalize()
	return r
}

// isEqual says whether the store counts what the platform does.
func (w *world) isEqual(task result.Task) bool {
	truth, ok := w.Truth(task.OperationID)
	sum := w.store.Summary(task, tally.Query{})
	return ok && sum.Succeeded == int64(truth.Counts.Success) &&
		sum.Failed == int64(truth.Counts.Fail+truth.Counts.Stop)
}

// judgement is what the rounds found of a task.
func (w *world) judgement(task result.Task) status.Judgement { return w.View(task).Judgement }

// curl calls the platform as somebody does who has a shell, with a login that ends the link's token.
func (w *world) curl(method, path, body string) (status int) {
	w.t.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots(), MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}
	send := func(method, path, body, content, token string) (int, string) {
		request, err := http.NewRequestWithContext(w.t.Context(), method, w.URL()+path, strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		if body != "" {
			request.Header.Set("Content-Type", content)
		}
		if token != "" {
			request.Header.Set("App_key", w.AppID())
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			w.t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	form := url.Values{"appId": {w.AppID()}, "secret": {w.Secret()}}.Encode()
	_, answer := send(http.MethodPost, "/iocm/app/sec/v1.1.0/login", form, "application/x-www-form-urlencoded", "")
	_, after, _ := strings.Cut(answer, `"accessToken":"`)
	token, _, _ := strings.Cut(after, `"`)
	status, _ = send(method, path, body, "application/json", token)
	return status
}

const subscriptionsPath = "/iocm/app/sub/v1.2.0/subscriptions"

// subscribeURL subscribes a URL, as somebody else does.
func (w *world) subscribeURL(callbackURL string) {
	w.t.Helper()
	body := fmt.Sprintf(`{"notifyType":%q,"callbackUrl":%q}`, v1alpha1.NotificationResult, callbackURL)
	if status := w.curl(http.MethodPost, "/iodm/app/sub/v1.1.0/subscribe", body); status != http.StatusOK {
		w.t.Fatalf("subscribe: %d", status)
	}
}

func (w *world) setCallback(c Callback, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.callback, w.callbackErr = c, err
}

func (w *world) setFaults(f northbound.Faults) {
	w.t.Helper()
	if err := w.SetFaults(f); err != nil {
		w.t.Fatal(err)
	}
}

// through has the link call the platform through a proxy, which may answer by itself, and may change what the platform
// answers; each may be nil.
func (w *world) through(
	answer func(http.ResponseWriter, *http.Request) (answered bool), rewrite func(path string, body []byte) []byte,
	adjust ...func(*Options),
) {
	w.t.Helper()
	target, err := url.Parse(w.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	// The platform is strict: a proxy must add nothing.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	proxy.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots(), MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		DisableCompression: true,
	}
	proxy.ModifyResponse = func(r *http.Response) error {
		if rewrite == nil {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = rewrite(r.Request.URL.Path, body)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if answer == nil || !answer(rw, r) {
			proxy.ServeHTTP(rw, r)
		}
	}))
	w.t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	w.Link = New(w.options(server.URL, w.AppID(), w.Secret(), roots, adjust...))
}

// isGet says whether a request asks for one task.
func isGet(r *http.Request, operation string) bool {
	return strings.HasSuffix(r.URL.Path, "/operations/"+operation)
}
