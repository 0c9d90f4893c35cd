// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewMeasurement(t *testing.T) {
	done := &pushed{took: 2 * time.Second}
	for i := 200; i > 0; i-- {
		done.latencies = append(done.latencies, time.Duration(i)*time.Millisecond)
	}
	answered := usage{cpu: map[string]float64{"etcd": 0.1}, putBytes: 20_000}
	settled := usage{cpu: map[string]float64{"etcd": 0.4}, putBytes: 60_000}
	want := &measurement{
		PerSecond: 100, P50: 100, P99: 198, Max: 200, BehindSeconds: 0.5,
		CPU: map[string]float64{"etcd": 2}, CPUAnswered: map[string]float64{"etcd": 0.5},
		EtcdBytes: 300, EtcdBytesAnswered: 100,
	}
	if diff := cmp.Diff(want, newMeasurement(done, 500*time.Millisecond, answered, settled)); diff != "" {
		t.Errorf("measurement (-want +got):\n%s", diff)
	}
}

func TestMedian(t *testing.T) {
	cases := map[string]struct {
		values []float64
		want   float64
	}{
		"none": {},
		"one":  {values: []float64{3}, want: 3},
		"odd":  {values: []float64{9, 1, 2}, want: 2},
		"even": {values: []float64{9, 1, 2, 4}, want: 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := median(c.values); got != c.want {
				t.Errorf("median %v, want %v", got, c.want)
			}
		})
	}
}

func TestRatioComparesRounds(t *testing.T) {
	rounds := func(speeds ...float64) (all []measurement) {
		for _, s := range speeds {
			all = append(all, measurement{PerSecond: s})
		}
		return all
	}
	r := &report{Sides: []sideReport{
		{Key: keyOperator, Rounds: rounds(50, 100, 40)},
		{Key: keyObject, Rounds: rounds(10, 50, 10)}, // 5, 2 and 4 times as fast
		{Key: keyFloor},
	}}
	if got, ok := r.ratio(keyOperator, keyObject); !ok || got != 4 {
		t.Errorf("ratio %v, %v, want 4, true", got, ok)
	}
	if _, ok := r.ratio(keyOperator, keyFloor); ok {
		t.Error("a side that was not measured has a ratio")
	}
	if _, ok := r.ratio(keyDecode, keyOperator); ok {
		t.Error("a side that is not there has a ratio")
	}
}
