// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/platform"
)

// A request is known by its content, in whatever order it is written, and by nothing else.
func TestHash(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
	base := v1alpha1.TaskRequest{PackageID: "p", Devices: []string{"a", "b"}, Run: 1, CreateBefore: at}
	with := func(f func(*v1alpha1.TaskRequest)) *v1alpha1.TaskRequest {
		task := base.DeepCopy()
		f(task)
		return task
	}
	want := Hash("app", &base)
	for name, same := range map[string]*v1alpha1.TaskRequest{
		"order":        with(func(r *v1alpha1.TaskRequest) { r.Devices = []string{"b", "a"} }),
		"repetition":   with(func(r *v1alpha1.TaskRequest) { r.Devices = []string{"b", "a", "a"} }),
		"createBefore": with(func(r *v1alpha1.TaskRequest) { r.CreateBefore = metav1.NewTime(at.Add(time.Hour)) }),
		"run of old":   with(func(r *v1alpha1.TaskRequest) { r.Run = 0 }),
	} {
		if got := Hash("app", same); got != want {
			t.Errorf("%s makes another request", name)
		}
	}
	groups := &v1alpha1.DeviceGroups{Names: []string{"a", "b"}, DeviceType: "t", Model: "m", ManufacturerName: "n"}
	hashes := map[string]string{"another application": Hash("app2", &base)}
	for name, other := range map[string]*v1alpha1.TaskRequest{
		"package": with(func(r *v1alpha1.TaskRequest) { r.PackageID = "p2" }),
		"device":  with(func(r *v1alpha1.TaskRequest) { r.Devices = []string{"a"} }),
		"groups":  with(func(r *v1alpha1.TaskRequest) { r.Devices, r.DeviceGroups = nil, groups }),
		"model": with(func(r *v1alpha1.TaskRequest) {
			other := *groups
			other.Model = "m2"
			r.Devices, r.DeviceGroups = nil, &other
		}),
		"window": with(func(r *v1alpha1.TaskRequest) {
			r.Window = &v1alpha1.Window{Start: at, End: metav1.NewTime(at.Add(time.Hour))}
		}),
		"retries": with(func(r *v1alpha1.TaskRequest) { r.Retries = 1 }),
		"run":     with(func(r *v1alpha1.TaskRequest) { r.Run = 2 }),
	} {
		hashes[name] = Hash("app", other)
	}
	seen := map[string]string{want: "the request"}
	for name, hash := range hashes {
		if other, ok := seen[hash]; ok {
			t.Errorf("%s is the same as %s", name, other)
		}
		seen[hash] = name
	}
}

// A task is recognised by its devices or groups, in whatever order, what groups are of, its policy and its version.
func TestFingerprint(t *testing.T) {
	devices := &v1alpha1.TaskRequest{Devices: []string{"a", "b"}, Retries: 1}
	groups := &v1alpha1.TaskRequest{DeviceGroups: &v1alpha1.DeviceGroups{Names: []string{"a", "b"}, Model: "NB-600"}}
	retry := platform.Policy{ExecuteType: "now", Retry: true, RetryTimes: 1}
	once := platform.Policy{ExecuteType: "now"}
	of := func(groups []string, model string) platform.Targets {
		return platform.Targets{DeviceGroups: groups, Model: model}
	}
	for name, c := range map[string]struct {
		asked *v1alpha1.TaskRequest
		task  platform.Task
		want  bool
	}{
		"the same": {devices, platform.Task{Targets: platform.Targets{Devices: []string{"b", "a", "b"}}, Policy: retry}, true},
		"the version": {
			devices, platform.Task{Targets: platform.Targets{Devices: []string{"a", "b"}}, Policy: retry, FileVersion: "1.6"},
			true,
		},
		"another version": {
			devices, platform.Task{Targets: platform.Targets{Devices: []string{"a", "b"}}, Policy: retry, FileVersion: "1.7"},
			false,
		},
		"another policy":    {devices, platform.Task{Targets: platform.Targets{Devices: []string{"a", "b"}}, Policy: once}, false},
		"a device less":     {devices, platform.Task{Targets: platform.Targets{Devices: []string{"a"}}, Policy: retry}, false},
		"groups":            {groups, platform.Task{Targets: of([]string{"b", "a"}, "NB-600"), Policy: once}, true},
		"no model told":     {groups, platform.Task{Targets: of([]string{"b", "a"}, ""), Policy: once}, true},
		"of another model":  {groups, platform.Task{Targets: of([]string{"b", "a"}, "NB-700"), Policy: once}, false},
		"devices, not such": {groups, platform.Task{Targets: platform.Targets{Devices: []string{"a", "b"}}, Policy: once}, false},
	} {
		f := fingerprintOf(c.asked, "1.6")
		if got := f.matches(&c.task); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What is listed for other devices can't be what was asked for, and what does not tell its devices can.
func TestResembles(t *testing.T) {
	devices := fingerprintOf(&v1alpha1.TaskRequest{Devices: []string{"a", "b"}}, "")
	groups := fingerprintOf(&v1alpha1.TaskRequest{DeviceGroups: &v1alpha1.DeviceGroups{Names: []string{"a", "b"}}}, "")
	for name, c := range map[string]struct {
		of      fingerprint
		targets platform.Targets
		want    bool
	}{
		"some of the devices": {devices, platform.Targets{Devices: []string{"b", "c"}}, true},
		"other devices":       {devices, platform.Targets{Devices: []string{"c"}}, false},
		"a device's group":    {devices, platform.Targets{DeviceGroups: []string{"c"}}, true},
		"some of the groups":  {groups, platform.Targets{DeviceGroups: []string{"c", "a"}}, true},
		"other groups":        {groups, platform.Targets{DeviceGroups: []string{"c"}}, false},
		"a group's devices":   {groups, platform.Targets{Devices: []string{"c"}}, true},
		"nothing is told":     {groups, platform.Targets{}, true},
	} {
		if got := c.of.resembles(&platform.Task{Targets: c.targets}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Where everything works there is one task, of which the ledger tells whoever asks for the same.
func TestCreate(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	q := w.upgrade()
	v, _ := w.turn(q)
	if v.State != v1alpha1.TaskCreated || v.Reason != v1alpha1.ReasonCreated || v.OperationID == "" || v.Attempt != 1 {
		t.Fatalf("%+v", v)
	}
	if w.status == nil || w.status.State != v1alpha1.TaskCreating || w.status.RequestHash != v.RequestHash {
		t.Errorf("the status said %+v before", w.status)
	}
	w.restart()
	other := w.upgrade(func(r *v1alpha1.TaskRequest) {
		slices.Reverse(r.Devices)
		r.CreateBefore = metav1.NewTime(w.clock.Now().Add(-time.Hour))
	})
	other.For = storage.ObjectReference{Namespace: "another", Name: "renamed", UID: "another"}
	if again, _ := w.turn(other); again.OperationID != v.OperationID {
		t.Errorf("who asks for the same got %+v", again)
	}
	w.expectTasks(1)
}

// A process that dies before or after any step creates one task in the end, and asks nobody.
func TestCreatesOnce(t *testing.T) {
	for dies := 1; ; dies++ {
		w := newWorld(t, northbound.Options{})
		q := w.upgrade()
		w.diesAt = dies
		_, died := w.turn(q)
		if !died {
			if dies < 12 {
				t.Errorf("only %d steps were tried", dies)
			}
			return
		}
		w.diesAt = 0
		w.restart()
		v := w.until(q, 4*time.Hour, time.Minute, v1alpha1.ReasonCreated)
		w.expectTasks(1)
		if v.OperationID == "" {
			t.Errorf("dies at %d: %+v", dies, v)
		}
	}
}

// A process that dies again and again, at random steps, still creates one task.
func TestCreatesOnceWhateverDies(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{
		AnswerCut: northbound.Fault{Share: 0.3, Calls: []northbound.Call{northbound.CallCreate}},
	}})
	for n := range 60 {
		q := w.upgrade(func(r *v1alpha1.TaskRequest) { r.Devices = []string{"device-" + strings.Repeat("x", n)} })
		for kill := range 8 {
			w.steps, w.diesAt = 0, 1+(n*7+kill*3)%11
			w.turn(q)
			w.restart()
			w.clock.Step(time.Duration(1+(n+kill)%5) * time.Minute)
		}
		w.diesAt = 0
		w.until(q, 8*time.Hour, 5*time.Minute, v1alpha1.ReasonCreated)
		w.expectTasks(n + 1)
	}
}

// What the platform's answer leaves unclear is found out by looking.
func TestUnclear(t *testing.T) {
	create := []northbound.Call{northbound.CallCreate}
	once := northbound.Fault{Next: 1, Calls: create}
	for name, faults := range map[string]northbound.Faults{
		"the answer is cut":           {AnswerCut: once},
		"500 after it was created":    {ErrorAfter: once},
		"500 before it was created":   {ErrorBefore: once},
		"created 50 minutes late":     {CreatedLate: northbound.Fault{Next: 1, Delay: northbound.Duration(50 * time.Minute)}},
		"listed 50 minutes late, cut": {AnswerCut: once, ListLags: northbound.Fault{Next: 1, Delay: northbound.Duration(50 * time.Minute)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{Faults: faults})
			q := w.upgrade()
			if v, _ := w.turn(q); v.Reason != v1alpha1.ReasonResolving || v.State != v1alpha1.TaskUncertain {
				t.Errorf("%+v", v)
			}
			w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreated)
			w.expectTasks(1)
		})
	}
}

// The ledger's own answers may be lost, of what was stored and of what was not.
func TestLedgerDoesNotAnswer(t *testing.T) {
	for name, fail := range map[string]func(*ledger){
		"stored":       func(l *ledger) { l.losesAnswers = 3 },
		"not stored":   func(l *ledger) { l.drops = 3 },
		"cached stale": func(l *ledger) { l.stale = []Record{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{})
			fail(w.ledger)
			q := w.upgrade()
			w.turn(q)
			w.turn(q)
			w.ledger.stale = nil
			w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreated)
			w.expectTasks(1)
		})
	}
}

// What the platform refuses for good is not asked again; what it refuses for now is, ever later.
func TestRefused(t *testing.T) {
	w := newWorld(t, northbound.Options{Packages: []northbound.Package{{FileID: "a-package-that-is-there"}}})
	q := w.upgrade()
	v, _ := w.turn(q)
	if v.State != v1alpha1.TaskRefused || v.Reason != v1alpha1.ReasonTaskRefused || v.Message == "" {
		t.Fatalf("%+v", v)
	}
	w.clock.Step(24 * time.Hour)
	w.turn(q)
	if got := len(w.Report().Creations); got != 1 {
		t.Errorf("it was asked %d times", got)
	}
	fixed := w.upgrade(func(r *v1alpha1.TaskRequest) { r.PackageID = "a-package-that-is-there" })
	w.until(fixed, time.Hour, time.Minute, v1alpha1.ReasonCreated)
	w.expectTasks(1)
}

// Two FirmwareUpgrades, two processes: nothing is asked for twice.
func TestThrottled(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{
		Throttled: northbound.Fault{Next: 1, Calls: []northbound.Call{northbound.CallCreate}},
	}})
	q := w.upgrade()
	v, _ := w.turn(q)
	if v.Reason != v1alpha1.ReasonWaiting || v.After <= 0 {
		t.Errorf("%+v", v)
	}
	w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreated)
	w.expectTasks(1)
}

// After its time nothing is created; what was created before is followed all the same.
func TestExpired(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	q := w.upgrade(func(r *v1alpha1.TaskRequest) { r.CreateBefore = metav1.NewTime(w.clock.Now()) })
	if v, _ := w.turn(q); v.State != v1alpha1.TaskExpired || v.Reason != v1alpha1.ReasonCreationExpired {
		t.Errorf("%+v", v)
	}
	if got := w.Report().Creations; len(got) != 0 {
		t.Errorf("asked for %+v", got)
	}
}

// A process that may not lead, or stood still since it recorded the intent, asks nothing.
func TestFrozen(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	w.leads = false
	q := w.upgrade()
	if v, _ := w.turn(q); v.Reason != v1alpha1.ReasonWaiting {
		t.Errorf("%+v", v)
	}
	if got := w.Report().Creations; len(got) != 0 {
		t.Errorf("asked for %+v", got)
	}
	w.leads = true
	w.until(q, time.Hour, time.Minute, v1alpha1.ReasonCreated)
	w.expectTasks(1)
}

// stoppedPlatform has the process be told to stop as soon as the platform is asked.
type stoppedPlatform struct {
	steppedPlatform
	stop func()
}

func (p stoppedPlatform) CreateTask(
	ctx context.Context, r platform.TaskRequest, ready func() error,
) (string, error) {
	return p.steppedPlatform.CreateTask(ctx, r, func() error {
		err := ready()
		p.stop()
		return err
	})
}

// A process that is told to stop while it asks the platform records the answer.
func TestStopped(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	q := w.upgrade()
	ctx, cancel := context.WithCancel(t.Context())
	app := w.app()
	app.Platform = stoppedPlatform{steppedPlatform{w}, cancel}
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err := w.creator.Create(ctx, app, q, func(context.Context, Verdict) error { return nil })
		if err != nil || v.OperationID == "" {
			t.Errorf("%+v, error %v", v, err)
		}
	}()
	w.await(done)
	if len(w.all()) != 2 {
		t.Errorf("%d records", len(w.all()))
	}
	w.expectTasks(1)
}

// A process that went on after it stood still, while another recorded that the platform has the task, does not ask.
func TestOutcomeBeforeTheIntent(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	q := w.upgrade()
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err := w.creator.Create(t.Context(), w.app(), q, func(ctx context.Context, v Verdict) error {
			return w.ledger.Create(ctx, &Record{AppID: q.AppID, RequestHash: v.RequestHash, Attempt: v.Attempt,
				Outcome: &storage.TaskOutcome{
					Result: storage.TaskResultCreated, OperationID: "another's", How: storage.TaskFound,
				},
			})
		})
		if err != nil || v.OperationID != "another's" {
			t.Errorf("%+v, error %v", v, err)
		}
	}()
	w.await(done)
	w.expectTasks(0)
}

// A cache that is behind does not make an attempt whose answer came look like one without.
func TestCacheBehind(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	q := w.upgrade()
	done := make(chan struct{})
	var made Verdict
	go func() {
		defer close(done)
		var err error
		made, err = w.creator.Create(t.Context(), w.app(), q, func(context.Context, Verdict) error { return nil })
		if err != nil {
			t.Error(err)
		}
	}()
	w.await(done)
	intent, err := w.ledger.Get(t.Context(), storage.IntentName(made.RequestHash, 1))
	if err != nil {
		t.Fatal(err)
	}
	w.ledger.stale = []Record{*intent}
	for range 2 { // then the cache has it
		if v, begin, err := w.creator.Known(q); err != nil || begin || v.OperationID != made.OperationID {
			t.Errorf("%+v, begins %t, error %v", v, begin, err)
		}
		w.ledger.stale = nil
	}
}
