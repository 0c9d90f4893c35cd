// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// documentedTask is a task as the manual shows one, with what an SDK has beside it.
const documentedTask = `{"operationId":"op-1","createTime":"20151212T121212Z","startTime":"20151212T121213Z",
	"stopTime":"20151212T121214Z","operateType":"firmware_upgrade","targets":{"devices":["d-1","d-2"],"deviceType":"Meter",
	"model":"NB-600","manufacturerName":"Acme","deviceGroups":null},"policy":{"executeType":"custom","startTime":
	"20151212T120000Z","endTime":"20151213T120000Z","retryType":true,"retryTimes":2},"status":"processing","staResult":
	{"total":10,"wait":1,"processing":2,"success":3,"fail":4,"stop":0,"timeout":1},"extendPara":{"fileVersion":"1.6"}}`

func taskWanted() *Task {
	at := func(hour, minute, second int) time.Time {
		return time.Date(2015, 12, 12, hour, minute, second, 0, time.UTC)
	}
	return &Task{
		OperationID: "op-1", CreateTime: at(12, 12, 12), Status: TaskProcessing, FileVersion: "1.6",
		Targets: Targets{Devices: []string{"d-1", "d-2"}},
		Policy: Policy{
			ExecuteType: "custom", StartTime: at(12, 0, 0), EndTime: at(36, 0, 0), Retry: true, RetryTimes: 2,
		},
		Result: StaResult{Total: 10, Wait: 1, Processing: 2, Success: 3, Fail: 4, Timeout: 1},
	}
}

func TestTask(t *testing.T) {
	upper := strings.NewReplacer(`"operationId"`, `"OperationID"`, `"status"`, `"Status"`, `"total"`, `"TOTAL"`)
	texts := strings.NewReplacer(`:10,`, `:"10",`, `:1,`, `:"1",`, `:1}`, `:"1"}`, `:2,`, `:"2",`, `:2}`, `:"2"}`, `:3,`,
		`:"3",`, `:4,`, `:"4.0",`, `:0,`, `:null,`, `true`, `"True"`)
	cases := map[string]struct {
		body   string
		change func(*Task)
	}{
		"as documented":         {documentedTask, func(*Task) {}},
		"keys in another case":  {upper.Replace(documentedTask), func(*Task) {}},
		"numbers as strings":    {texts.Replace(documentedTask), func(*Task) {}},
		"status in another one": {strings.Replace(documentedTask, `"processing",`, `"PROCESSING",`, 1), func(*Task) {}},
		"ids as numbers": {strings.Replace(documentedTask, `"d-1"`, `12`, 1), func(task *Task) {
			task.Targets.Devices[0] = "12"
		}},
		"another time": {strings.Replace(documentedTask, `20151212T121212Z`, `2015-12-12T14:12:12+02:00`, 1), func(*Task) {}},
		"no time": {strings.Replace(documentedTask, `"20151212T121212Z"`, `null`, 1), func(task *Task) {
			task.CreateTime = time.Time{}
		}},
		"times that are none": {strings.Replace(documentedTask, `20151212T121212Z`, `20159912T121212Z`, 1), func(task *Task) {
			task.CreateTime = time.Time{}
		}},
		"parts of another type": {`{"operationId":"op-1","status":"wait","targets":"all","policy":[],"staResult":7,
			"extendPara":null,"createTime":{},"startTime":false}`, func(task *Task) {
			*task = Task{OperationID: "op-1", Status: TaskWaiting}
		}},
		"groups": {strings.Replace(strings.Replace(documentedTask, `"d-1","d-2"`, ``, 1), `Groups":null`, `Groups":["g"]`, 1),
			func(task *Task) {
				task.Targets = Targets{
					DeviceGroups: []string{"g"}, DeviceType: "Meter", Model: "NB-600", ManufacturerName: "Acme",
				}
			}},
		"without its id": {`{"status":"wait"}`, func(task *Task) {
			*task = Task{OperationID: "op-1", Status: TaskWaiting}
		}},
		"counts that are none": {`{"operationId":"op-1","status":"wait","staResult":{"total":-1,"fail":1.5,"stop":1e30,
			"success":"three","wait":true,"processing":9223372036854775807,"timeout":1000000001}}`, func(task *Task) {
			*task = Task{OperationID: "op-1", Status: TaskWaiting}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(nil, always(http.StatusOK, tc.body))
			c := connect(t, p)
			got, err := c.Task(t.Context(), "op-1", PriorityRound)
			c.must("", err)
			want := taskWanted()
			tc.change(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestOperationIDs holds that an id becomes one segment of the path, whatever is in it, or no call.
func TestOperationIDs(t *testing.T) {
	for id, path := range map[string]string{
		"op-1":    operationsPath + "/op-1",
		"a/b?c#d": operationsPath + "/a%2Fb%3Fc%23d",
		"a b%2F":  operationsPath + "/a%20b%252F",
		"é X:":    operationsPath + "/%C3%A9%20X:",
	} {
		p := startPlatform(t)
		p.set(nil, always(http.StatusOK, `{"status":"wait","data":[]}`))
		c := connect(t, p)
		_, err := c.Task(t.Context(), id, PriorityRound)
		c.must("", err)
		_, err = c.SubTasks(t.Context(), id, "fail", 3, PriorityRound)
		c.must("", err)
		if p.count(path) != 1 || p.count(path+"/subOperations") != 1 {
			t.Errorf("%q: called %+v", id, p.seen())
		}
		if got := p.seen()[2].query; got != "pageNo=3&pageSize=100&subOperationStatus=fail" {
			t.Errorf("query %s", got)
		}
	}
	p := startPlatform(t)
	c := connect(t, p)
	for _, id := range []string{"", ".", "..", strings.Repeat("a", 257), "a\r\nX:", "a\u200b", " a", "a\xff"} {
		_, err := c.Task(t.Context(), id, PriorityRound)
		c.must(NotFound, err)
		_, err = c.SubTasks(t.Context(), id, "", 0, PriorityRound)
		c.must(NotFound, err)
	}
	if len(p.seen()) > 0 {
		t.Error("called for an id that can't be")
	}
}

func TestTasks(t *testing.T) {
	for _, total := range []string{`"totalCount":151`, `"totalSize":151`, `"totalCount":"151"`, `"TotalCount":151.0`} {
		p := startPlatform(t)
		p.set(nil, func(w http.ResponseWriter, r *http.Request) {
			var data []json.RawMessage
			if r.URL.Query().Get("pageSize") != "100" {
				t.Errorf("query %s", r.URL.RawQuery)
			}
			from, to := 0, 0
			switch r.URL.Query().Get("pageNo") {
			case "0":
				to = 100
			case "1":
				from, to = 100, 151
			}
			for i := from; i < to; i++ {
				task := strings.Replace(documentedTask, "op-1", fmt.Sprintf("op-%d", i), 1)
				if i == 7 {
					task = strings.Replace(task, "firmware_upgrade", "software_upgrade", 1)
				}
				data = append(data, json.RawMessage(task))
			}
			body, _ := json.Marshal(data)
			_, _ = fmt.Fprintf(w, `{"data":%s,%s,"more":null}`, body, total)
		})
		c := connect(t, p)
		filter := TaskFilter{
			Status: string(TaskProcessing), DeviceID: "d 1&", DeviceType: "Meter", Model: "NB", ManufacturerName: "Acme",
		}
		list, err := c.Tasks(t.Context(), filter, PriorityRound)
		c.must("", err)
		tasks := list.Tasks
		if len(tasks) != 150 || !list.Complete || list.Calls != 2 || p.count(operationsPath) != 2 {
			t.Errorf("%s: %d tasks, complete %t, %d pages of %d", total, len(tasks), list.Complete, list.Calls,
				p.count(operationsPath))
		}
		want := taskWanted()
		want.OperationID = "op-0"
		if diff := cmp.Diff(*want, tasks[0]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		query, _ := url.ParseQuery(p.seen()[1].query)
		wantQuery := url.Values{
			"operationType": {"firmware_upgrade"}, "operationStatus": {"processing"}, "deviceId": {"d 1&"},
			"deviceType": {"Meter"}, "model": {"NB"}, "manufacturerName": {"Acme"}, "pageNo": {"0"}, "pageSize": {"100"},
		}
		if diff := cmp.Diff(wantQuery, query); diff != "" {
			t.Errorf("query (-want +got):\n%s", diff)
		}
	}
}

// TestTotalsThatContradict holds that a list is not complete by a total of which there are two.
func TestTotalsThatContradict(t *testing.T) {
	for body, want := range map[string]bool{
		`{"data":[],"totalCount":0}`:               true,
		`{"data":null,"totalSize":"0"}`:            true,
		`{"data":[],"totalCount":0,"totalSize":0}`: true,
		`{"data":[],"totalCount":0,"totalSize":1}`: false,
		`{"data":[],"totalCount":3}`:               false,
		`{"data":[]}`:                              false,
		`{}`:                                       false,
	} {
		p := startPlatform(t)
		p.set(nil, always(http.StatusOK, body))
		c := connect(t, p)
		list, err := c.Tasks(t.Context(), TaskFilter{}, PriorityRound)
		if c.must("", err); list.Complete != want {
			t.Errorf("%s: complete %t", body, list.Complete)
		}
	}
}

func TestStaResult(t *testing.T) {
	cases := map[string]struct {
		result StaResult
		failed int64
		addsUp bool
	}{
		"without timeouts":              {StaResult{Total: 4, Success: 1, Fail: 2, Stop: 1}, 3, true},
		"timeouts within fail":          {StaResult{Total: 4, Success: 1, Fail: 3, Timeout: 2}, 3, true},
		"timeouts beside fail":          {StaResult{Total: 4, Success: 1, Fail: 1, Timeout: 2}, 3, true},
		"timeouts beside, some running": {StaResult{Total: 6, Wait: 1, Processing: 1, Fail: 1, Stop: 1, Timeout: 2}, 4, true},
		"lagging":                       {StaResult{Total: 9, Success: 1, Fail: 1, Timeout: 2}, 1, false},
		"more than all":                 {StaResult{Total: 1, Success: 1, Fail: 1}, 1, false},
		"nothing":                       {StaResult{}, 0, false},
	}
	for name, tc := range cases {
		if failed, addsUp := tc.result.Failed(), tc.result.AddsUp(); failed != tc.failed || addsUp != tc.addsUp {
			t.Errorf("%s: failed %d, adds up %t", name, failed, addsUp)
		}
	}
}

func TestSubTasks(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(http.StatusOK, `{"data":[{"subOperationId":"sub-1","createTime":"20151212T121212Z","startTime":"",
		"stopTime":"20151212T121214Z","operateType":"firmware_upgrade","deviceId":"d-1","status":"fail","detailInfo":
		"Device Abnormal\nis not online","extendInfo":null},{"deviceId":7,"status":"new word"}],"totalCount":"250"}`))
	c := connect(t, p)
	got, err := c.SubTasks(t.Context(), "op-1", "", 0, PriorityRound)
	c.must("", err)
	want := SubTaskPage{Total: 250, SubTasks: []SubTask{{
		SubOperationID: "sub-1", DeviceID: "d-1", Status: SubTaskFailed, DetailInfo: "Device Abnormal is not online",
		StopTime: time.Date(2015, 12, 12, 12, 12, 14, 0, time.UTC),
	}, {DeviceID: "7", Status: "new word"}}, Items: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p.seen()[1].query != "pageNo=0&pageSize=100" {
		t.Errorf("query %s", p.seen()[1].query)
	}
	p.set(nil, always(http.StatusOK, `{"data":[]}`))
	if got, err = c.SubTasks(t.Context(), "op-1", "", 0, PriorityRound); err != nil || got.Total != -1 {
		t.Errorf("without a total: %+v, %v", got, err)
	}
}

// TestBounds holds that texts are cut in bytes, at the boundary of a character.
func TestBounds(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	p := startPlatform(t)
	p.set(nil, always(http.StatusOK, fmt.Sprintf(
		`{"data":[{"subOperationId":"s","deviceId":"d","status":%[1]q,"detailInfo":%[1]q}]}`, long)))
	c := connect(t, p)
	got, err := c.SubTasks(t.Context(), "op-1", "", 0, PriorityRound)
	c.must("", err)
	s := got.SubTasks[0]
	if len(s.Status) > maxWordBytes || len(s.DetailInfo) > maxTextBytes || len(s.DetailInfo) < maxTextBytes-6 {
		t.Errorf("a word has %d bytes, a text %d", len(s.Status), len(s.DetailInfo))
	}
	p.set(nil, always(http.StatusBadRequest, fmt.Sprintf(`{"error_code":%q,"error_desc":%q}`, long, long)))
	e := c.failure(Refused, c.list())
	if len(e.Message) > 512 || len(e.Code) > 64 {
		t.Errorf("a message of %d bytes, a code of %d", len(e.Message), len(e.Code))
	}
}

func TestSubscriptions(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(http.StatusOK, `{"totalCount":4,"pageNo":0,"pageSize":100,"subscriptions":[
		{"subscriptionId":"1","notifyType":"fwUpgradeResultNotify","callbackUrl":"`+testCallback+`"},
		{"subscriptionId":2,"notifyType":"fwUpgradeResultNotify","callbackurl":"https://other.example.com:443/a"},
		{"subscriptionId":"3","notifyType":null,"callbackUrl":"https://third.example.com:443/a"},
		{"subscriptionId":"4","notifyType":"deviceAdded","callbackUrl":"https://other.example.com:443/a"}]}`))
	c := connect(t, p)
	got, err := c.Subscriptions(t.Context(), "fwUpgradeResultNotify")
	c.must("", err)
	want := []Subscription{
		{"fwUpgradeResultNotify", testCallback},
		{"fwUpgradeResultNotify", "https://other.example.com:443/a"},
		{"fwUpgradeResultNotify", "https://third.example.com:443/a"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r := p.seen()[1]
	if r.path != subscriptionsPath || r.query != "notifyType=fwUpgradeResultNotify&pageNo=0&pageSize=100" {
		t.Errorf("called %s?%s", r.path, r.query)
	}
}

func TestSubscribe(t *testing.T) {
	for key, configured := range map[string]string{"callbackUrl": "", "callbackurl": CallbackKeySDK} {
		p := startPlatform(t)
		p.set(nil, always(http.StatusOK, "")) // documented: an empty body
		c := connect(t, p, func(o *Options) { o.CallbackKey = configured })
		c.must("", c.Subscribe(context.Background(), "fwUpgradeResultNotify", testCallback))
		var got map[string]string
		r := p.seen()[1]
		if err := json.Unmarshal([]byte(r.body), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"notifyType": "fwUpgradeResultNotify", key: testCallback}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if r.path != subscribePath || r.method != http.MethodPost || r.header.Get("Content-Type") != contentJSON {
			t.Errorf("called %s %s as %s", r.method, r.path, r.header.Get("Content-Type"))
		}
	}
}
