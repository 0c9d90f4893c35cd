// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// fates makes a platform whose devices are named after what becomes of them.
func fates(t *testing.T) *fixture {
	return start(t, northbound.Options{
		CallsPerMinute: 1000,
		Devices: northbound.DeviceOptions{StateChanges: 1, Fates: map[string]northbound.Fate{
			"good": northbound.Succeeds, "bad": northbound.Fails, "second": northbound.Recovers, "away": northbound.Offline,
		}},
	})
}

// with is a creation with retries.
func with(retries int, devices ...string) object {
	body := creation(devices...)
	body["policy"] = object{"executeType": "now", "retryType": true, "retryTimes": retries}
	return body
}

func (f *fixture) statuses(id string) map[string]string {
	f.t.Helper()
	found := map[string]string{}
	for _, d := range f.truth(id).Devices {
		found[d.DeviceID] = d.Status
	}
	return found
}

func TestLifeOfATask(t *testing.T) {
	f := fates(t)
	r := newReceiver(t)
	f.subscribe(resultNotify, r.path())
	f.subscribe(stateChangeNotify, r.path())
	id := f.create("good", "bad", "away")
	if task := f.task(id); task["status"] != "processing" || task["startTime"] == nil || task["stopTime"] != nil {
		t.Errorf("at once: %v", task)
	}
	f.pass(0)
	began := map[string]string{"good": "processing", "bad": "processing", "away": "wait"}
	if diff := cmp.Diff(began, f.statuses(id)); diff != "" {
		t.Errorf("when it began (-want +got):\n%s", diff)
	}
	f.pass(3 * time.Hour)
	if diff := cmp.Diff(map[string]string{"good": "success", "bad": "fail", "away": "wait"}, f.statuses(id)); diff != "" {
		t.Errorf("after some hours (-want +got):\n%s", diff)
	}
	if status := f.task(id)["status"]; status != "processing" {
		t.Errorf("the task is %s, and one device is awaited", status)
	}
	f.pass(21*time.Hour - time.Second)
	if got := f.statuses(id)["away"]; got != "wait" {
		t.Errorf("a second before the day is over: %s", got)
	}
	f.pass(time.Second)
	if task := f.task(id); task["status"] != "failed" || task["stopTime"] != "20261202T080000Z" {
		t.Errorf("after a day: %s at %s", task["status"], task["stopTime"])
	}
	if got := f.truth(id).Failures["Waiting for the device online timeout"]; got != 1 {
		t.Errorf("failures: %v", f.truth(id).Failures)
	}
	want := map[string][]string{"good": {"SUCCESS"}, "bad": {"FAIL"}, "away": {"FAIL"}}
	if diff := cmp.Diff(want, r.results()); diff != "" {
		t.Errorf("pushed (-want +got):\n%s", diff)
	}
	f.checkBodies(r, id)
}

// checkBodies holds that notifications are as documented.
func (f *fixture) checkBodies(r *receiver, id string) {
	f.t.Helper()
	steps := ""
	for _, body := range r.bodies {
		for _, key := range []string{"deviceId", "subOperationId"} {
			if body[key] == "" || body[key] == nil {
				f.t.Errorf("no %s in %v", key, body)
			}
		}
		if body["operationId"] != id || body["appId"] != f.AppID() {
			f.t.Errorf("of another task or application: %v", body)
		}
		switch {
		case body["notifyType"] == stateChangeNotify && body["deviceId"] == "good":
			steps += fmt.Sprint(body["step"], body["stepDesc"], " ")
		case body["notifyType"] == resultNotify:
			if body["targetVersion"] != "1.6" || body["sourceVersion"] != "1.3" || body["upgradeTime"] == nil ||
				body["statusDesc"] == "" {
				f.t.Errorf("result: %v", body)
			}
			if body["status"] == "SUCCESS" && body["curVersion"] != "1.6" {
				f.t.Errorf("success with the version %v", body["curVersion"])
			}
		}
	}
	for _, step := range []string{"0idle", "1downloading", "2downloaded", "3updating"} {
		if strings.Count(steps, step) != 1 {
			f.t.Errorf("steps: %s, want each once", steps)
		}
	}
}

func TestRetries(t *testing.T) {
	f := fates(t)
	r := newReceiver(t)
	f.subscribe(resultNotify, r.path())
	id := f.post(createPath, with(2, "good", "bad", "second")).json(t)["operationId"].(string)
	for f.task(id)["status"] == "processing" {
		f.pass(10 * time.Second)
	}
	if got := f.task(id)["status"]; got != "failed" {
		t.Errorf("after the first attempt: %s", got)
	}
	want := map[string][]string{"good": {"SUCCESS"}, "bad": {"FAIL"}, "second": {"FAIL"}}
	if diff := cmp.Diff(want, r.results()); diff != "" {
		t.Errorf("pushed in the first attempt (-want +got):\n%s", diff)
	}
	f.pass(time.Minute)
	want2 := map[string]string{"good": "success", "bad": "processing", "second": "processing"}
	if diff := cmp.Diff(want2, f.statuses(id)); diff != "" || f.task(id)["status"] != "processing" {
		t.Errorf("tried again (-want +got):\n%s", diff)
	}
	f.pass(24 * time.Hour)
	want = map[string][]string{"good": {"SUCCESS"}, "bad": {"FAIL", "FAIL", "FAIL"}, "second": {"FAIL", "SUCCESS"}}
	if diff := cmp.Diff(want, r.results()); diff != "" {
		t.Errorf("pushed (-want +got):\n%s", diff)
	}
	if truth := f.truth(id); truth.Status != "failed" || truth.Recovered != 1 || truth.Counts.Success != 2 {
		t.Errorf("in the end: %+v", truth)
	}
	if err := f.RetryTask(id); err != nil {
		t.Fatal(err)
	}
	f.pass(24 * time.Hour)
	if got := len(r.results()["bad"]); got != 4 || f.truth(id).Devices[1].Attempt != 3 {
		t.Errorf("after a retry by hand: %d results", got)
	}
}

func TestConflict(t *testing.T) {
	f := fates(t)
	first := f.create("good", "other")
	f.pass(time.Minute)
	second := f.create("good", "third")
	f.pass(0)
	d := f.truth(second).Devices
	if d[0].Status != "fail" || d[0].Detail != "Task Conflict" || d[1].Status != "processing" {
		t.Errorf("a second task while the first runs: %+v", d)
	}
	f.pass(time.Hour)
	if got := f.statuses(first)["good"]; got != "success" {
		t.Errorf("the first: %s", got)
	}
	third := f.create("good")
	f.pass(0)
	if d := f.truth(third).Devices[0]; d.Status != "success" || !strings.Contains(d.Detail, "same as the target version") {
		t.Errorf("a third task, when the device has the version: %+v", d)
	}
}

func TestWindow(t *testing.T) {
	f := fates(t)
	body := creation("good", "away")
	body["policy"] = object{"executeType": "custom", "startTime": "20261201T090000Z", "endTime": "20261201T120000Z"}
	id := f.post(createPath, body).json(t)["operationId"].(string)
	f.pass(time.Hour - time.Second)
	if got := f.task(id)["status"]; got != "wait" {
		t.Errorf("before the window: %s", got)
	}
	f.pass(time.Second)
	if got := f.task(id)["status"]; got != "processing" {
		t.Errorf("in the window: %s", got)
	}
	f.pass(3 * time.Hour)
	if diff := cmp.Diff(map[string]string{"good": "success", "away": "stop"}, f.statuses(id)); diff != "" {
		t.Errorf("after the window (-want +got):\n%s", diff)
	}
	if task := f.task(id); task["status"] != "stop" || task["stopTime"] != "20261201T120000Z" {
		t.Errorf("after the window: %v", task)
	}

	short := creation("begun")
	short["policy"] = object{"executeType": "custom", "startTime": "20261201T120000Z", "endTime": "20261201T120100Z"}
	id = f.post(createPath, short).json(t)["operationId"].(string)
	f.pass(time.Minute)
	if got := f.statuses(id)["begun"]; got != "processing" {
		t.Errorf("what is begun when the window ends: %s", got)
	}
	f.pass(time.Hour)
	if got := f.task(id)["status"]; got != "success" {
		t.Errorf("what was begun when the window ended: %s", got)
	}
}

func TestStopAndDelete(t *testing.T) {
	f := fates(t)
	r := newReceiver(t)
	f.subscribe(resultNotify, r.path())
	id := f.post(createPath, with(5, "good", "bad", "away")).json(t)["operationId"].(string)
	if err := f.DeleteTask(id); err == nil {
		t.Error("a running task was deleted")
	}
	f.pass(time.Minute)
	if err := f.StopTask(id); err != nil {
		t.Fatal(err)
	}
	f.pass(48 * time.Hour)
	if got := f.task(id); got["status"] != "stop" || staResult(t, got)["stop"] != 3 {
		t.Errorf("stopped: %v", got)
	}
	if r.count() != 0 {
		t.Errorf("%d notifications of stopped devices", r.count())
	}
	if err := f.StopTask(id); err == nil {
		t.Error("stopped twice")
	}
	if err := f.DeleteTask(id); err != nil {
		t.Fatal(err)
	}
	if answer := f.get(operationsPath + "/" + id); answer.status != http.StatusNotFound || answer.code() != "123009" {
		t.Errorf("deleted: %d %s", answer.status, answer.body)
	}
	if got := f.tasks(); len(got) != 0 || !f.truth(id).Deleted {
		t.Errorf("in the list: %v", got)
	}
	if err := f.DeleteTask(id); err == nil {
		t.Error("deleted twice")
	}
	waiting, err := f.CreateTask(northbound.TaskSpec{Devices: []string{"good"}, StartsIn: northbound.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.StopTask(waiting); err != nil || f.task(waiting)["status"] != "stop" {
		t.Errorf("a task that had not begun: %v %v", err, f.task(waiting))
	}
}

func TestTasksWithoutClient(t *testing.T) {
	f := start(t, northbound.Options{
		Groups: map[string]int{"north": 300},
		Tasks: []northbound.TaskSpec{
			{OperationID: "few", Count: 3, Retries: 1},
			{OperationID: "many", Count: 300},
			{OperationID: "named", Devices: []string{"a", "b"}, StartsIn: northbound.Duration(time.Hour)},
			{OperationID: "group", Groups: []string{"north"}},
		},
	})
	for id, want := range map[string]int{"few": 3, "many": 300, "named": 2, "group": 300} {
		if got := staResult(t, f.task(id))["total"]; got != want {
			t.Errorf("%s: %d devices, want %d", id, got, want)
		}
	}
	targets := func(id string) object { return f.task(id)["targets"].(object) }
	devices, _ := targets("few")["devices"].([]any)
	if len(devices) != 3 || devices[0] != f.truth("few").Devices[0].DeviceID {
		t.Errorf("few: %v", targets("few"))
	}
	if targets("many")["devices"] != nil || targets("many")["deviceGroups"].([]any)[0] != "group-many" {
		t.Errorf("many: %v", targets("many"))
	}
	if got := f.task("named")["status"]; got != "wait" {
		t.Errorf("a task that begins later: %s", got)
	}
	f.pass(time.Hour)
	if got := f.task("named"); got["status"] != "processing" || got["startTime"] != "20261201T090000Z" {
		t.Errorf("an hour later: %v", got)
	}
	if got := f.Report().Tasks; got.Console != 4 || got.Created != 0 || got.Duplicates != 0 {
		t.Errorf("in the ledger: %+v", got)
	}
	for name, spec := range map[string]northbound.TaskSpec{
		"the same id": {OperationID: "few", Count: 1}, "nothing": {}, "two kinds": {Count: 1, Groups: []string{"north"}},
		"an unknown group": {Groups: []string{"x"}}, "6 retries": {Count: 1, Retries: 6}, "too many": {Count: 3_000_000},
		"in the past": {Count: 1, StartsIn: -1}, "no end": {Count: 1, StartTime: begin},
		"no start":             {Count: 1, EndTime: begin},
		"a window that passed": {Count: 1, StartTime: begin.Add(-1e9), EndTime: begin},
		"a window backwards":   {Count: 1, StartTime: begin.Add(2e9), EndTime: begin.Add(1e9)},
		"two starts":           {Count: 1, StartsIn: 1e9, StartTime: begin, EndTime: begin},
	} {
		if _, err := f.CreateTask(spec); err == nil {
			t.Errorf("%s: created", name)
		}
	}
}

func TestSameSeedSameLife(t *testing.T) {
	life := func(seed uint64) []northbound.DeviceTruth {
		f := start(t, northbound.Options{Seed: seed, Devices: northbound.DeviceOptions{
			Fail: 0.3, Offline: 0.1, Recover: 0.5, Spread: time.Hour,
		}, Tasks: []northbound.TaskSpec{{OperationID: "task", Count: 50, Retries: 2}}})
		f.pass(100 * time.Hour)
		return f.truth("task").Devices
	}
	if diff := cmp.Diff(life(7), life(7)); diff != "" {
		t.Errorf("one seed, two lives:\n%s", diff)
	}
	if cmp.Equal(life(7), life(8)) {
		t.Error("two seeds, one life")
	}
}

func TestSpeed(t *testing.T) {
	f := start(t, northbound.Options{Speed: 3600, Devices: northbound.DeviceOptions{Offline: 1}})
	id := f.create("d")
	f.pass(24*time.Second - time.Millisecond)
	if got := f.statuses(id)["d"]; got != "wait" {
		t.Errorf("before a day at 3,600 times the speed: %s", got)
	}
	f.pass(time.Millisecond)
	if got := f.statuses(id)["d"]; got != "fail" {
		t.Errorf("after it: %s", got)
	}
}
