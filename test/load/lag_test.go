// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/hack/simulator/platform"
)

func TestAnsweredDevicesCountsADeviceOnce(t *testing.T) {
	plan, err := platform.NewPlan(platform.PlanOptions{
		Devices: 40, Tasks: 3, Fail: 0.5, Retries: 1, Duplicates: 0.3, StateChanges: 0.5, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(pushed, plan.Len())
	want := map[string][]time.Time{}
	known := map[int]bool{}
	for i := range answers {
		answers[i] = answered(i, i, 2*i)
		if i%7 == 0 {
			answers[i].status = http.StatusServiceUnavailable
		}
		if n := plan.At(i); answers[i].ok() && !known[n.Device] { // answered in order, so this is its first
			known[n.Device] = true
			id := plan.OperationID(n.Task)
			want[id] = append(want[id], at(2*i))
		}
	}
	if len(known) == plan.Len() {
		t.Fatal("no device pushes twice")
	}
	if diff := cmp.Diff(want, answeredDevices(plan, answers)); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
}

func TestMaxBehind(t *testing.T) {
	times := func(ms ...int) (all []time.Time) {
		for _, m := range ms {
			all = append(all, at(m))
		}
		return all
	}
	seen := func(task string, ms int, devices int64) sighting {
		return sighting{operationID: task, at: at(ms), devices: devices}
	}
	cases := map[string]struct {
		answered map[string][]time.Time
		seen     []sighting
		end      int
		want     int // ms
	}{
		"nothing": {},
		"one, counted at last": {
			answered: map[string][]time.Time{"a": times(100)}, seen: []sighting{seen("a", 0, 0),
				seen("a", 350, 1)}, end: 400, want: 250,
		},
		"one, never counted": {
			answered: map[string][]time.Time{"a": times(100)}, seen: []sighting{seen("a", 0, 0)}, end: 400, want: 300,
		},
		"counted before it was answered": {
			answered: map[string][]time.Time{"a": times(100)}, seen: []sighting{seen("a", 90, 1)}, end: 400,
		},
		"the oldest that is not counted": {
			answered: map[string][]time.Time{"a": times(100, 200, 300)},
			seen:     []sighting{seen("a", 150, 1), seen("a", 320, 2), seen("a", 330, 3)}, end: 400, want: 120,
		},
		"a change that counts nothing": {
			answered: map[string][]time.Time{"a": times(100)}, seen: []sighting{seen("a", 200, 0),
				seen("a", 260, 1)}, end: 400, want: 160,
		},
		"a status that falls back": {
			answered: map[string][]time.Time{"a": times(100)},
			seen:     []sighting{seen("a", 110, 1), seen("a", 120, 0), seen("a", 190, 1)}, end: 400, want: 90,
		},
		"the worst of the tasks": {
			answered: map[string][]time.Time{"a": times(100), "b": times(100, 110)},
			seen:     []sighting{seen("a", 110, 1), seen("b", 130, 2)}, end: 400, want: 30,
		},
		"a task that was never seen": {answered: map[string][]time.Time{"a": times(100)}, end: 170, want: 70},
		"what was seen after the end": {
			answered: map[string][]time.Time{"a": times(100)}, seen: []sighting{seen("a", 110, 1),
				seen("a", 500, 0)}, end: 400, want: 10,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := time.Duration(c.want) * time.Millisecond
			if got := maxBehind(c.answered, c.seen, at(c.end)); got != want {
				t.Errorf("%s behind, want %s", got, want)
			}
		})
	}
}

// TestMaxBehindIsTheGreatestOverTime compares it with looking at every millisecond.
func TestMaxBehindIsTheGreatestOverTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const end = 60
		var when []int
		for range rapid.IntRange(0, 8).Draw(t, "results") {
			when = append(when, rapid.IntRange(0, end).Draw(t, "answered"))
		}
		// One status, a version a millisecond at most: counts[ms] is what it counts from then on.
		counts := make([]int, end+1)
		var seen []sighting
		counted := 0
		for ms := range counts {
			if rapid.IntRange(0, 3).Draw(t, "changes") == 0 {
				counted = rapid.IntRange(counted, len(when)).Draw(t, "counts")
				seen = append(seen, sighting{operationID: "a", at: at(ms), devices: int64(counted)})
			}
			counts[ms] = counted
		}
		answeredAt := map[string][]time.Time{}
		for ms := range counts {
			for _, w := range when {
				if w == ms {
					answeredAt["a"] = append(answeredAt["a"], at(ms))
				}
			}
		}
		want := time.Duration(0)
		for ms := 1; ms <= end; ms++ {
			// Just before the millisecond, what was counted in the one before still holds.
			if n := counts[ms-1]; n < len(when) {
				want = max(want, at(ms).Sub(answeredAt["a"][n]))
			}
		}
		if got := maxBehind(answeredAt, seen, at(end)); got != want {
			t.Fatalf("%s behind, want %s; answered %v, counted %v", got, want, when, counts)
		}
	})
}
