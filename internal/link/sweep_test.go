// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
)

// A sweep stores what is missing and nothing else, each device once, with the time at which the platform says that it
// ended; and nothing is asked for where nothing is missing.
func TestSweepStoresOnlyMissing(t *testing.T) {
	w := newWorld(t, northbound.Options{
		Devices: northbound.DeviceOptions{Fail: 0.2, Spread: time.Hour},
	}, onlyRounds)
	whole, operation := w.createEnded(150), w.createEnded(450)
	isLost := func(n int) bool { return n%17 == 0 }
	w.push(whole, none)
	w.push(operation, isLost)
	task := w.follow(operation)
	w.follow(whole)
	w.run()
	w.await(10*time.Minute, "the counts do not become equal", func() bool { return w.isEqual(task) })
	truth, _ := w.Truth(operation)
	want, got := map[string]result.Result{}, map[string]result.Result{}
	for n := range truth.Devices {
		if d := &truth.Devices[n]; isLost(n) {
			want[d.DeviceID] = polledOf(w.AppID(), truth, d)
		}
	}
	for _, r := range w.store.added() {
		if _, again := got[r.DeviceID]; again {
			t.Errorf("%s was stored twice", r.DeviceID)
		}
		got[r.DeviceID] = r
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored (-missing +stored):\n%s", diff)
	}
	swept := w.calls(northbound.CallSubTasks)
	w.pass(time.Hour)
	if again := w.calls(northbound.CallSubTasks); again != swept || swept > 5 {
		t.Errorf("%d pages of five, then %d", swept, again)
	}
	if v := w.View(task); v.Judgement != status.NotJudged || v.Figures.Repaired != int64(len(want)) {
		t.Errorf("%+v of %+v", v, v.Figures)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.repairs != len(want) {
		t.Errorf("%d results were told as repaired", w.repairs)
	}
}

// polledOf is what asking for a device has to bring.
func polledOf(appID string, truth *northbound.Truth, d *northbound.DeviceTruth) result.Result {
	r := result.Result{
		Task: result.Task{AppID: appID, OperationID: truth.OperationID}, DeviceID: d.DeviceID,
		SubOperationID: d.SubOperationID, ReceivedAt: d.StopTime.Truncate(time.Second).UnixMicro(),
	}
	switch d.Status {
	case "success":
		r.State, r.TargetVersion = storage.StateSucceeded, truth.FileVersion
	case "fail":
		r.State, r.StatusDesc = storage.StateFailed, d.Detail
	case "stop":
		r.State, r.StatusDesc = storage.StateFailed, stoppedDesc
	}
	r.Normalize()
	return r
}

// While a task runs, nothing is asked for before nothing has come for a while: pushes are on their way.
func TestRunningTaskIsSweptWhenQuiet(t *testing.T) {
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{
		Fates: map[string]northbound.Fate{"late": northbound.Offline},
	}}, onlyRounds)
	operation := w.createTask(northbound.TaskSpec{Devices: []string{"a", "b", "late"}})
	w.clock.Step(time.Hour)
	truth, _ := w.Truth(operation)
	pushed := pushOf(w.AppID(), truth, &truth.Devices[0])
	pushed.ReceivedAt = w.clock.Now().UnixMicro()
	w.store.Add([]result.Result{pushed})
	task := w.follow(operation)
	w.run()
	w.pass(quietAfter - time.Second)
	if got := w.calls(northbound.CallSubTasks); got != 0 {
		t.Errorf("%d pages were asked for before the task was quiet", got)
	}
	w.await(2*RoundPeriod+time.Second, "nothing is asked for", func() bool {
		return w.store.Summary(task, tally.Query{}).Succeeded == 2
	})
}

// Devices that somebody stopped cause no push: they are asked for, after those that failed.
func TestStoppedDevicesAreAskedFor(t *testing.T) {
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{
		Fates: map[string]northbound.Fate{"fails": northbound.Fails, "a": northbound.Offline, "b": northbound.Offline},
	}}, onlyRounds)
	operation := w.createTask(northbound.TaskSpec{Devices: []string{"fails", "a", "b", "works"}})
	w.clock.Step(3 * time.Hour)
	if err := w.StopTask(operation); err != nil {
		t.Fatal(err)
	}
	task := w.follow(operation)
	w.run()
	w.await(10*time.Minute, "the counts do not become equal", func() bool { return w.isEqual(task) })
	sum := w.store.Summary(task, tally.Query{})
	var stopped int64
	for _, c := range sum.Causes {
		if c.Cause == stoppedDesc {
			stopped = c.Count
		}
	}
	if sum.Succeeded != 1 || sum.Failed != 3 || stopped != 2 {
		t.Errorf("%+v", sum)
	}
	w.pass(RoundPeriod)
	if f := w.View(task).Figures; f.Failed != 1 || f.Stopped != 2 {
		t.Errorf("%+v", f)
	}
}

// What was stopped may be known before what failed: both count as failed here.
func TestFailuresAreAskedForWhereStoppedDevicesAreKnown(t *testing.T) {
	const stopped, failing = 120, 150
	fates, devices := map[string]northbound.Fate{}, []string{}
	for n := range stopped + failing {
		id := fmt.Sprintf("device-%03d", n)
		fates[id], devices = northbound.Offline, append(devices, id)
		if n >= stopped {
			fates[id] = northbound.Fails
		}
	}
	w := newWorld(t, northbound.Options{
		Devices: northbound.DeviceOptions{Fates: fates},
	}, onlyRounds)
	operation := w.createTask(northbound.TaskSpec{Devices: devices})
	w.clock.Step(3 * time.Hour)
	if err := w.StopTask(operation); err != nil {
		t.Fatal(err)
	}
	truth, _ := w.Truth(operation)
	for n := range stopped {
		w.store.Add([]result.Result{polledOf(w.AppID(), truth, &truth.Devices[n])})
	}
	task := w.follow(operation)
	w.run()
	w.await(20*time.Minute, "the counts do not become equal", func() bool { return w.isEqual(task) })
	if got := len(w.store.added()); got != failing {
		t.Errorf("%d results were asked for", got)
	}
}

// A success after a failure that is known is a result that is missing.
func TestRecoveredDeviceIsAskedFor(t *testing.T) {
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{
		Fates: map[string]northbound.Fate{"recovers": northbound.Recovers},
	}}, onlyRounds)
	operation := w.createTask(northbound.TaskSpec{Devices: []string{"recovers"}, Retries: 1})
	w.clock.Step(30 * time.Second)
	for truth, _ := w.Truth(operation); truth.Counts.Fail == 0; truth, _ = w.Truth(operation) {
		w.clock.Step(10 * time.Second)
	}
	w.push(operation, none)
	w.clock.Step(3 * time.Hour)
	task := w.follow(operation)
	w.run()
	w.await(10*time.Minute, "the counts do not become equal", func() bool { return w.isEqual(task) })
	if sum := w.store.Summary(task, tally.Query{}); sum.Recovered != 1 || sum.Failures != 1 {
		t.Errorf("%+v", sum)
	}
}

// Sweeps rest while the store is full, and go on when it has room again.
func TestSweepWaitsForRoom(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.store.set(true, nil)
	task := w.follow(w.createEnded(3))
	w.run()
	w.pass(30 * time.Minute)
	if got := w.calls(northbound.CallSubTasks); got != 0 {
		t.Errorf("%d pages were asked for while there was no room", got)
	}
	w.store.set(false, nil)
	w.await(15*time.Minute, "the sweep does not go on", func() bool { return w.isEqual(task) })
}

// A store that becomes full during a sweep has it pause, which is said, and is no failure of it.
func TestSweepPausesWhereTheStoreFills(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.store.onAdd = func([]result.Result) { w.store.full = len(w.store.polled) == platform.PageSize }
	task := w.follow(w.createEnded(500))
	w.run()
	w.await(10*time.Minute, "nothing is stored", func() bool { return len(w.store.added()) > 0 })
	for _, passes := range []time.Duration{0, time.Hour} { // before and after the next rounds
		w.pass(passes)
		if v := w.View(task); v.Judgement != status.Repairing || v.Note != noRoomNote {
			t.Errorf("%+v", v)
		}
	}
	if got := w.calls(northbound.CallSubTasks); got != 1 {
		t.Errorf("%d pages were asked for, for one of which there was room", got)
	}
	w.store.set(false, nil)
	w.await(15*time.Minute, "the sweep does not go on", func() bool { return w.isEqual(task) })
	if got := w.calls(northbound.CallSubTasks); got != 5 {
		t.Errorf("%d pages were asked for, of five", got)
	}
	w.pass(RoundPeriod)
	if v := w.View(task); v.Note != "" {
		t.Errorf("%+v", v)
	}
}

// A task that lacks few results need not wait for the sweep of a large one, which has every second turn meanwhile.
func TestSmallSweepsGoFirst(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	large, small := w.createEnded(3000), w.createEnded(500)
	var mu sync.Mutex
	var order []bool // whether it was the small one's turn
	w.through(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/subOperations") {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, strings.Contains(r.URL.Path, small))
		}
		return false
	}, nil, onlyRounds)
	tasks := []result.Task{w.follow(large), w.follow(small)}
	w.run()
	w.await(time.Hour, "the counts do not become equal", func() bool { return w.isEqual(tasks[0]) && w.isEqual(tasks[1]) })
	mu.Lock()
	defer mu.Unlock()
	const pages = 5
	first, last := slices.Index(order, true), len(order)-1
	for ; !order[last]; last-- {
	}
	if first > 2 || last-first+1 != 2*pages-1 || len(order) != 35 {
		t.Errorf("of %d pages the small one had these: %v", len(order), order)
	}
}

// A page whose turn does not come within its time says nothing about the platform.
func TestSweepWhoseTurnDoesNotCome(t *testing.T) {
	w := newWorld(t, northbound.Options{}, func(o *Options) { o.CallsPerMinute = 1 })
	client, err := platform.New(platform.Options{
		Endpoint: w.URL(), AppID: w.AppID(), Secret: func() ([]byte, error) { return []byte(w.Secret()), nil },
		RootCAs: w.roots(), CallsPerMinute: 1, Clock: w.clock, QuietUntil: w.clock.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.o.Client = client
	task := w.follow("op")
	v := &view{task: &platform.Task{Result: platform.StaResult{Total: 3, Success: 3}}}
	w.views[task] = v
	w.sweeps.want(task)
	ended := make(chan error)
	go func() {
		_, err := w.sweep(context.Background(), task)
		ended <- err
	}()
	for !w.clock.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	w.clock.Step(maxWait)
	err = <-ended
	if platform.KindOf(err) != platform.Canceled {
		t.Fatalf("%v", err)
	}
	if w.endSweep(task, err); v.broken > 0 || v.sweep == nil {
		t.Errorf("%+v", v)
	}
}

// What could not be stored is asked for again, and counts as no sweep, however often.
func TestSweepThatBreaksOffIsRepeated(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.store.set(false, errors.New("the API server is away"))
	task := w.follow(w.createEnded(3))
	w.run()
	w.pass(2 * time.Hour)
	if got := w.calls(northbound.CallSubTasks); got <= maxBroken {
		t.Errorf("asked for %d times", got)
	}
	if v := w.View(task); v.Judgement != status.Repairing || v.Figures.Repaired != 0 {
		t.Errorf("%+v of %+v", v, v.Figures)
	}
	w.store.set(false, nil)
	w.await(5*time.Minute, "the results are not stored", func() bool { return w.isEqual(task) })
}

// Sweeps that break off for long are a drift, so that nobody waits for ever, also after the end; they are tried again
// all the same.
func TestSweepsThatAlwaysBreakOff(t *testing.T) {
	const broken = 10
	for _, finished := range []bool{false, true} {
		t.Run(fmt.Sprintf("finished %v", finished), func(t *testing.T) {
			w := newWorld(t, northbound.Options{Faults: northbound.Faults{
				ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallSubTasks}},
			}}, onlyRounds)
			task := w.follow(w.createEnded(3), func(f *Followed) { f.Finished = finished })
			w.run()
			w.await(time.Hour, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
			if note := w.View(task).Note; !strings.Contains(note, "again and again: the platform failed") {
				t.Errorf("%s", note)
			}
			if got := w.calls(northbound.CallSubTasks); got < broken || got > broken+1 {
				t.Errorf("%d pages", got)
			}
			before := w.calls(northbound.CallTask)
			w.pass(5 * time.Hour)
			if got := w.calls(northbound.CallTask) - before; got < 5 || got > 31 {
				t.Errorf("asked for %d times in five hours", got)
			}
			if got := w.judgement(task); got != status.Drifting {
				t.Errorf("judged as %v", got)
			}
			w.setFaults(northbound.Faults{})
			w.await(62*time.Minute, "it does not heal", func() bool { return w.isEqual(task) })
		})
	}
}

// What is missing later is asked for although other results could not be found.
func TestMoreIsMissingLater(t *testing.T) {
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fates: map[string]northbound.Fate{
		"fails": northbound.Fails, "late": northbound.Offline, "works": northbound.Succeeds,
	}}}, onlyRounds)
	operation := w.createTask(northbound.TaskSpec{Devices: []string{"fails", "works", "late"}})
	w.clock.Step(2 * time.Hour)
	truth, _ := w.Truth(operation)
	forged := pushOf(w.AppID(), truth, &truth.Devices[0])
	forged.State, forged.StatusDesc, forged.FailedAt = storage.StateSucceeded, "", 0
	w.store.Add([]result.Result{forged})
	task := w.follow(operation)
	w.run()
	w.await(time.Hour, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
	w.await(26*time.Hour, "the other failure is not asked for", func() bool {
		return w.store.Summary(task, tally.Query{}).Failed == 1
	})
}

// Of a task that is not followed any more nothing is stored: its results may have been purged meanwhile.
func TestSweepEndsWhereNobodyFollows(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	gone, other := w.follow(w.createEnded(500)), w.follow(w.createEnded(3))
	w.store.onAdd = func(results []result.Result) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.followed = slices.DeleteFunc(w.followed, func(f Followed) bool { return f.Task == results[0].Task })
	}
	w.run()
	w.await(20*time.Minute, "nothing is stored of the other task", func() bool { return w.isEqual(other) })
	w.pass(20 * time.Minute)
	if sum := w.store.Summary(gone, tally.Query{}); sum.Succeeded != platform.PageSize {
		t.Errorf("%d results were stored of a task that nobody follows", sum.Succeeded-platform.PageSize)
	}
}

// Sweeps that find something are no sign of a drift, however often the counts are behind.
func TestFruitfulSweepsAreNoDrift(t *testing.T) {
	fates, devices := map[string]northbound.Fate{}, []string{}
	for n := range 150 {
		id := fmt.Sprintf("device-%03d", n)
		fates[id], devices = northbound.Succeeds, append(devices, id)
	}
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{
		Fates: fates, UpgradeTime: 10 * time.Minute, Spread: 150 * time.Minute,
	}}, onlyRounds)
	operation := w.createTask(northbound.TaskSpec{Devices: devices})
	task := w.follow(operation) // every push is lost
	w.run()
	w.await(4*time.Hour, "the counts do not become equal in the end", func() bool {
		if w.judgement(task) == status.Drifting {
			t.Fatalf("they are said to drift: %+v", w.View(task))
		}
		truth, _ := w.Truth(operation)
		return truth.Status == "success" && w.isEqual(task)
	})
}

// A sweep that would take longer than a day is not begun, and how long it would take is said.
func TestEndlessSweepIsNotBegun(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds, func(o *Options) { o.CallsPerMinute = 1 })
	task := w.follow(w.createEnded(100_000))
	w.run()
	w.await(time.Hour, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
	if note := w.View(task).Note; !strings.Contains(note, "25h") || !strings.Contains(note, "callsPerMinute") {
		t.Errorf("%s", note)
	}
	w.pass(5 * time.Hour)
	if got := w.calls(northbound.CallSubTasks); got != 0 {
		t.Errorf("%d pages were asked for", got)
	}
}

// A platform that gives no total and takes no notice of the page's number does not keep a sweep busy for ever.
func TestPagesWithoutEnd(t *testing.T) {
	const devices = 250
	w := newWorld(t, northbound.Options{}, onlyRounds)
	pages := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		answer := fmt.Sprintf(
			`{"operationId":"op","status":"success","staResult":{"total":%d,"success":%d}}`, devices, devices)
		switch {
		case strings.HasSuffix(r.URL.Path, "/login"):
			answer = `{"accessToken":"token","expiresIn":360000}`
		case strings.HasSuffix(r.URL.Path, "/subOperations"):
			w.mu.Lock()
			pages++
			w.mu.Unlock()
			answer = `{"data":[{"subOperationId":"s","deviceId":"d","status":"success"}]}`
		case strings.HasSuffix(r.URL.Path, "/operations"):
			answer = `{"data":[]}`
		}
		_, _ = rw.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	w.Link = New(w.options(server.URL, "app", "secret", roots, onlyRounds))
	task := result.Task{AppID: "app", OperationID: "op"}
	w.followed = []Followed{{Task: task}}
	w.run()
	w.await(time.Hour, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
	w.mu.Lock()
	asked := pages
	w.mu.Unlock()
	if asked > 40 {
		t.Errorf("%d pages were asked for, of 3 that there can be", asked)
	}
	if got := len(w.store.added()); got != 1 {
		t.Errorf("%d results were stored", got)
	}
}

// A sweep that broke off goes on where it was: a large one would else come to its end never.
func TestSweepGoesOnWhereItBrokeOff(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	var pages sync.Map // how often a page was asked for
	var calls atomic.Int64
	w.through(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/subOperations") {
			return false
		}
		count, _ := pages.LoadOrStore(r.URL.Query().Get("pageNo"), &atomic.Int64{})
		count.(*atomic.Int64).Add(1)
		if calls.Add(1)%4 != 0 { // every fourth fails
			return false
		}
		rw.WriteHeader(http.StatusInternalServerError)
		return true
	}, nil, onlyRounds)
	operation := w.createEnded(2000)
	w.push(operation, func(n int) bool { return n >= 1900 }) // what is missing is on the last page
	task := w.follow(operation)
	w.run()
	w.await(time.Hour, "the results are not found", func() bool { return w.isEqual(task) })
	pages.Range(func(page, count any) bool {
		if got := count.(*atomic.Int64).Load(); got > 2 {
			t.Errorf("page %v was asked for %d times", page, got)
		}
		return true
	})
}

// Timeouts that are counted beside the failures are asked for by that name, too, where the platform has it.
func TestTimeoutsAreAskedFor(t *testing.T) {
	for _, has := range []bool{true, false} {
		t.Run(fmt.Sprintf("the platform has the state %v", has), func(t *testing.T) {
			w := newWorld(t, northbound.Options{}, onlyRounds)
			w.through(func(rw http.ResponseWriter, r *http.Request) bool {
				var answer string
				switch state := r.URL.Query().Get("subOperationStatus"); {
				case isGet(r, "op"):
					answer = `{"operationId":"op","status":"failed","staResult":{"total":2,"success":1,"fail":0,"timeout":1}}`
				case !strings.HasSuffix(r.URL.Path, "/subOperations"):
					return false
				case state == "timeout" && !has:
					rw.WriteHeader(http.StatusBadRequest)
					answer = `{"error_code":"100022"}`
				case state == "timeout", state == "fail" && !has:
					answer = `{"totalCount":1,"data":[{"subOperationId":"1","deviceId":"a","status":"timeout"}]}`
				case state == "success":
					answer = `{"totalCount":1,"data":[{"subOperationId":"2","deviceId":"b","status":"success"}]}`
				default:
					answer = `{"totalCount":0,"data":[]}`
				}
				_, _ = rw.Write([]byte(answer))
				return true
			}, nil, onlyRounds)
			task := w.follow("op")
			w.run()
			w.await(20*time.Minute, "the counts do not become equal", func() bool {
				sum := w.store.Summary(task, tally.Query{})
				return sum.Succeeded == 1 && sum.Failed == 1
			})
		})
	}
}
