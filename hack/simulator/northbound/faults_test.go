// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// next is a fault that happens the next n times.
func next(n int, delay time.Duration) northbound.Fault {
	return northbound.Fault{Next: n, Delay: northbound.Duration(delay)}
}

func TestPushesLost(t *testing.T) {
	lost := func() []string {
		o := crowd(1000)
		o.Faults.PushLost.Share = 0.3
		f := start(t, o)
		r := newReceiver(t)
		f.subscribe(resultNotify, r.path())
		f.pass(time.Hour)
		var names []string
		for _, d := range f.truth("task").Devices {
			if d.Results.Lost == 1 {
				names = append(names, d.DeviceID)
			}
			if got := len(r.results()[d.DeviceID]); got != d.Results.Delivered || got+d.Results.Lost != 1 {
				t.Errorf("%s: %d came, %+v", d.DeviceID, got, d.Results)
			}
		}
		if got := f.Report().Pushes; got.Lost != len(names) || got.Delivered != 1000-len(names) || got.Due != 1000 {
			t.Errorf("in the ledger: %+v, and %d are lost", got, len(names))
		}
		return names
	}
	first := lost()
	if len(first) < 250 || len(first) > 350 {
		t.Errorf("%d of 1,000 are lost, want about 300", len(first))
	}
	if diff := cmp.Diff(first, lost()); diff != "" {
		t.Errorf("one seed, others lost:\n%s", diff)
	}
}

func TestPushesDoubled(t *testing.T) {
	o := crowd(5)
	o.Faults.PushDoubled = next(2, 0)
	f := start(t, o)
	r := newReceiver(t)
	f.subscribe(resultNotify, r.path())
	f.pass(time.Hour)
	if got := f.Report().Pushes; r.count() != 7 || got.Doubled != 2 || got.Delivered != 7 || got.Due != 5 {
		t.Errorf("%d pushes, want 7: %+v", r.count(), got)
	}
}

func TestPushesLate(t *testing.T) {
	o := crowd(5)
	o.Faults.PushLate = next(2, 10*time.Hour)
	f := start(t, o)
	r := newReceiver(t)
	f.subscribe(resultNotify, r.path())
	f.pass(9 * time.Hour)
	if got := f.Report().Pushes; r.count() != 3 || got.Late != 2 || got.Waiting != 2 {
		t.Errorf("%d pushes, want 3: %+v", r.count(), got)
	}
	f.pass(2 * time.Hour)
	if r.count() != 5 {
		t.Errorf("%d pushes in the end, want 5", r.count())
	}
}

// TestCreationFaults holds, for every way in which a creation may go wrong, what the client sees and what really was.
func TestCreationFaults(t *testing.T) {
	cases := map[string]struct {
		faults  northbound.Faults
		status  int // 0: no answer
		created bool
		after   time.Duration // when it is there
	}{
		"none":          {northbound.Faults{}, http.StatusOK, true, 0},
		"answer cut":    {northbound.Faults{AnswerCut: next(1, 0)}, 0, true, 0},
		"error before":  {northbound.Faults{ErrorBefore: next(1, 0)}, http.StatusInternalServerError, false, 0},
		"error after":   {northbound.Faults{ErrorAfter: next(1, 0)}, http.StatusInternalServerError, true, 0},
		"throttled":     {northbound.Faults{Throttled: next(1, 0)}, http.StatusForbidden, false, 0},
		"token revoked": {northbound.Faults{TokenRevoked: next(1, 0)}, http.StatusForbidden, false, 0},
		"created late":  {northbound.Faults{CreatedLate: next(1, 50*time.Minute)}, 0, true, 50 * time.Minute},
		"late, and an error": {
			northbound.Faults{CreatedLate: next(1, 50*time.Minute), ErrorAfter: next(1, 0)},
			http.StatusInternalServerError, true, 50 * time.Minute,
		},
		"cut before": {northbound.Faults{ErrorBefore: next(1, 0), AnswerCut: next(1, 0)}, 0, false, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := start(t, northbound.Options{})
			f.faults(tc.faults)
			answer := f.post(createPath, creation("d"))
			if answer.status != tc.status || (answer.err != nil) != (tc.status == 0) {
				t.Errorf("%d %s %v, want %d", answer.status, answer.body, answer.err, tc.status)
			}
			f.login()
			if tc.after > 0 {
				f.pass(tc.after - time.Second)
				if got := f.tasks(); len(got) != 0 {
					t.Errorf("a second before it is created: %v", got)
				}
				f.pass(time.Second)
			}
			want := 0
			if tc.created {
				want = 1
			}
			if got := f.tasks("deviceId", "d"); len(got) != want {
				t.Errorf("tasks: %v, want %d", got, want)
			}
			report := f.Report()
			written := report.Creations[0]
			if report.Tasks.Created != want || len(report.Creations) != 1 || written.Status != tc.status ||
				(written.OperationID != "") != tc.created {
				t.Errorf("in the ledger: %+v %+v", report.Tasks, written)
			}
			if id := f.post(createPath, creation("d")); id.status != http.StatusOK {
				t.Errorf("the next creation: %d %s", id.status, id.body)
			}
			if got := f.Report().Tasks.Duplicates; got != want {
				t.Errorf("%d duplicates, want %d", got, want)
			}
		})
	}
}

func TestAnswerSilent(t *testing.T) {
	f := start(t, northbound.Options{})
	f.faults(northbound.Faults{AnswerSilent: northbound.Fault{Next: 1}})
	answered := make(chan reply, 1)
	go func() { answered <- f.post(createPath, creation("d")) }()
	for f.Report().Tasks.Created == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 60 {
		select {
		case answer := <-answered:
			t.Fatalf("answered before a minute passed: %d", answer.status)
		default:
		}
		f.clock.Step(time.Second - time.Nanosecond)
	}
	for {
		select {
		case answer := <-answered:
			if answer.status != http.StatusOK {
				t.Errorf("after a minute: %d %s", answer.status, answer.body)
			}
			return
		case <-time.After(time.Millisecond):
			f.clock.Step(time.Second)
		}
	}
}

// TestFaultsOfCalls holds that a fault concerns the calls that it names.
func TestFaultsOfCalls(t *testing.T) {
	f := start(t, northbound.Options{})
	fault := northbound.Fault{Next: 2, Calls: []northbound.Call{northbound.CallTasks}}
	f.faults(northbound.Faults{ErrorBefore: fault})
	f.create("d")
	statuses := []int{}
	for range 3 {
		statuses = append(statuses, f.get(operationsPath).status)
	}
	if diff := cmp.Diff([]int{500, 500, 200}, statuses); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	f.faults(northbound.Faults{AnswerCut: fault})
	if answer := f.get(operationsPath); answer.err == nil {
		// Go's client repeats a GET on a connection that was open, so two are cut.
		t.Errorf("cut: %d %s", answer.status, answer.body)
	}
}

func TestThrottledAtAnyTime(t *testing.T) {
	f := start(t, northbound.Options{CallsPerMinute: 10_000})
	f.faults(northbound.Faults{Throttled: northbound.Fault{Share: 0.5}})
	throttled := 0
	for range 400 {
		if f.get(operationsPath).code() == "1010009" {
			throttled++
		}
	}
	if throttled < 150 || throttled > 250 || f.Report().Calls.Throttled != throttled {
		t.Errorf("%d of 400 throttled, want about 200; in the ledger %d", throttled, f.Report().Calls.Throttled)
	}
}

func TestTokenRevoked(t *testing.T) {
	f := start(t, northbound.Options{})
	f.faults(northbound.Faults{TokenRevoked: next(1, 0)})
	if answer := f.get(operationsPath); answer.code() != "1010005" {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	f.login()
	if answer := f.get(operationsPath); answer.status != http.StatusOK {
		t.Errorf("after a login: %d %s", answer.status, answer.body)
	}
	if got := f.Report().Calls; got.StaleToken != 1 || got.StaleTokenAgain != 0 || got.Logins != 2 {
		t.Errorf("in the ledger: %+v", got)
	}
}

func TestListLags(t *testing.T) {
	f := start(t, northbound.Options{})
	f.faults(northbound.Faults{ListLags: next(1, 50*time.Minute)})
	late, soon := f.create("late"), f.create("soon")
	if diff := cmp.Diff([]string{soon}, f.tasks()); diff != "" {
		t.Errorf("at once (-want +got):\n%s", diff)
	}
	if got := f.task(late)["operationId"]; got != late {
		t.Errorf("asked for by its id: %v", got)
	}
	f.pass(50 * time.Minute)
	if diff := cmp.Diff([]string{soon, late}, f.tasks()); diff != "" {
		t.Errorf("later (-want +got):\n%s", diff)
	}
}

// TestTasksUnlisted holds that a platform without the list of tasks still tells each of them.
func TestTasksUnlisted(t *testing.T) {
	f := start(t, northbound.Options{Faults: northbound.Faults{TasksUnlisted: true}})
	id := f.create("d")
	if answer := f.get(operationsPath); answer.status != http.StatusNotFound {
		t.Errorf("the list: %d %s", answer.status, answer.body)
	}
	if got := f.task(id)["operationId"]; got != id {
		t.Errorf("the task: %v", got)
	}
	f.faults(northbound.Faults{})
	if diff := cmp.Diff([]string{id}, f.tasks()); diff != "" {
		t.Errorf("without the fault (-want +got):\n%s", diff)
	}
}

// TestDefaultsUnlisted holds that the list leaves out of a policy what a creation need not say, and nothing else.
func TestDefaultsUnlisted(t *testing.T) {
	window := object{"executeType": "custom", "startTime": "20261201T100000Z", "endTime": "20261202T100000Z"}
	shown := func(policy object) object {
		all := object{"executeType": nil, "startTime": nil, "endTime": nil, "retryType": nil, "retryTimes": nil}
		maps.Copy(all, policy)
		return all
	}
	cases := map[string]struct{ given, want any }{
		"nothing":    {nil, nil},
		"now":        {object{"executeType": "now"}, nil},
		"no retries": {object{"executeType": "now", "retryType": false}, nil},
		"retries": {
			object{"executeType": "now", "retryType": true, "retryTimes": 2},
			shown(object{"executeType": "now", "retryType": true, "retryTimes": 2.0}),
		},
		"a window": {window, shown(window)},
	}
	for name, tc := range cases {
		f := start(t, northbound.Options{Faults: northbound.Faults{DefaultsUnlisted: true}})
		body := creation("d")
		if tc.given != nil {
			body["policy"] = tc.given
		}
		f.post(createPath, body)
		entry := f.get(operationsPath).json(t)["data"].([]any)[0].(object)
		if diff := cmp.Diff(tc.want, entry["policy"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStaResultLags(t *testing.T) {
	f := start(t, northbound.Options{Devices: northbound.DeviceOptions{UpgradeTime: time.Minute}})
	id := f.create("d")
	f.pass(10 * time.Minute)
	f.faults(northbound.Faults{StaResultLags: northbound.Fault{Share: 1, Delay: northbound.Duration(5 * time.Minute)}})
	other := f.create("e")
	f.pass(2 * time.Minute)
	if got := staResult(t, f.task(id)); got["success"] != 1 {
		t.Errorf("what happened ten minutes ago: %v", got)
	}
	got := f.task(other)
	if figures := staResult(t, got); figures["wait"] != 1 || figures["total"] != 1 || got["status"] != "success" {
		t.Errorf("what happened two minutes ago: %v, %v", got["status"], figures)
	}
	f.pass(5 * time.Minute)
	if figures := staResult(t, f.task(other)); figures["success"] != 1 {
		t.Errorf("what happened seven minutes ago: %v", figures)
	}
}

func TestPages(t *testing.T) {
	f := start(t, northbound.Options{
		CallsPerMinute: 10_000, Tasks: []northbound.TaskSpec{{OperationID: "task", Count: 95}},
	})
	path := operationsPath + "/task/subOperations"
	page := func(number int) []string {
		answer := f.get(path, "pageNo", strconv.Itoa(number), "pageSize", "10").json(t)
		if answer["totalCount"] != 95.0 || answer["pageNo"] != float64(number) {
			t.Errorf("page %d of %v", number, answer["totalCount"])
		}
		return column(answer, "deviceId")
	}
	right := map[int][]string{}
	for number := range 10 {
		right[number] = page(number)
	}
	all := []string{}
	for number := range 10 {
		all = append(all, right[number]...)
	}

	f.faults(northbound.Faults{PagesRepeat: next(1, 0)})
	if diff := cmp.Diff(right[3], page(4)); diff != "" {
		t.Errorf("repeated (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(right[4], page(4)); diff != "" {
		t.Errorf("not repeated any more (-want +got):\n%s", diff)
	}
	f.faults(northbound.Faults{PagesShift: next(20, 0)})
	for range 20 {
		got := page(4)
		place := slices.Index(all, got[0])
		if place == 40 || place < 30 || place > 50 || !slices.Equal(got, all[place:place+10]) {
			t.Errorf("shifted to %d: %v", place, got)
		}
	}
	f.faults(northbound.Faults{PagesShift: next(1, 0)})
	if len(page(0)) == 0 {
		t.Error("the first page is empty when shifted")
	}
	f.faults(northbound.Faults{PagesShuffled: next(2, 0)})
	one, two := page(4), page(4)
	if len(one) != 10 || slices.Equal(one, two) || slices.Equal(one, right[4]) {
		t.Errorf("shuffled: %v, %v", one, two)
	}
	for _, id := range slices.Concat(one, two) {
		if !slices.Contains(all, id) {
			t.Errorf("shuffled: there is no %s", id)
		}
	}
	if diff := cmp.Diff(right[4], page(4)); diff != "" {
		t.Errorf("not shuffled any more (-want +got):\n%s", diff)
	}
}

func TestDialects(t *testing.T) {
	f := start(t, northbound.Options{CallsPerMinute: 1000, Devices: northbound.DeviceOptions{
		Fates: map[string]northbound.Fate{"away": northbound.Offline, "bad": northbound.Fails},
	}})
	id := f.create("good", "away", "bad")
	f.pass(25 * time.Hour)
	inside := staResult(t, f.task(id))
	if inside["fail"] != 2 || inside["timeout"] < 1 || inside["success"]+inside["fail"] != inside["total"] {
		t.Errorf("timeouts inside: %v", inside)
	}
	f.faults(northbound.Faults{TimeoutBeside: true})
	beside := staResult(t, f.task(id))
	if beside["fail"]+beside["timeout"] != 2 || beside["timeout"] != inside["timeout"] {
		t.Errorf("timeouts beside: %v", beside)
	}

	f.faults(northbound.Faults{TotalSize: true})
	for _, path := range []string{operationsPath, operationsPath + "/" + id + "/subOperations", subscriptionsPath} {
		if page := f.get(path).json(t); page["totalSize"] == nil || page["totalCount"] != nil {
			t.Errorf("%s: %v", path, page)
		}
	}

	f.faults(northbound.Faults{NumbersAsStrings: true})
	task, page := f.task(id), f.get(operationsPath).json(t)
	if task["staResult"].(object)["total"] != "3" || page["totalCount"] != "1" || page["pageSize"] != "10" {
		t.Errorf("numbers as strings: %v, %v", task["staResult"], page["totalCount"])
	}
	if got := f.tryLogin(f.Secret()).json(t)["expiresIn"]; got != "36000000" {
		t.Errorf("expiresIn among the numbers as strings: %v", got)
	}
	f.faults(northbound.Faults{ExpiresInAsString: true})
	if got := f.tryLogin(f.Secret()).json(t)["expiresIn"]; got != "36000000" {
		t.Errorf("expiresIn as a string: %v", got)
	}
}

func TestClockOffset(t *testing.T) {
	f := start(t, northbound.Options{Faults: northbound.Faults{ClockOffset: northbound.Duration(-5 * time.Hour)}})
	id := f.create("d")
	answer := f.get(operationsPath + "/" + id)
	if got := answer.header.Get("Date"); got != "Tue, 01 Dec 2026 03:00:00 GMT" {
		t.Errorf("Date: %s", got)
	}
	if task := answer.json(t); task["createTime"] != "20261201T030000Z" || task["startTime"] != "20261201T030000Z" {
		t.Errorf("times: %v, %v", task["createTime"], task["startTime"])
	}
	// A window is by the platform's clock, too.
	body := creation("e")
	body["policy"] = object{"executeType": "custom", "startTime": "20261201T040000Z", "endTime": "20261201T050000Z"}
	window := f.post(createPath, body).json(t)["operationId"].(string)
	f.pass(time.Hour)
	if got := f.task(window)["status"]; got != "processing" {
		t.Errorf("when the platform's clock says 4 o'clock: %s", got)
	}
	f.faults(northbound.Faults{})
	if got := f.get(operationsPath).header.Get("Date"); got != "Tue, 01 Dec 2026 09:00:00 GMT" {
		t.Errorf("Date without the fault: %s", got)
	}
}

func TestFaultsAreValidated(t *testing.T) {
	for name, faults := range map[string]northbound.Faults{
		"a large share":          {PushLost: northbound.Fault{Share: 1.01}},
		"a negative share":       {PagesShift: northbound.Fault{Share: -0.1}},
		"a negative number":      {ErrorAfter: northbound.Fault{Next: -1}},
		"no delay":               {CreatedLate: northbound.Fault{Next: 1}},
		"a negative delay":       {PushLate: next(1, -time.Second)},
		"an endless delay":       {PushLate: next(1, 1000*time.Hour)},
		"a delay of none":        {PushLost: next(1, time.Second)},
		"calls of none":          {PushLost: northbound.Fault{Next: 1, Calls: []northbound.Call{northbound.CallTask}}},
		"an unknown call":        {ErrorAfter: northbound.Fault{Next: 1, Calls: []northbound.Call{"x"}}},
		"an endless offset":      {ClockOffset: northbound.Duration(1000 * time.Hour)},
		"an unknown word":        {SubscribeAgain: "x"},
		"another created status": {CreatedStatus: 202},
	} {
		if err := faults.Validate(); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if _, err := northbound.Start(t.Context(), northbound.Options{Faults: faults}); err == nil {
			t.Errorf("%s is accepted at the start", name)
		}
	}
	f := start(t, northbound.Options{})
	if err := f.SetFaults(northbound.Faults{CreatedStatus: 1}); err == nil {
		t.Error("set, although invalid")
	}
}

func TestFaultsOfFlags(t *testing.T) {
	var got northbound.Faults
	for _, text := range []string{
		"pushLost=0.1", "createdLate=next:1,delay:50m", "throttled=share:0.25,calls:create+tasks", "clockOffset=-3h",
		"timeoutBeside=true", "subscribeAgain=refused", "createdStatus=201", "seed=7",
	} {
		if err := got.Set(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	want := northbound.Faults{
		Seed: 7, PushLost: northbound.Fault{Share: 0.1}, CreatedLate: next(1, 50*time.Minute),
		Throttled:   northbound.Fault{Share: 0.25, Calls: []northbound.Call{northbound.CallCreate, northbound.CallTasks}},
		ClockOffset: northbound.Duration(-3 * time.Hour), TimeoutBeside: true,
		SubscribeAgain: northbound.SubscribeAgainRefused, CreatedStatus: 201,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	for _, text := range []string{
		"pushLost", "unknown=1", "pushLost=x", "pushLost=next:x", "pushLost=often:1", "createdLate=delay:x",
		"timeoutBeside=2", "clockOffset=3",
	} {
		var none northbound.Faults
		if err := none.Set(text); err == nil {
			t.Errorf("%s is accepted: %s", text, none)
		}
	}
	if text := fmt.Sprint(want); !strings.Contains(text, `"delay":"50m0s"`) || strings.Contains(text, "pushLate") {
		t.Errorf("as JSON: %s", text)
	}
}
