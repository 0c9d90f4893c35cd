// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/internal/upgrade"
)

// TestWindows follows the windows of two applications with one operationId, and of a task that nobody claims.
func TestWindows(t *testing.T) {
	w := newWindows[string]()
	claimants := map[upgrade.Task][]string{
		{AppID: "a", OperationID: "op"}: {"ns/one", "ns/two"},
		{AppID: "b", OperationID: "op"}: {"ns/two"},
	}
	change := func(app, op string) (queued []string) {
		task := upgrade.Task{AppID: app, OperationID: op}
		w.add(task, func() []string { return claimants[task] }, func(r string, window time.Duration) {
			queued = append(queued, r)
			if window != statusWindow {
				t.Errorf("the window is %s, want %s", window, statusWindow)
			}
		})
		return queued
	}
	for i, step := range []struct {
		before  func()
		app, op string
		want    []string
	}{
		{nil, "a", "op", []string{"ns/one", "ns/two"}},
		{nil, "a", "op", nil}, // they wait already
		{nil, "b", "op", []string{"ns/two"}},
		{nil, "b", "unclaimed", nil},
		{func() { w.taken("ns/two"); w.close("op") }, "a", "op", []string{"ns/one", "ns/two"}},
		{func() { w.taken("ns/one") }, "a", "op", nil}, // it was deleted: nobody knows its operationId
		{func() { w.close("op") }, "b", "op", []string{"ns/two"}},
	} {
		if step.before != nil {
			step.before()
		}
		if diff := cmp.Diff(step.want, change(step.app, step.op)); diff != "" {
			t.Errorf("step %d: queued (-want +got):\n%s", i, diff)
		}
	}
}

// TestWindowsOfManyTasks has the last of many tasks wait longest, and a task wait less once the others were told.
func TestWindowsOfManyTasks(t *testing.T) {
	w := newWindows[int]()
	length := func(i int) (window time.Duration) {
		w.add(upgrade.Task{OperationID: fmt.Sprint(i)}, func() []int { return []int{i} },
			func(_ int, length time.Duration) { window = length })
		return window
	}
	got := map[int]time.Duration{}
	for i := range 2000 {
		got[i+1] = length(i)
	}
	for n, want := range map[int]time.Duration{
		1: statusWindow, calmStatusWrites: statusWindow, 2 * calmStatusWrites: 2 * time.Second,
		1000: maxStatusWindow, 2000: maxStatusWindow,
	} {
		if got[n] != want {
			t.Errorf("with %d tasks that wait the window is %s, want %s", n, got[n], want)
		}
	}
	for i := range 1999 {
		w.taken(i)
	}
	if got := length(5000); got != statusWindow {
		t.Errorf("when the others were told the window is %s, want %s", got, statusWindow)
	}
}
