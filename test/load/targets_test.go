// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reportOf returns a report with loads "closed-2" and "open-8"; rounds of a side have those speeds.
func reportOf(closed map[string][]float64, open map[string]measurement) *report {
	r := &report{
		Options: reportedWith{MainLoad: "closed-2", RateLoad: "open-8"},
		Sides: []sideReport{{Key: keyOperator, Title: "operator, 1 task"},
			{Key: keyOperatorTasks, Title: "operator, 9 tasks"}},
		Loads: []load{{Key: "closed-2", Title: "Closed"}, {Key: "open-8", Title: "Open", PerSecond: 8}},
	}
	for _, key := range sideKeys() {
		if speeds, ok := closed[key]; ok {
			s := series{Load: "closed-2", Side: key}
			for _, speed := range speeds {
				s.Rounds = append(s.Rounds, measurement{PerSecond: speed})
			}
			r.Series = append(r.Series, s)
		}
		if m, ok := open[key]; ok {
			r.Series = append(r.Series, series{Load: "open-8", Side: key, Rounds: []measurement{m}})
		}
	}
	return r
}

func TestFindTargets(t *testing.T) {
	r := reportOf(map[string][]float64{
		keyOperator:      {90, 100, 40},
		keyOperatorTasks: {80, 50, 30}, // 8/9, 1/2 and 3/4 of one task
		keyObject:        {5, 50, 2.5}, // 18, 2 and 16 times as fast
		keyFloor:         {},
	}, map[string]measurement{
		keyOperator: {P99: 100, BehindMaxSeconds: 2.5},
		keyOperatorTasks: {P99: 101, BehindMaxSeconds: 2.5, News: &newsFigures{
			Missing: 1, Status: seconds{Max: 1.5}, Event: seconds{Max: 2},
		}},
	})
	want := []target{
		{Title: "operator / one object a result", Load: "closed-2", Measured: 16, Low: 2, High: 18, Bound: 15, Unit: "×", Met: true},
		{Title: "operator with many tasks / with one", Load: "closed-2", Measured: 0.75, Low: 0.5, High: 80.0 / 90, Bound: 0.9, Unit: "×"},
		{Title: "p99 of the answer, operator, 1 task", Load: "open-8", Measured: 100, Low: 100, High: 100, Bound: 100, AtMost: true, Unit: "ms", Met: true},
		{Title: "status ever behind, operator, 1 task", Load: "open-8", Measured: 2.5, Low: 2.5, High: 2.5, Bound: 2, AtMost: true, Unit: "s"},
		{Title: "p99 of the answer, operator, 9 tasks", Load: "open-8", Measured: 101, Low: 101, High: 101, Bound: 100, AtMost: true, Unit: "ms"},
		{Title: "status ever behind, operator, 9 tasks", Load: "open-8", Measured: 2.5, Low: 2.5, High: 2.5, Bound: 10, AtMost: true, Unit: "s", Met: true},
		{Title: "news ever behind, operator, 9 tasks", Load: "open-8", Measured: 2, Low: 2, High: 2, Bound: 2, AtMost: true, Unit: "s", Met: true},
		{Title: "news never told, operator, 9 tasks", Load: "open-8", Measured: 1, Low: 1, High: 1, AtMost: true, Unit: "news"},
	}
	if diff := cmp.Diff(want, findTargets(r)); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if got := findTargets(reportOf(map[string][]float64{keyObject: {1}}, nil)); len(got) > 0 {
		t.Errorf("targets without the operator: %+v", got)
	}
}
