// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"strings"
	"testing"
)

// What is redacted must not change what devices, tasks and versions are called, nor the platform's own words: a short
// path is a word. What holds a secret is no id at all: what is left of it would be another one.
func TestRedactionChangesNoData(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.Redact(
		[]byte("https://receiver.example.com:8443/push"), []byte("/push"), []byte("/iot1"), []byte("/success"),
		[]byte("/fail"),
	)
	p.set(nil, always(200, `{"totalCount":4,"data":[
		{"subOperationId":"push-1","deviceId":"iot1-push","status":"success"},
		{"subOperationId":"s","deviceId":"has-pa55word-in-the-path","status":"fail"},
		{"subOperationId":"has-another secret word","deviceId":"d","status":"fail"},
		{"subOperationId":"s","deviceId":"e","status":"stop pa55word-in-the-path"}]}`))
	page, err := c.SubTasks(t.Context(), "push", "", 0, PriorityRound)
	c.must("", err)
	var got []SubTask
	for _, s := range page.SubTasks {
		got = append(got, SubTask{SubOperationID: s.SubOperationID, DeviceID: s.DeviceID, Status: s.Status})
	}
	want := []SubTask{
		{SubOperationID: "push-1", DeviceID: "iot1-push", Status: SubTaskSucceeded},
		{SubOperationID: "s", DeviceID: "e", Status: "stop [redacted]"},
	}
	if page.Items != 4 || page.Unusable != 2 {
		t.Errorf("%d sub-tasks, %d of them unusable, want 4 and 2", page.Items, page.Unusable)
	}
	for n := range want {
		if n >= len(got) || got[n] != want[n] {
			t.Errorf("sub-task %d: want %+v of %+v", n, want[n], got)
		}
	}
	p.set(nil, always(200, `{"operationId":"push","status":"success","extendPara":{"fileVersion":"push-1.6"},
		"targets":{"devices":["iot1","push"],"deviceGroups":["iot1","x-pa55word-in-the-path"]}}`))
	task, err := c.Task(t.Context(), "push", PriorityRound)
	c.must("", err)
	if task.FileVersion != "push-1.6" || task.Status != TaskSucceeded ||
		len(task.Targets.Devices) != 2 || len(task.Targets.DeviceGroups) > 0 {
		t.Errorf("%+v", task)
	}
}

// Ids that no notification could have are no ids: they are neither cut nor cleaned, as two devices would become one.
func TestUnusableIDs(t *testing.T) {
	long := strings.Repeat("d", 256)
	p := startPlatform(t)
	c := connect(t, p)
	p.set(nil, always(200, `{"totalCount":10,"data":[
		{"subOperationId":"1","deviceId":"`+long+`-one","status":"fail"},
		{"subOperationId":"2","deviceId":"`+long+`-two","status":"fail"},
		{"subOperationId":"3","deviceId":"\u001b[2Jall is well","status":"fail"},
		{"subOperationId":"4","deviceId":"meter\u200b1","status":"fail"},
		{"subOperationId":"5","deviceId":"meter\r\n1","status":"fail"},
		{"subOperationId":"6\u0007","deviceId":"meter1","status":"fail"},
		{"subOperationId":"7","deviceId":"meter\ufffd","status":"fail"},
		{"subOperationId":"8","deviceId":null,"status":"fail"},
		{"subOperationId":"9","deviceId":"`+long+`","status":"fail"},
		{"subOperationId":"10","deviceId":" meter 1\r\n","status":"fail"}]}`))
	page, err := c.SubTasks(t.Context(), "op", "fail", 0, PriorityRound)
	c.must("", err)
	if len(page.SubTasks) != 2 || page.SubTasks[0].DeviceID != long || page.SubTasks[1].DeviceID != "meter 1" ||
		page.Items != 10 || page.Unusable != 8 || page.Total != 10 {
		t.Errorf("%+v", page)
	}
	p.set(nil, always(200, `{"totalCount":3,"data":[{"operationId":"op\u202e","status":"wait"},
		{"operationId":"`+long+`d","status":"wait"},{"operationId":"op","status":"wait"}]}`))
	list, err := c.Tasks(t.Context(), TaskFilter{}, PriorityRound)
	if c.must("", err); list.Complete || len(list.Tasks) != 1 || list.Tasks[0].OperationID != "op" {
		t.Errorf("%+v", list)
	}
}

// A callback whose path is the name of a notification hides no subscription.
func TestCallbackNamedAsItsNotification(t *testing.T) {
	const callback = "https://receiver.example.com:8443/fwUpgradeResultNotify"
	p := startPlatform(t)
	c := connect(t, p)
	c.Redact([]byte(callback))
	p.set(nil, always(200, `{"totalCount":1,"subscriptions":[
		{"subscriptionId":"1","notifyType":"fwUpgradeResultNotify","callbackUrl":"`+callback+`"}]}`))
	has, err := c.Subscriptions(t.Context(), "fwUpgradeResultNotify")
	c.must("", err)
	if len(has) != 1 || has[0].CallbackURL != callback {
		t.Errorf("%+v", has)
	}
}

// A platform without a list of tasks says so: each of them is asked for alone then.
func TestTasksUnlisted(t *testing.T) {
	for _, status := range []int{404, 405} {
		p := startPlatform(t)
		c := connect(t, p)
		p.set(nil, always(status, ""))
		c.must(Unsupported, c.list())
	}
}
