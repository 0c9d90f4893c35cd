// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"runtime"
	"testing"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/tally"
)

// scaleLimit is how many calls a minute are made in these tests: the default.
const scaleLimit = 60

// expectWithinLimit looks into the platform's ledger: no sliding minute had more calls than are allowed.
func (w *world) expectWithinLimit(limit int) {
	w.t.Helper()
	calls := w.Report().Calls
	if calls.MaxPerMinute > limit || calls.Throttled > 0 || calls.StaleTokenAgain > 0 || calls.Beyond > 0 {
		w.t.Errorf("%d calls in a minute, %d are allowed; %+v", calls.MaxPerMinute, limit, calls.ByKind)
	}
}

// A thousand tasks that run are compared by a dozen calls a round.
func TestScaleOfRounds(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	for range 1000 {
		w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(48 * time.Hour)}))
	}
	w.run()
	w.pass(time.Minute)
	const rounds = 5
	before := w.Report().Calls.Total
	w.pass(rounds * RoundPeriod)
	if calls := w.Report().Calls.Total - before; calls > 25*rounds || calls < 10*rounds {
		t.Errorf("%d calls in %d rounds, at most 25 in each are wanted", calls, rounds)
	}
	w.expectWithinLimit(scaleLimit)
}

// Of a hundred thousand devices one in a hundred was never heard of: within half an hour of calls the counts are equal.
// All pages have to be looked through, as the platform tells no other way; that leaves the rounds their calls, and
// holds one page at a time in memory.
func TestScaleOfSweeps(t *testing.T) {
	const devices = 100_000
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 0.03, Spread: time.Hour}}, onlyRounds)
	operation := w.createEnded(devices)
	lost := 0
	w.push(operation, func(n int) bool {
		if n%100 != 37 {
			return false
		}
		lost++
		return true
	})
	task := w.follow(operation)
	runtime.GC()
	var before, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	began := w.clock.Now()
	w.run()
	w.await(30*time.Minute, "the counts do not become equal", func() bool {
		if w.calls(northbound.CallSubTasks)%200 == 100 {
			runtime.GC()
			runtime.ReadMemStats(&peak)
		}
		return len(w.store.added()) >= lost
	})
	if !w.isEqual(task) {
		t.Errorf("counted are %+v", w.store.Summary(task, tally.Query{}))
	}
	took := w.clock.Since(began)
	r := w.Report()
	pages := r.Calls.ByKind[northbound.CallSubTasks]
	t.Logf("%d results of %d devices in %s, %d pages, %d calls in all", lost, devices, took, pages, r.Calls.Total)
	if pages < devices/platform.PageSize*9/10 || pages > devices/platform.PageSize+10 {
		t.Errorf("%d pages were asked for, there are %d", pages, devices/platform.PageSize)
	}
	if got := len(w.store.added()); got != lost {
		t.Errorf("%d results were stored, %d were lost", got, lost)
	}
	if grown := int64(peak.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the sweep holds %d MiB", grown>>20)
	}
	// Rounds have gone on beside the sweep.
	if lists := r.Calls.ByKind[northbound.CallTasks]; lists < int(took/RoundPeriod)*2-4 {
		t.Errorf("%d calls for lists in %s", lists, took)
	}
	w.expectWithinLimit(scaleLimit)
}

// When another process comes to lead, it leaves the calls of the last one their minute.
func TestScaleAcrossLeaders(t *testing.T) {
	const limit = 30
	adjust := func(o *Options) { o.CallsPerMinute = limit }
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 0.1}}, onlyRounds, adjust)
	task := w.follow(w.createEnded(5000)) // of which none was heard of
	for range 4 {
		stop := w.run()
		w.pass(90 * time.Second)
		stop()
		o := w.options(w.URL(), w.AppID(), w.Secret(), w.roots(), onlyRounds, adjust)
		client, err := platform.New(platform.Options{
			Endpoint: w.URL(), AppID: w.AppID(), Secret: func() ([]byte, error) { return []byte(w.Secret()), nil },
			RootCAs: w.roots(), CallsPerMinute: limit, Clock: w.clock, QuietUntil: w.clock.Now().Add(time.Minute),
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Client = client
		w.Link = New(o)
	}
	w.run()
	w.await(15*time.Minute, "the counts do not become equal", func() bool { return w.isEqual(task) })
	w.expectWithinLimit(limit)
	if logins := w.Report().Calls.Logins; logins != 5 {
		t.Errorf("%d logins of five leaders", logins)
	}
}
