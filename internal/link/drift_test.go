// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
)

// isSubTasks says whether a request asks for sub-tasks.
func isSubTasks(path string) bool { return strings.HasSuffix(path, "/subOperations") }

// forge has somebody say that all devices of a task succeeded, which failed.
func (w *world) forge(operation string) {
	w.t.Helper()
	truth, _ := w.Truth(operation)
	var forged []result.Result
	for n := range truth.Devices {
		r := pushOf(w.AppID(), truth, &truth.Devices[n])
		r.State, r.StatusDesc, r.FailedAt = storage.StateSucceeded, "", 0
		forged = append(forged, r)
	}
	w.store.Add(forged)
}

// sweptAt is when pages of sub-tasks were asked for, those within a minute as one.
func (w *world) sweptAt() (at []time.Time) {
	for _, call := range w.Report().CallList {
		if call.Kind == northbound.CallSubTasks && (len(at) == 0 || call.Time.Sub(at[len(at)-1]) > time.Minute) {
			at = append(at, call.Time)
		}
	}
	return at
}

// Two sweeps that found nothing, minutes apart, say that the counts drift. They are asked for again at each look all
// the same: every ten minutes before the end, and every hour after it.
func TestFruitlessSweepsEndInDrift(t *testing.T) {
	for name, c := range map[string]struct {
		finished    bool
		least, most int
	}{"before the end": {false, 35, 38}, "after it": {true, 5, 9}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1}}, onlyRounds)
			operation := w.createEnded(3)
			w.forge(operation)
			task := w.follow(operation, func(f *Followed) { f.Finished = c.finished })
			w.run()
			w.await(20*time.Minute, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
			swept := w.sweptAt()
			if note := w.View(task).Note; len(swept) != maxSweeps || !strings.Contains(note, "did not help") {
				t.Errorf("%d sweeps: %s", len(swept), note)
			}
			if apart := swept[len(swept)-1].Sub(swept[0]); apart < 5*time.Minute {
				t.Errorf("the two sweeps were %s apart", apart)
			}
			w.pass(6 * time.Hour)
			if got := w.calls(northbound.CallSubTasks) - maxSweeps; got < c.least || got > c.most {
				t.Errorf("%d pages more in six hours", got)
			}
			if v := w.View(task); v.Judgement != status.Drifting || !strings.Contains(v.Note, "did not help") {
				t.Errorf("after six hours: %+v", v)
			}
			if len(w.store.added()) > 0 {
				t.Errorf("stored: %v", w.store.added())
			}
		})
	}
}

// The list of sub-tasks may lag behind the figures: what is missing is found when it is there at last, after minutes
// without a drift, and after hours with the next look.
func TestSubTasksThatAreListedLate(t *testing.T) {
	for name, c := range map[string]struct {
		late, patience  time.Duration
		finished, drift bool
	}{
		"by minutes":              {late: 5 * time.Minute, patience: 3 * time.Minute},
		"by hours":                {late: 2 * time.Hour, patience: 13 * time.Minute, drift: true},
		"by hours, after the end": {late: 2 * time.Hour, patience: 63 * time.Minute, drift: true, finished: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{}, onlyRounds)
			var listed atomic.Bool
			w.through(func(rw http.ResponseWriter, r *http.Request) bool {
				if listed.Load() || !isSubTasks(r.URL.Path) {
					return false
				}
				_, _ = rw.Write([]byte(`{"data":[],"pageNo":0,"pageSize":100,"totalCount":0}`))
				return true
			}, nil, onlyRounds)
			task := w.follow(w.createEnded(3), func(f *Followed) { f.Finished = c.finished })
			w.run()
			w.pass(c.late)
			if drifts := w.judgement(task) == status.Drifting; drifts != c.drift {
				t.Errorf("%+v", w.View(task))
			}
			listed.Store(true)
			w.await(c.patience, "the results are not found", func() bool { return w.isEqual(task) })
			w.pass(RoundPeriod)
			if v := w.View(task); v.Judgement != status.NotJudged {
				t.Errorf("when they are: %+v", v)
			}
		})
	}
}

// A drift of many pages is asked for ever less, until it is once a day.
func TestLargeDriftIsAskedForEverLess(t *testing.T) {
	const devices, period = 3000, 10 * time.Minute
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1}}, onlyRounds,
		func(o *Options) { o.Period = period })
	operation := w.createEnded(devices)
	w.forge(operation)
	task := w.follow(operation)
	w.run()
	w.await(2*time.Hour, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
	w.pass(7 * 24 * time.Hour)
	swept := w.sweptAt()
	for n := maxSweeps; n+1 < len(swept); n++ {
		before, apart := swept[n].Sub(swept[n-1]), swept[n+1].Sub(swept[n])
		if apart < before-period || apart > 25*time.Hour {
			t.Errorf("sweep %d came after %s, the next one after %s", n, before, apart)
		}
	}
	if len(swept) < 10 || len(swept) > 16 {
		t.Errorf("%d sweeps in seven days", len(swept))
	}
	if got, most := w.calls(northbound.CallSubTasks), len(swept)*devices/100; got != most {
		t.Errorf("%d pages in %d sweeps, want %d", got, len(swept), most)
	}
}

// A device that is missing although its result was stored is no find: the counts drift, the note says so, and it is
// stored once.
func TestResultsThatAreReadBackOtherwise(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.store.readsBack = func(r result.Result) result.Result { r.DeviceID = "another"; return r }
	operation := w.createEnded(3)
	task := w.follow(operation)
	w.run()
	w.await(20*time.Minute, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
	w.pass(3 * time.Hour)
	v := w.View(task)
	if v.Judgement != status.Drifting || !strings.Contains(v.Note, "of 3 devices were stored") || v.Figures.Repaired != 0 {
		t.Errorf("%+v of %+v", v, v.Figures)
	}
	if got := len(w.store.added()); got != 3 {
		t.Errorf("%d results were stored", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.repairs != 0 {
		t.Errorf("%d results are told as repaired", w.repairs)
	}
}

// Sub-tasks with ids that no notification could have are left out, which the note says.
func TestUnusableSubTasksAreLeftOut(t *testing.T) {
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1}}, onlyRounds)
	long := strings.Repeat("d", storage.MaxIDBytes)
	w.through(nil, func(path string, body []byte) []byte {
		if !isSubTasks(path) || !strings.Contains(string(body), "deviceId") {
			return body
		}
		return []byte(`{"totalCount":5,"data":[` +
			`{"subOperationId":"1","deviceId":"` + long + `-one","status":"fail","detailInfo":"x"},` +
			`{"subOperationId":"2","deviceId":"` + long + `-two","status":"fail","detailInfo":"x"},` +
			`{"subOperationId":"3","deviceId":"\u001b[2J\u001b[31mall is well","status":"fail","detailInfo":"x"},` +
			`{"subOperationId":"4\n\u0007","deviceId":"meter0","status":"fail","detailInfo":"x"},` +
			`{"subOperationId":"5","deviceId":" meter1 ","status":"fail","detailInfo":"x"}]}`)
	}, onlyRounds)
	task := w.follow(w.createEnded(5))
	w.run()
	w.await(time.Hour, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
	if added := w.store.added(); len(added) != 1 || added[0].DeviceID != "meter1" {
		t.Errorf("stored: %+v", added)
	}
	if note := w.View(task).Note; !strings.Contains(note, "4 of these") {
		t.Errorf("%s", note)
	}
}
