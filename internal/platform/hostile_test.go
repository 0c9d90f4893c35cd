// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTokensThatTextsRepeat has a platform give a token, good or not, and then a text that is nearly the token, again
// and again: calls end all the same.
func TestTokensThatTextsRepeat(t *testing.T) {
	for name, tc := range map[string]struct {
		token, text string
		want        Kind
	}{
		"backslashes":       {strings.Repeat(`\\`, 34) + "b", strings.Repeat(`\\`, 60), Unexpected},
		"the longest token": {strings.Repeat("a", maxTokenBytes-1) + "b", strings.Repeat("a", 4<<20-1000), ""},
		"too long a token":  {strings.Repeat("a", maxTokenBytes) + "b", strings.Repeat("a", 4<<20-1000), Unexpected},
		"percent signs":     {strings.Repeat("%25", 1000) + "b", strings.Repeat("%2525", 100<<10), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			c := connect(t, p)
			p.set(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"accessToken":"`+tc.token+`"}`)
			}, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.must(tc.want, c.Login(ctx))
			refusal := always(http.StatusBadRequest, fmt.Sprintf(`{"error_code":"1","error_desc":"%s"}`, tc.text))
			p.set(refusal, refusal)
			p.mu.Lock()
			p.token = tc.token
			p.mu.Unlock()
			ended := make(chan error)
			go func() {
				c.clock.Step(16 * time.Minute)
				ended <- c.list()
			}()
			select {
			case err := <-ended:
				c.must(Refused, err)
			case <-time.After(time.Minute):
				t.Fatal("a minute after the answer the call has not ended")
			}
		})
	}
}

// TestTinyItems has answers of less than 4 MiB hold more than a million items: they are refused, and take no memory of
// that order.
func TestTinyItems(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	many := strings.Repeat(`{},`, (maxAnswerBytes-200)/3) + `{}`
	for name, call := range map[string]func() error{
		"tasks": c.list,
		"sub-tasks": func() error {
			_, err := c.SubTasks(t.Context(), "op", "", 0, PriorityRound)
			return err
		},
		"subscriptions": func() error { _, err := c.Subscriptions(t.Context(), "fwUpgradeResultNotify"); return err },
	} {
		p.set(nil, always(http.StatusOK, `{"data":[`+many+`],"subscriptions":[`+many[:300]+`{}],"totalCount":1}`))
		if name == "subscriptions" {
			p.set(nil, always(http.StatusOK, `{"subscriptions":[`+many+`],"totalCount":1}`))
		}
		allocated := allocates(func() { c.must(Unexpected, call()) })
		if allocated > 64<<20 {
			t.Errorf("%s: allocated %d MiB", name, allocated>>20)
		}
	}
	p.set(nil, always(http.StatusOK, `{"operationId":"op","status":"wait","targets":{"devices":[`+
		strings.Repeat(`"",`, (maxAnswerBytes-200)/3)+`""]}}`))
	allocated := allocates(func() {
		task, err := c.Task(t.Context(), "op", PriorityRound)
		if c.must("", err); len(task.Targets.Devices) > 0 {
			t.Errorf("%d devices", len(task.Targets.Devices))
		}
	})
	if allocated > 64<<20 {
		t.Errorf("devices: allocated %d MiB", allocated>>20)
	}
	p.set(nil, always(http.StatusOK, `{"data":[`+strings.Repeat(`{"deviceId":"d"},`, maxItems-1)+`{}],"totalCount":1}`))
	page, err := c.SubTasks(t.Context(), "op", "", 0, PriorityRound)
	if c.must("", err); page.Items != maxItems {
		t.Errorf("%d items of %d", page.Items, maxItems)
	}
}

// allocates returns how many bytes a function allocates, in all.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestTargetsOnlyWhereFilteredBy holds that the thousands of ids of a list's tasks are read only where somebody looks
// for a task by them.
func TestTargetsOnlyWhereFilteredBy(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	p.set(nil, always(http.StatusOK, `{"data":[`+documentedTask+`],"totalCount":1}`))
	for filter, want := range map[TaskFilter]Targets{
		{}: {}, {Status: "wait"}: {}, {DeviceID: "d-1"}: taskWanted().Targets, {Model: "NB-600"}: taskWanted().Targets,
		{DeviceType: "Meter"}: taskWanted().Targets, {ManufacturerName: "A", Status: "wait"}: taskWanted().Targets,
	} {
		list, err := c.Tasks(t.Context(), filter, PriorityRound)
		c.must("", err)
		if diff := cmp.Diff(want, list.Tasks[0].Targets); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", filter, diff)
		}
		if diff := cmp.Diff(taskWanted().Policy, list.Tasks[0].Policy); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", filter, diff)
		}
	}
}
