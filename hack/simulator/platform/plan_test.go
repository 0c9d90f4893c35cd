// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/internal/tally"
)

func mustPlan(t *testing.T, o PlanOptions) *Plan {
	t.Helper()
	p, err := NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func bodies(t *testing.T, p *Plan) []string {
	t.Helper()
	all := make([]string, p.Len())
	for i := range all {
		body, err := p.Body(i)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = string(body)
	}
	return all
}

func TestPlanIsAFunctionOfItsOptions(t *testing.T) {
	o := PlanOptions{
		Devices: 300, Tasks: 7, Fail: 0.2, Retries: 0.5, StateChanges: 0.3, Unfinished: 0.1, Duplicates: 0.1, Reorder: 20,
		Seed: 11,
	}
	first, second := bodies(t, mustPlan(t, o)), bodies(t, mustPlan(t, o))
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("equal options made different plans (-first +second):\n%s", diff)
	}
	o.Seed = 12
	if other := bodies(t, mustPlan(t, o)); slices.Equal(first, other) {
		t.Error("another seed made the same plan")
	}
}

func TestCounts(t *testing.T) {
	type sums struct {
		Devices, Succeeded, Failed, InProgress, Pending, Recovered, Causes int64
		Notifications                                                      int
	}
	cases := map[string]struct {
		options PlanOptions
		want    sums
	}{
		"all succeed": {
			options: PlanOptions{Devices: 10, Tasks: 1},
			want:    sums{Devices: 10, Succeeded: 10, Notifications: 10},
		},
		"the demo's": {
			options: PlanOptions{Devices: 1000, Tasks: 1, Fail: 0.03, Retries: 0.2, Duplicates: 0.02},
			// 1000 first results, 6 retries, and 2 % of these 1006 again.
			want: sums{Devices: 1000, Succeeded: 976, Failed: 24, Recovered: 6, Causes: 24, Notifications: 1026},
		},
		"nobody finishes": {
			options: PlanOptions{Devices: 20, Tasks: 2, Unfinished: 1},
			want:    sums{Devices: 20, InProgress: 20},
		},
		"everything": {
			options: PlanOptions{
				Devices: 1000, Tasks: 13, Fail: 0.1, Retries: 0.5, StateChanges: 0.5, Unfinished: 0.05, Duplicates: 0.1,
				Reorder: 100,
			},
			want: sums{Devices: 1000, Succeeded: 900, Failed: 50, InProgress: 50, Recovered: 50, Causes: 50},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				tc.options.Seed = seed
				p := mustPlan(t, tc.options)
				got := sums{Notifications: p.Len()}
				for _, c := range p.Counts(nil) {
					got.Devices += c.Devices
					got.Succeeded += c.Succeeded
					got.Failed += c.Failed
					got.InProgress += c.InProgress
					got.Pending += c.Pending
					got.Recovered += c.Recovered
					for _, count := range c.Causes {
						got.Causes += count
					}
				}
				if tc.want.Notifications == 0 { // how many steps there are is left to chance
					got.Notifications = 0
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("seed %d (-want +got):\n%s", seed, diff)
				}
			}
		})
	}
}

func TestCountsOfNothingDelivered(t *testing.T) {
	p := mustPlan(t, PlanOptions{Devices: 5, Tasks: 1, Fail: 1, OperationID: "op", AppID: "app"})
	want := []TaskCounts{{AppID: "app", OperationID: "op", Devices: 5, Pending: 5, Causes: map[string]int64{}}}
	if diff := cmp.Diff(want, p.Counts(func(int) bool { return false })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRetriedDevicesFailFirst(t *testing.T) {
	p := mustPlan(t, PlanOptions{
		Devices: 500, Tasks: 3, Fail: 0.4, Retries: 0.5, StateChanges: 0.5, Duplicates: 0.1, Seed: 3,
	})
	last, retried, newSubTask := map[int]Kind{}, map[int]bool{}, 0
	seen := map[Notification]bool{}
	for i := range p.Len() {
		n := p.At(i)
		if seen[n] {
			continue // a repetition comes after what it repeats; the order of those is not this test's
		}
		seen[n] = true
		before, reported := last[n.Device]
		if reported && n.Kind < before {
			t.Errorf("device %d: kind %d came after kind %d", n.Device, n.Kind, before)
		}
		if n.Kind == Success && before == Fail {
			retried[n.Device] = true
			newSubTask += n.Attempt
		}
		last[n.Device] = n.Kind
	}
	if len(retried) != 100 || newSubTask != 50 {
		t.Errorf("%d devices were retried, %d under a new sub-task; want 100 and 50", len(retried), newSubTask)
	}
}

func TestReorderKeepsWithinTheWindow(t *testing.T) {
	messages := make([]message, 1000)
	for i := range messages {
		messages[i].device = int32(i)
	}
	moved := reorder(messages, 30, random(1, 1))
	out := 0
	for i, m := range moved {
		if distance := int(math.Abs(float64(i - int(m.device)))); distance > 30 {
			t.Errorf("message %d is at place %d", m.device, i)
		} else if distance > 0 {
			out++
		}
	}
	if out < 500 {
		t.Errorf("%d of 1000 messages moved, want most of them", out)
	}
}

func TestBodies(t *testing.T) {
	p := mustPlan(t, PlanOptions{Devices: 400, Tasks: 4, Fail: 0.5, Retries: 0.3, StateChanges: 0.5, Seed: 5})
	appID := regexp.MustCompile(`^[A-Za-z0-9_]{28}$`)
	deviceID := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	devices, operations := map[string]int{}, map[string]bool{}
	shapes := map[string]int{}
	for i, body := range bodies(t, p) {
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		n := p.At(i)
		if !appID.MatchString(got["appId"].(string)) || !deviceID.MatchString(got["deviceId"].(string)) {
			t.Errorf("ids of %s", body)
		}
		if number, ok := devices[got["deviceId"].(string)]; ok && number != n.Device {
			t.Errorf("devices %d and %d share an id", number, n.Device)
		}
		devices[got["deviceId"].(string)] = n.Device
		operations[got["operationId"].(string)] = true
		shapes[fmt.Sprintf("upgradeTime %T", got["upgradeTime"])]++
		if got["status"] == "FAIL" {
			cur, present := got["curVersion"]
			shapes[fmt.Sprintf("curVersion %t %T", present, cur)]++
		}
		if len(body) > 1000 {
			t.Errorf("%d bytes: upgrade pushes are below 1 KB", len(body))
		}
	}
	if len(devices) != 400 || len(operations) != 4 {
		t.Errorf("%d devices in %d tasks, want 400 in 4", len(devices), len(operations))
	}
	want := []string{
		"curVersion false <nil>", "curVersion true <nil>", "curVersion true string",
		"upgradeTime <nil>", "upgradeTime float64", "upgradeTime string",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(shapes))); diff != "" {
		t.Errorf("shapes of the wire (-want +got):\n%s", diff)
	}
}

// TestFailureGroups holds the table against what the operator makes of the texts.
func TestFailureGroups(t *testing.T) {
	for k, f := range failures {
		text := f.group
		if f.text != nil {
			text = f.text(random(7, uint64(k)))
		}
		if diff := cmp.Diff(f.group, tally.Cause(text)); diff != "" {
			t.Errorf("group of %q (-want +got):\n%s", text, diff)
		}
	}
}

func TestTopCauses(t *testing.T) {
	counts := TaskCounts{Causes: map[string]int64{"b": 2, "a": 2, "c": 5, "d": 1, "e": 1}}
	want := []CauseCount{{"c", 5}, {"a", 2}, {Other, 4}}
	if diff := cmp.Diff(want, counts.TopCauses(2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := counts.TopCauses(5); len(got) != 5 {
		t.Errorf("got %v, want all five and no more", got)
	}
}

func TestPlanRefuses(t *testing.T) {
	cases := map[string]PlanOptions{
		"no devices":               {Devices: 0, Tasks: 1},
		"too many devices":         {Devices: maxDevices + 1, Tasks: 1},
		"no tasks":                 {Devices: 1},
		"more tasks than devices":  {Devices: 1, Tasks: 2},
		"a fraction above 1":       {Devices: 1, Tasks: 1, Fail: 1.1},
		"a negative fraction":      {Devices: 1, Tasks: 1, Duplicates: -0.1},
		"no number":                {Devices: 1, Tasks: 1, Retries: math.NaN()},
		"more fates than devices":  {Devices: 1, Tasks: 1, Fail: 0.6, Unfinished: 0.6},
		"a negative reorder":       {Devices: 1, Tasks: 1, Reorder: -1},
		"too large a reordering":   {Devices: 1, Tasks: 1, Reorder: maxReorderWindow + 1},
		"state changes below zero": {Devices: 1, Tasks: 1, StateChanges: -1},
	}
	for name, options := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := NewPlan(options); err == nil {
				t.Error("got no error")
			}
		})
	}
}
