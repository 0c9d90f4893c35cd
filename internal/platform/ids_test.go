// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
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
		{SubOperationID: "push-1", DeviceID: "iot1-push", Status: SubTaskSucceeded}, {SubOperationID: "s", Status: SubTaskFailed},
		{Status: SubTaskFailed}, {SubOperationID: "s", DeviceID: "e", Status: "stop [redacted]"},
	}
	for n := range want {
		if n >= len(got) || got[n] != want[n] {
			t.Errorf("sub-task %d: want %+v of %+v", n, want[n], got)
		}
	}
	p.set(nil, always(200, `{"operationId":"push","status":"success","extendPara":{"fileVersion":"push-1.6"},
		"targets":{"devices":["iot1","x-pa55word-in-the-path"]}}`))
	task, err := c.Task(t.Context(), "push", PriorityRound)
	c.must("", err)
	if task.FileVersion != "push-1.6" || task.Status != TaskSucceeded ||
		len(task.Targets.Devices) != 1 || task.Targets.Devices[0] != "iot1" {
		t.Errorf("%+v", task)
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
