// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// control sends a request to the control.
func (f *fixture) control(method, path, key, body string) reply {
	f.t.Helper()
	c := &client{t: f.t, server: f.Server, http: f.http}
	request, err := http.NewRequestWithContext(f.t.Context(), method, f.ControlURL()+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	return c.do(request)
}

func TestControl(t *testing.T) {
	f := start(t, northbound.Options{})
	for name, key := range map[string]string{"no": "", "a wrong": "x"} {
		for _, path := range []string{"/_/report", "/_/faults", "/_/tasks"} {
			if answer := f.control(http.MethodGet, path, key, ""); answer.status != http.StatusUnauthorized {
				t.Errorf("%s key: %d", name, answer.status)
			}
		}
	}
	control := func(method, path, body string, want int) reply {
		t.Helper()
		answer := f.control(method, path, f.ControlKey(), body)
		if answer.status != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, answer.status, answer.body, want)
		}
		return answer
	}
	made := control(http.MethodPost, "/_/tasks", `{"count":2,"retries":1,"startsIn":"1h"}`, 200)
	id := made.json(t)["operationId"].(string)
	control(http.MethodPost, "/_/tasks", `{"count":2,"what":1}`, 400)
	control(http.MethodPost, "/_/tasks", `{}`, 400)
	control(http.MethodPost, "/_/tasks/"+id+"/retry", "", 409)
	control(http.MethodDelete, "/_/tasks/"+id, "", 409)
	control(http.MethodPost, "/_/tasks/"+id+"/stop", "", 204)
	control(http.MethodDelete, "/_/tasks/"+id, "", 204)
	control(http.MethodDelete, "/_/tasks/"+id, "", 404)
	control(http.MethodPost, "/_/tasks/unknown/stop", "", 404)

	var truth northbound.Truth
	if err := json.Unmarshal([]byte(control(http.MethodGet, "/_/tasks/"+id, "", 200).body), &truth); err != nil {
		t.Fatal(err)
	}
	if !truth.Deleted || truth.Counts.Stop != 2 || len(truth.Devices) != 2 {
		t.Errorf("truth: %+v", truth)
	}
	short := control(http.MethodGet, "/_/tasks/"+id+"?devices=false", "", 200)
	if strings.Contains(short.body, "deviceId") {
		t.Errorf("without devices: %s", short.body)
	}
	control(http.MethodGet, "/_/tasks/unknown", "", 404)
	if list := control(http.MethodGet, "/_/tasks", "", 200).body; !strings.Contains(list, id) {
		t.Errorf("tasks: %s", list)
	}

	control(http.MethodPost, "/_/faults", `{"pushLost":{"share":0.1},"createdLate":{"next":2,"delay":"50m"}}`, 200)
	if got := f.Faults(); got.PushLost.Share != 0.1 || got.CreatedLate.Next != 2 {
		t.Errorf("faults: %s", got)
	}
	for _, body := range []string{
		`{"pushLost":{"share":2}}`, `{"lost":{"share":0.1}}`, `{"pushLost":{"share":0.1},"pushLost":{}}`, `{"pushLost":0.1}`,
		`{"PushLost":{"share":0.1}}`, `[]`, ``,
	} {
		control(http.MethodPost, "/_/faults", body, 400)
	}
	if got := control(http.MethodGet, "/_/faults", "", 200).json(t)["createdLate"]; got.(object)["delay"] != "50m0s" {
		t.Errorf("faults: %v", got)
	}

	control(http.MethodPost, "/_/revoke-token", "", 204)
	if answer := f.get(operationsPath); answer.code() != "1010005" {
		t.Errorf("after the token was revoked: %d", answer.status)
	}
	control(http.MethodPost, "/_/allow-again", `{"count":3}`, 204)
	control(http.MethodPost, "/_/allow-again", `{"count":-3}`, 400)
	control(http.MethodPost, "/_/allow-again", `{"number":3}`, 400)
	var report northbound.Report
	if err := json.Unmarshal([]byte(control(http.MethodGet, "/_/report", "", 200).body), &report); err != nil {
		t.Fatal(err)
	}
	if report.Tasks.AllowedAgain != 3 || report.Calls.StaleToken != 1 || len(report.CallList) != 2 ||
		len(report.Logins) != 2 {
		t.Errorf("report: %+v", report)
	}
	if short := control(http.MethodGet, "/_/report?calls=false", "", 200); strings.Contains(short.body, "callList") {
		t.Error("the calls are there, although not asked for")
	}
}

// TestLedgerOfCalls holds that every call is there with its time, its kind and how it was answered.
func TestLedgerOfCalls(t *testing.T) {
	f := start(t, northbound.Options{})
	f.pass(time.Second)
	f.get(operationsPath)
	f.pass(time.Second)
	f.get(operationsPath + "/unknown")
	f.get("/unknown")
	f.get(operationsPath + "/unknown/subOperations")
	f.get(subscriptionsPath)
	f.faults(northbound.Faults{AnswerCut: northbound.Fault{Next: 1, Calls: []northbound.Call{northbound.CallSubscribe}}})
	f.post(subscribePath, object{"notifyType": resultNotify, "callbackUrl": callback})
	want := []northbound.CallRecord{
		{Time: begin, Kind: northbound.CallLogin, Status: 200},
		{Time: begin.Add(time.Second), Kind: northbound.CallTasks, Status: 200},
		{Time: begin.Add(2 * time.Second), Kind: northbound.CallTask, Status: 404, Code: "123009"},
		{Time: begin.Add(2 * time.Second), Kind: northbound.CallUnknown, Status: 404, Code: "404"},
		{Time: begin.Add(2 * time.Second), Kind: northbound.CallSubTasks, Status: 404, Code: "123009"},
		{Time: begin.Add(2 * time.Second), Kind: northbound.CallSubscriptions, Status: 200},
		{Time: begin.Add(2 * time.Second), Kind: northbound.CallSubscribe},
	}
	got := f.Report()
	if len(got.CallList) != len(want) {
		t.Fatalf("calls: %+v", got.CallList)
	}
	for i := range want {
		if got.CallList[i] != want[i] {
			t.Errorf("call %d: %+v, want %+v", i, got.CallList[i], want[i])
		}
	}
	if got.Calls.ByKind[northbound.CallTasks] != 1 || got.Calls.Total != 7 || got.Calls.MaxPerMinute != 7 {
		t.Errorf("calls: %+v", got.Calls)
	}
}

func TestOptionsAreValidated(t *testing.T) {
	for name, o := range map[string]northbound.Options{
		"control for everybody":  {ControlAddress: "0.0.0.0:0"},
		"control of no address":  {ControlAddress: "x"},
		"no address":             {Address: "x"},
		"a taken address":        {Address: "192.0.2.1:1"},
		"a short key":            {ControlKey: "short"},
		"a long id":              {AppID: strings.Repeat("a", 257)},
		"a token of no time":     {TokenLifetime: -1},
		"negative calls":         {CallsPerMinute: -1},
		"another key":            {CallbackKey: "url"},
		"a negative speed":       {Speed: -1},
		"a large share":          {Devices: northbound.DeviceOptions{Fail: 1.1}},
		"large shares":           {Devices: northbound.DeviceOptions{Fail: 0.6, Offline: 0.6}},
		"an unknown fate":        {Devices: northbound.DeviceOptions{Fates: map[string]northbound.Fate{"d": "x"}}},
		"a negative spread":      {Devices: northbound.DeviceOptions{Spread: -1}},
		"a negative timeout":     {Push: northbound.PushOptions{Timeout: -1}},
		"an empty group":         {Groups: map[string]int{"north": 0}},
		"a huge group":           {Groups: map[string]int{"north": 3_000_000}},
		"a package without id":   {Packages: []northbound.Package{{}}},
		"a package twice":        {Packages: []northbound.Package{{FileID: "a"}, {FileID: "a"}}},
		"a task without devices": {Tasks: []northbound.TaskSpec{{}}},
	} {
		if server, err := northbound.Start(t.Context(), o); err == nil {
			t.Errorf("%s is accepted: %v", name, server.Close())
		}
	}
}
