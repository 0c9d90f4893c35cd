// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

const (
	testSecret  = "correct-horse-battery"
	otherSecret = "another-secret-of-one"
)

// patience bounds what a test waits for; it is never reached unless something is broken.
const patience = 30 * time.Second

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("after %s still not so: %s", patience, what)
		}
	}
}

// admin is a client that may do everything.
func admin(t *testing.T) client.Client {
	t.Helper()
	c, err := harness.NewClient(cluster)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func makeNamespace(t *testing.T) string {
	t.Helper()
	return harness.NewNamespace(t, admin(t))
}

// contents is what is stored in a namespace.
type contents struct {
	results  []result.Result
	rejected []storage.RejectedNotification
}

func storedIn(t *testing.T, namespace string) contents {
	t.Helper()
	var list storage.ResultSliceList
	if err := admin(t).List(t.Context(), &list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	var c contents
	for i := range list.Items {
		c.results = append(c.results, unpack(&list.Items[i])...)
		c.rejected = append(c.rejected, list.Items[i].Rejected...)
	}
	return c
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	overwrite(t, path, content)
	return path
}

func overwrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logBook keeps what was logged, with all details.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBook) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, prefix+args)
	}, funcr.Options{Verbosity: 10})
}

func (l *logBook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// testReceiver is a receiver that serves.
type testReceiver struct {
	*Receiver
	t         *testing.T
	base      string
	client    *http.Client
	namespace string
	registry  *prometheus.Registry
	logs      *logBook
	// stop ends the context of Start; ended gets what Start returned.
	stop  context.CancelFunc
	ended chan error
}

// startReceiver starts a receiver with the secret testSecret unless change says otherwise.
func startReceiver(t *testing.T, change func(*Options)) *testReceiver {
	t.Helper()
	registry, logs := prometheus.NewRegistry(), &logBook{}
	o := Options{
		BindAddress: "127.0.0.1:0",
		SecretsFile: writeFile(t, "secrets", "# of the platform\n\n"+testSecret+"\n"),
		Namespace:   makeNamespace(t),
		Config:      cluster.Config(),
		Registerer:  registry,
		Log:         logs.logger(),
	}
	if change != nil {
		change(&o)
	}
	receiver, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, receiver, registry, logs)
}

// run starts a receiver and stops it with the test.
func run(t *testing.T, receiver *Receiver, registry *prometheus.Registry, logs *logBook) *testReceiver {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &testReceiver{
		Receiver: receiver, t: t, namespace: receiver.options.Namespace, registry: registry, logs: logs,
		client: &http.Client{
			Transport:     &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       patience,
		},
		stop: stop, ended: make(chan error, 1),
	}
	go func() { r.ended <- receiver.Start(ctx); close(r.ended) }()
	t.Cleanup(func() {
		stop()
		if err := <-r.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		r.client.CloseIdleConnections()
	})
	select {
	case <-receiver.Started():
	case err := <-r.ended:
		t.Fatalf("did not start: %v", err)
	}
	scheme := "http"
	if receiver.options.CertDir != "" {
		scheme = "https"
	}
	r.base = fmt.Sprintf("%s://%s", scheme, receiver.Addr())
	return r
}

// reply is what a sender sees.
type reply struct {
	status int
	body   string
	header http.Header
}

func (r *testReceiver) send(method, path, body string) reply {
	r.t.Helper()
	got, err := r.try(method, path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// sendAt pushes at the present time of a clock, and moves the clock on from when the push arrived until it is answered.
func (r *testReceiver) sendAt(clk *testclock.FakeClock, path, body string) reply {
	r.t.Helper()
	got := make(chan reply, 1)
	go func() {
		answer, err := r.try(http.MethodPost, path, body)
		if err != nil {
			r.t.Errorf("the push failed: %v", err)
		}
		got <- answer
	}()
	eventually(r.t, "the push waits", func() bool { return r.metric("fwupgrade_webhook_queue_entries") == 1 })
	eventually(r.t, "the push is answered", func() bool { clk.Step(batchDelay); return len(got) == 1 })
	return <-got
}

func (r *testReceiver) try(method, path, body string) (reply, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, r.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return reply{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{status: response.StatusCode, body: strings.TrimSpace(string(content)), header: response.Header}, nil
}

// metric is the value of a counter or gauge, added up over the series that have all the given label values.
func (r *testReceiver) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			matching := 0
			for _, pair := range m.GetLabel() {
				if slices.Contains(labels, pair.GetValue()) {
					matching++
				}
			}
			if matching == len(labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// push is a documented result of a device.
func push(deviceID string) string {
	return `{"notifyType":"fwUpgradeResultNotify","deviceId":"` + deviceID + `","appId":"app","operationId":"op",` +
		`"subOperationId":"sub","curVersion":"1.6","targetVersion":"1.6","sourceVersion":"1.3","status":"SUCCESS",` +
		`"statusDesc":"fine","upgradeTime":"12"}`
}

// unpack returns the results of a slice, all of which have to be readable.
func unpack(slice *storage.ResultSlice) []result.Result {
	results, err := result.Unpack(slice.Tables)
	if err != nil {
		panic(err) // the webhook wrote it
	}
	return results
}

// newResultEntry is the entry of a result that was decoded from a body.
func newResultEntry(arrived time.Time, r result.Result, body []byte) *entry {
	e := newEntry(arrived, newOriginal(body, int64(len(body)), ""))
	e.result = r
	return e
}

// newRejectedEntry is the entry of a push that can't be used.
func newRejectedEntry(arrived time.Time, reason string, body []byte) *entry {
	e := newEntry(arrived, newOriginal(body, int64(len(body)), ""))
	e.turnRejected(reason)
	return e
}
