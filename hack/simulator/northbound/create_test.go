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

func TestCreate(t *testing.T) {
	f := start(t, northbound.Options{Groups: map[string]int{"north": 3, "south": 4}})
	request := object{
		"fileId": "package",
		"targets": object{
			"deviceGroups": []string{"north", "south"}, "deviceType": "WaterMeter", "model": "NB-600",
			"manufacturerName": "Acme",
		},
		"policy": object{
			"executeType": "custom", "startTime": "20261201T100000Z", "endTime": "20261202T100000Z",
			"retryType": true, "retryTimes": 5,
		},
	}
	answer := f.post(createPath, request)
	id, _ := answer.json(t)["operationId"].(string)
	if answer.status != http.StatusOK || id == "" {
		t.Fatalf("create: %d %s", answer.status, answer.body)
	}
	want := object{
		"operationId": id, "createTime": "20261201T080000Z", "startTime": nil, "stopTime": nil,
		"operateType": "firmware_upgrade", "status": "wait", "extendPara": object{"fileVersion": "1.6"},
		"targets": object{
			"deviceGroups": []any{"north", "south"}, "deviceType": "WaterMeter", "model": "NB-600",
			"manufacturerName": "Acme", "devices": nil,
		},
		"policy": object{
			"executeType": "custom", "startTime": "20261201T100000Z", "endTime": "20261202T100000Z",
			"retryType": true, "retryTimes": 5.0,
		},
		"staResult": object{
			"total": 7.0, "wait": 7.0, "processing": 0.0, "success": 0.0, "fail": 0.0, "stop": 0.0, "timeout": 0.0,
		},
	}
	if diff := cmp.Diff(want, f.task(id)); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
	entry := f.get(operationsPath).json(t)["data"].([]any)[0]
	if diff := cmp.Diff(want, entry); diff != "" {
		t.Errorf("in the list (-want +got):\n%s", diff)
	}
	f.faults(northbound.Faults{CreatedStatus: http.StatusCreated})
	if answer := f.post(createPath, creation("d")); answer.status != http.StatusCreated {
		t.Errorf("with createdStatus: %d", answer.status)
	}
}

func TestRefusedCreations(t *testing.T) {
	f := start(t, northbound.Options{
		CallsPerMinute: 1000,
		Groups:         map[string]int{"north": 3},
		Packages: []northbound.Package{
			{FileID: "package", DeviceType: "WaterMeter", Model: "NB-600", ManufacturerName: "Acme"},
		},
	})
	many := make([]string, 257)
	for i := range many {
		many[i] = fmt.Sprintf("d%d", i)
	}
	groups := func(keys ...any) object {
		targets := object{
			"deviceGroups": []string{"north"}, "deviceType": "WaterMeter", "model": "NB-600", "manufacturerName": "Acme",
		}
		for i := 0; i < len(keys); i += 2 {
			targets[keys[i].(string)] = keys[i+1]
		}
		return targets
	}
	devices := object{"devices": []string{"d"}}
	retries := func(n int) object { return object{"executeType": "now", "retryType": true, "retryTimes": n} }
	window := func(start, end any) object {
		return object{"executeType": "custom", "startTime": start, "endTime": end}
	}
	cases := map[string]struct {
		fileID  string
		targets object
		policy  object
		code    string
	}{
		"devices":              {"package", devices, nil, ""},
		"256 devices":          {"package", object{"devices": many[:256]}, nil, ""},
		"groups":               {"package", groups(), nil, ""},
		"now":                  {"package", devices, object{"executeType": "now"}, ""},
		"a window":             {"package", devices, window("20261201T080000Z", "20261201T080000Z"), ""},
		"retries":              {"package", devices, retries(5), ""},
		"no retries":           {"package", devices, object{"executeType": "now", "retryType": false}, ""},
		"no package":           {"", devices, nil, "120015"},
		"a long package":       {strings.Repeat("p", 257), devices, nil, "120015"},
		"an unknown package":   {"other", devices, nil, "123016"},
		"another model":        {"package", groups("model", "NB-700"), nil, "123016"},
		"no manufacturer":      {"package", groups("manufacturerName", nil), nil, "123019"},
		"no type":              {"package", groups("deviceType", ""), nil, "123020"},
		"no model":             {"package", groups("model", nil), nil, "123021"},
		"no targets":           {"package", object{"devices": []string{}}, nil, "123022"},
		"two targets":          {"package", groups("devices", []string{"d"}), nil, "123023"},
		"257 devices":          {"package", object{"devices": many}, nil, "123024"},
		"257 groups":           {"package", groups("deviceGroups", many), nil, "123024"},
		"an empty id":          {"package", object{"devices": []string{""}}, nil, "120015"},
		"a long id":            {"package", object{"devices": []string{strings.Repeat("d", 257)}}, nil, "120015"},
		"an unknown group":     {"package", groups("deviceGroups", []string{"west"}), nil, "120015"},
		"no execution":         {"package", devices, object{}, "123025"},
		"an unknown execution": {"package", devices, object{"executeType": "later"}, "123025"},
		"no window":            {"package", devices, object{"executeType": "custom"}, "123026"},
		"another format":       {"package", devices, window("2026-12-01T08:00:00Z", "20261201T090000Z"), "123026"},
		"a window of now":      {"package", devices, object{"executeType": "now", "startTime": "20261201T080000Z"}, "123026"},
		"no number of retries": {"package", devices, object{"executeType": "now", "retryType": true}, "123028"},
		"6 retries":            {"package", devices, retries(6), "123028"},
		"0 retries":            {"package", devices, retries(0), "123028"},
		"a window backwards":   {"package", devices, window("20261201T090000Z", "20261201T085959Z"), "123032"},
		"a window that passed": {"package", devices, window("20261201T075959Z", "20261201T090000Z"), "123033"},
	}
	posts, created := 0, 0
	for name, tc := range cases {
		body := object{"fileId": tc.fileID, "targets": tc.targets}
		if tc.policy != nil {
			body["policy"] = tc.policy
		}
		f.AllowAgain(1)
		answer := f.post(createPath, body)
		posts++
		wantStatus := http.StatusBadRequest
		if tc.code == "" {
			created++
			wantStatus = http.StatusOK
		}
		if answer.status != wantStatus || answer.code() != tc.code {
			t.Errorf("%s: %d %s, want %d %s", name, answer.status, answer.body, wantStatus, tc.code)
		}
		written := f.Report().Creations
		last := written[len(written)-1]
		if len(written) != posts || last.Code != tc.code || last.Status != wantStatus ||
			(last.OperationID == "") != (tc.code != "") {
			t.Errorf("%s: in the ledger as %d: %+v", name, len(written), last)
		}
	}
	if got := f.Report().Tasks; got.Created != created || got.Duplicates != 0 {
		t.Errorf("tasks: %+v, want %d", got, created)
	}
}

func TestDuplicates(t *testing.T) {
	f := start(t, northbound.Options{Groups: map[string]int{"north": 3}})
	first, second := f.create("a", "b"), f.create("b", "a", "b")
	if first == second {
		t.Error("one task for two requests")
	}
	f.create("a")
	other := creation("a", "b")
	other["fileId"] = "another package"
	f.post(createPath, other)
	report := f.Report()
	if got := report.Tasks; got.Created != 4 || got.Duplicates != 1 || got.DuplicateHashes[0] != report.Creations[0].Hash {
		t.Errorf("tasks: %+v", got)
	}
	f.AllowAgain(1)
	f.create("a")
	f.create("a")
	if got := f.Report().Tasks; got.Duplicates != 2 || got.AllowedAgain != 0 {
		t.Errorf("after one was allowed, and two were made: %+v", got)
	}
	if hash := f.truth(first).Hash; hash != f.truth(second).Hash || hash == f.truth(f.create("c")).Hash {
		t.Error("the hashes are not those of package and targets")
	}
	// What the console created counts as what a client did: a client has to find it.
	if _, err := f.CreateTask(northbound.TaskSpec{Devices: []string{"x"}, FileID: "package"}); err != nil {
		t.Fatal(err)
	}
	f.create("x")
	if got := f.Report().Tasks; got.Duplicates != 3 || got.Console != 1 {
		t.Errorf("after the console: %+v", got)
	}
}

func TestList(t *testing.T) {
	f := start(t, northbound.Options{
		CallsPerMinute: 1000,
		Groups:         map[string]int{"north": 3},
		Devices:        northbound.DeviceOptions{Fates: map[string]northbound.Fate{"fails": northbound.Fails}},
	})
	succeeds, fails := f.create("succeeds"), f.create("fails")
	f.pass(3 * time.Hour)
	group := f.post(createPath, object{"fileId": "package", "targets": object{
		"deviceGroups": []string{"north"}, "deviceType": "WaterMeter", "model": "NB-600", "manufacturerName": "Acme",
	}}).json(t)["operationId"].(string)
	later := f.post(createPath, object{
		"fileId": "package", "targets": object{"devices": []string{"later"}},
		"policy": object{"executeType": "custom", "startTime": "20270101T000000Z", "endTime": "20270102T000000Z"},
	}).json(t)["operationId"].(string)
	inGroup := f.truth(group).Devices[1].DeviceID
	all := []string{later, group, fails, succeeds}
	cases := map[string]struct {
		parameters []string
		want       []string
	}{
		"all":              {nil, all},
		"empty parameters": {[]string{"deviceId", "", "operationStatus", "", "pageNo", ""}, all},
		"firmware":         {[]string{"operationType", "firmware_upgrade"}, all},
		"software":         {[]string{"operationType", "software_upgrade"}, []string{}},
		"wait":             {[]string{"operationStatus", "wait"}, []string{later}},
		"processing":       {[]string{"operationStatus", "processing"}, []string{group}},
		"failed":           {[]string{"operationStatus", "failed"}, []string{fails}},
		"success":          {[]string{"operationStatus", "success"}, []string{succeeds}},
		"stop":             {[]string{"operationStatus", "stop"}, []string{}},
		"device":           {[]string{"deviceId", "fails"}, []string{fails}},
		"device of group":  {[]string{"deviceId", inGroup}, []string{group}},
		"unknown device":   {[]string{"deviceId", "nobody"}, []string{}},
		"type":             {[]string{"deviceType", "WaterMeter"}, []string{group}},
		"model":            {[]string{"model", "NB-600", "manufacturerName", "Acme"}, []string{group}},
		"another model":    {[]string{"model", "NB-700", "deviceType", "WaterMeter"}, []string{}},
		"several":          {[]string{"deviceId", "fails", "operationStatus", "success"}, []string{}},
		"first page":       {[]string{"pageNo", "0", "pageSize", "3"}, []string{later, group, fails}},
		"second page":      {[]string{"pageNo", "1", "pageSize", "3"}, []string{succeeds}},
		"beyond":           {[]string{"pageNo", "2", "pageSize", "3"}, []string{}},
		"far beyond":       {[]string{"pageNo", "1099511627776", "pageSize", "100"}, []string{}},
	}
	for name, tc := range cases {
		if diff := cmp.Diff(tc.want, f.tasks(tc.parameters...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	page := f.get(operationsPath, "pageNo", "1", "pageSize", "3").json(t)
	if page["totalCount"] != 4.0 || page["pageNo"] != 1.0 || page["pageSize"] != 3.0 {
		t.Errorf("page: %v of %v, %v", page["pageNo"], page["totalCount"], page["pageSize"])
	}
	for name, parameters := range map[string][]string{
		"too large": {"pageSize", "101"}, "none": {"pageSize", "0"}, "negative": {"pageNo", "-1"}, "words": {"pageNo", "x"},
		"a fraction": {"pageNo", "1.0"}, "signed": {"pageNo", "+1"}, "beyond any": {"pageNo", "1099511627777"},
	} {
		for _, path := range []string{operationsPath, operationsPath + "/" + group + "/subOperations"} {
			if answer := f.get(path, parameters...); answer.status != http.StatusBadRequest || answer.code() != "123029" {
				t.Errorf("%s: %d %s", name, answer.status, answer.body)
			}
		}
	}
}

func TestSubTasks(t *testing.T) {
	f := start(t, northbound.Options{CallsPerMinute: 1000, Devices: northbound.DeviceOptions{Fail: 0.3}})
	devices := make([]string, 25)
	for i := range devices {
		devices[i] = fmt.Sprintf("device-%02d", i)
	}
	id := f.create(devices...)
	f.pass(12 * time.Hour)
	all := f.subTasks(id, 10)
	if len(all) != 25 {
		t.Fatalf("%d sub-tasks, want 25", len(all))
	}
	for i, d := range f.truth(id).Devices {
		want := object{
			"subOperationId": d.SubOperationID, "createTime": "20261201T080000Z",
			"startTime": "20261201T080000Z", "stopTime": d.StopTime.Format("20060102T150405Z"),
			"operateType": "firmware_upgrade", "deviceId": devices[i], "status": d.Status, "detailInfo": nil,
			"extendInfo": object{"upgradeTime": nil, "downloadTime": nil},
		}
		if d.Detail != "" {
			want["detailInfo"] = d.Detail
		}
		if diff := cmp.Diff(want, all[i]); diff != "" {
			t.Errorf("sub-task (-want +got):\n%s", diff)
		}
		if (d.Status == "fail") != (d.Detail != "") {
			t.Errorf("%s with %q", d.Status, d.Detail)
		}
	}
	path := operationsPath + "/" + id + "/subOperations"
	failed := f.get(path, "subOperationStatus", "fail", "pageNo", "0", "pageSize", "100").json(t)
	if want := staResult(t, f.task(id))["fail"]; want == 0 || failed["totalCount"] != float64(want) {
		t.Errorf("%v failed, want %d and more than none", failed["totalCount"], want)
	}
	for _, device := range column(failed, "status") {
		if device != "fail" {
			t.Errorf("among the failed: %s", device)
		}
	}
	if answer := f.get(path, "subOperationStatus", "failed"); answer.status != http.StatusBadRequest {
		t.Errorf("the status of a task for one of a sub-task: %d", answer.status)
	}
	for _, path := range []string{"/unknown", "/unknown/subOperations"} {
		if answer := f.get(operationsPath + path); answer.status != http.StatusNotFound || answer.code() != "123009" {
			t.Errorf("an unknown task: %d %s", answer.status, answer.body)
		}
	}
}
