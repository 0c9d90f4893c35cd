// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// TestTruth holds that without a fault the truth of a task, its figures, its sub-tasks and what was pushed say the
// same, at any time of its life.
func TestTruth(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		fail := rapid.Float64Range(0, 0.6).Draw(r, "fail")
		o := northbound.Options{
			Seed: rapid.Uint64().Draw(r, "seed"), CallsPerMinute: 1_000_000,
			Devices: northbound.DeviceOptions{
				Fail: fail, Offline: rapid.Float64Range(0, 0.4).Draw(r, "offline"),
				Recover: rapid.Float64Range(0, 1).Draw(r, "recover"),
				Spread:  time.Duration(rapid.IntRange(0, 7200).Draw(r, "spread")) * time.Second,
			},
			Tasks: []northbound.TaskSpec{
				{
					OperationID: "task", Count: rapid.IntRange(1, 60).Draw(r, "devices"),
					Retries: rapid.IntRange(0, 5).Draw(r, "retries"), StartsIn: northbound.Duration(time.Minute),
				},
			},
		}
		o.Push.Concurrency = 1 // what was pushed last, comes last
		f := start(t, o)
		receiver := newReceiver(t)
		defer f.end(receiver)
		f.subscribe(resultNotify, receiver.path())
		size := rapid.SampledFrom([]int{7, 60, 100}).Draw(r, "page")
		for _, minutes := range rapid.SliceOfN(rapid.IntRange(0, 600), 1, 6).Draw(r, "minutes") {
			f.pass(time.Duration(minutes) * time.Minute)
			f.agrees(r, receiver, size)
		}
		if rapid.Bool().Draw(r, "stop") {
			_ = f.StopTask("task") // it may have ended
			f.agrees(r, receiver, size)
		}
		f.pass(200 * time.Hour)
		f.agrees(r, receiver, size)
		if f.truth("task").Counts.Wait+f.truth("task").Counts.Processing != 0 {
			r.Errorf("the task does not end: %+v", f.truth("task").Counts)
		}
	})
}

// end ends a platform before its test does.
func (f *fixture) end(r *receiver) {
	if err := f.Close(); err != nil {
		f.t.Error(err)
	}
	r.Close()
	f.http.CloseIdleConnections()
}

// agrees compares the four.
func (f *fixture) agrees(r *rapid.T, receiver *receiver, size int) {
	truth := f.truth("task")
	counts := truth.Counts
	want := map[string]int{
		"total": counts.Total, "wait": counts.Wait, "processing": counts.Processing, "success": counts.Success,
		"fail": counts.Fail, "stop": counts.Stop, "timeout": counts.Timeout,
	}
	if diff := cmp.Diff(want, staResult(f.t, f.task("task"))); diff != "" {
		r.Errorf("staResult (-truth +API):\n%s", diff)
	}
	listed := map[string]int{
		"total": 0, "wait": 0, "processing": 0, "success": 0, "fail": 0, "stop": 0, "timeout": counts.Timeout,
	}
	for i, sub := range f.subTasks("task", size) {
		listed["total"]++
		listed[sub["status"].(string)]++
		d := truth.Devices[i]
		if sub["deviceId"] != d.DeviceID || sub["status"] != d.Status || sub["subOperationId"] != d.SubOperationID {
			r.Errorf("sub-task %v, truth %+v", sub, d)
		}
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		r.Errorf("sub-tasks (-truth +API):\n%s", diff)
	}
	came := receiver.results()
	failed, recovered := 0, 0
	for _, d := range truth.Devices {
		pushed := came[d.DeviceID]
		if len(pushed) != d.Results.Delivered || d.Results.Due != d.Results.Delivered {
			r.Errorf("%s: %v came, truth %+v", d.DeviceID, pushed, d.Results)
		}
		last := ""
		if len(pushed) > 0 {
			last = pushed[len(pushed)-1]
		}
		switch {
		case d.Status == "success" && last != "SUCCESS", d.Status == "fail" && last != "FAIL":
			r.Errorf("%s: %v came, truth %s", d.DeviceID, pushed, d.Status)
		case d.Status != "success" && last == "SUCCESS":
			r.Errorf("%s: %v came, truth %s", d.DeviceID, pushed, d.Status)
		}
		if d.Status == "fail" {
			failed++
		}
		if d.Status == "success" && len(pushed) > 1 {
			recovered++
		}
	}
	texts := 0
	for _, n := range truth.Failures {
		texts += n
	}
	if texts != failed || counts.Fail != failed || truth.Recovered != recovered {
		r.Errorf("%d failed, %d recovered; truth %d, %d, texts %d", failed, recovered, counts.Fail, truth.Recovered, texts)
	}
	if status := f.task("task")["status"]; status != truth.Status {
		r.Errorf("status %s, truth %s%s", status, truth.Status, strconv.Itoa(counts.Total))
	}
}
