// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the platform's northbound API by TLS, the ledger, and the processes that create tasks, one after the other.
type world struct {
	*northbound.Server
	t      *testing.T
	clock  *clocktesting.FakeClock
	ledger *ledger
	client *platform.Client
	// creator is the one of the process that runs.
	creator *Creator
	// proved and witnesses are what an Application says.
	proved    bool
	witnesses []string
	// steps counts what the process does to the outside, each before and after; it dies at the one that is diesAt.
	steps, diesAt int
	// leads says whether the process leads for certain.
	leads bool
	// status is what the FirmwareUpgrade says.
	status *Verdict
	// markErr is what mark fails with.
	markErr error
}

func newWorld(t *testing.T, o northbound.Options) *world {
	t.Helper()
	w := &world{
		t: t, clock: clocktesting.NewFakeClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)), proved: true, leads: true,
		ledger: &ledger{records: map[string]Record{}},
	}
	w.ledger.step = w.step
	o.Clock, o.CallsPerMinute = w.clock, 1_000_000
	server, err := northbound.Start(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	w.Server = server
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.CA())
	w.client, err = platform.New(platform.Options{
		Endpoint: server.URL(), AppID: server.AppID(), RootCAs: roots, CallsPerMinute: 6000, Clock: w.clock,
		Secret: func() ([]byte, error) { return []byte(server.Secret()), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	w.restart()
	return w
}

// restart begins another process, which knows nothing but what is recorded.
func (w *world) restart() {
	w.creator = New(Options{
		Ledger: w.ledger, Clock: w.clock, Holder: "test", Leads: func() bool { return w.leads }, Grace: time.Hour,
	})
}

func (w *world) app() *Application {
	return &Application{
		ID: w.AppID(), Platform: steppedPlatform{w}, SearchIsProved: w.proved,
		Witnesses: func(time.Time) []string { return w.witnesses },
	}
}

// step is where a process may die.
func (w *world) step() {
	w.steps++
	if w.steps == w.diesAt {
		runtime.Goexit()
	}
}

// steppedPlatform is the platform's client, at each call of which the process may die, before and after.
type steppedPlatform struct{ w *world }

func (p steppedPlatform) CreateTask(
	ctx context.Context, r platform.TaskRequest, ready func() error,
) (string, error) {
	p.w.step()
	defer p.w.step()
	return p.w.client.CreateTask(ctx, r, ready)
}

func (p steppedPlatform) Tasks(
	ctx context.Context, f platform.TaskFilter, priority platform.Priority,
) (platform.TaskList, error) {
	p.w.step()
	defer p.w.step()
	return p.w.client.Tasks(ctx, f, priority)
}

func (p steppedPlatform) Task(ctx context.Context, id string, priority platform.Priority) (*platform.Task, error) {
	p.w.step()
	defer p.w.step()
	return p.w.client.Task(ctx, id, priority)
}

func (p steppedPlatform) Status() platform.Status { return p.w.client.Status() }

// ledger keeps records in memory, as etcd does: a name is given once.
type ledger struct {
	mu      sync.Mutex
	records map[string]Record
	// stale is what the cache has, where it is behind; nil: what is stored.
	stale []Record
	// answers are lost of so many creations of records: they are stored or, with drops, not.
	losesAnswers, drops int
	step                func()
}

var errLost = errors.New("the API server did not answer")

func (l *ledger) Cached(hash string) ([]Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.stale
	if all == nil {
		all = slices.Collect(maps.Values(l.records))
	}
	return slices.DeleteFunc(slices.Clone(all), func(r Record) bool { return r.RequestHash != hash }), nil
}

func (l *ledger) All(context.Context) ([]Record, error) {
	l.step()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.records)), nil
}

func (l *ledger) Get(_ context.Context, name string) (*Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.records[name]; ok {
		return &r, nil
	}
	return nil, ErrNotFound
}

func (l *ledger) Create(_ context.Context, r *Record) error {
	l.step()
	defer l.step()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.records[Name(r)]; ok {
		return ErrExists
	}
	if l.drops > 0 {
		l.drops--
		return errLost
	}
	l.records[Name(r)] = *r
	if l.losesAnswers > 0 {
		l.losesAnswers--
		return errLost
	}
	return nil
}

// upgrade is what a FirmwareUpgrade asks for.
func (w *world) upgrade(adjust ...func(*v1alpha1.TaskRequest)) *Asked {
	task := &v1alpha1.TaskRequest{
		PackageID: "a-package", Devices: []string{"device-2", "device-1"}, Run: 1,
		CreateBefore: metav1.NewTime(w.clock.Now().Add(24 * time.Hour)),
	}
	for _, f := range adjust {
		f(task)
	}
	return &Asked{
		AppID: w.AppID(), Task: task, Since: w.clock.Now(),
		For: storage.ObjectReference{Namespace: "fleet", Name: "meters-1.6", UID: "uid"},
	}
}

// turn does what the controllers do of one FirmwareUpgrade, once: it goes on with the creation, and searches for what
// may have been created. It says whether the process died.
func (w *world) turn(q *Asked) (v Verdict, died bool) {
	w.t.Helper()
	done := make(chan struct{})
	died = true
	go func() {
		defer close(done)
		v = w.goOn(q)
		died = false
	}()
	w.await(done)
	return v, died
}

// await waits for the end of something for which time may have to pass.
func (w *world) await(done <-chan struct{}) {
	w.t.Helper()
	for range 60_000 {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
			if w.clock.HasWaiters() {
				w.clock.Step(100 * time.Millisecond)
			}
		}
	}
	w.t.Fatal("it comes to no end")
}

func (w *world) goOn(q *Asked) Verdict {
	v, begin, err := w.creator.Known(q)
	switch {
	case err != nil || !begin:
	case v.OperationID != "":
		v, err = w.creator.Restore(w.t.Context(), w.app(), q)
	default:
		v, err = w.creator.Create(w.t.Context(), w.app(), q, func(_ context.Context, v Verdict) error {
			w.step()
			defer w.step()
			w.status = &v
			return w.markErr
		})
	}
	if err != nil {
		w.t.Logf("%s: %v", w.clock.Now().Format(time.TimeOnly), err)
		return Verdict{}
	}
	for _, a := range bookOf(w.all()).undecided() {
		r, err := w.ledger.Get(w.t.Context(), storage.IntentName(a.requestHash, a.number))
		if err != nil {
			w.t.Error(err)
			continue
		}
		if _, err := w.creator.Resolve(w.t.Context(), w.app(), r, Decision{}); err != nil {
			w.t.Logf("%s: search: %v", w.clock.Now().Format(time.TimeOnly), err)
		}
	}
	if known, begins, err := w.creator.Known(q); err == nil && !begins {
		v = known
	}
	return v
}

func (w *world) all() []Record {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return slices.Collect(maps.Values(w.ledger.records))
}

// until lets time pass, a step of the clock after the other, until the verdict has a reason.
func (w *world) until(q *Asked, within, step time.Duration, reason string) Verdict {
	w.t.Helper()
	var v Verdict
	for end := w.clock.Now().Add(within); w.clock.Now().Before(end); w.clock.Step(step) {
		if v, _ = w.turn(q); v.Reason == reason {
			return v
		}
	}
	w.t.Fatalf("within %s: want %s, got %+v", within, reason, v)
	return v
}

// expectTasks checks how many tasks there are, and that none is a second one of a request.
func (w *world) expectTasks(want int) {
	w.t.Helper()
	if r := w.Report().Tasks; r.Created != want || r.Duplicates != 0 {
		w.t.Errorf("the platform created %d tasks, %d of them duplicates, want %d", r.Created, r.Duplicates, want)
	}
}
