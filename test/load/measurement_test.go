// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/test/load/usage"
)

func TestNewMeasurement(t *testing.T) {
	o := observed{
		behindMax: 1500 * time.Millisecond, behind: 500 * time.Millisecond,
		answered: usage.Usage{CPU: map[string]float64{"etcd": 0.1}, PutBytes: 20_000},
		settled:  usage.Usage{CPU: map[string]float64{"etcd": 0.4}, PutBytes: 60_000},
	}
	for i := 200; i > 0; i-- {
		if i == 20 {
			continue // the late one
		}
		o.done = append(o.done, answered(0, 0, i))
	}
	o.done = append(o.done, answered(0, 15, 20), answer{due: at(0), left: at(0), at: at(999), status: statusNoReply},
		answer{})
	want := &measurement{
		PerSecond: 1000, P50: 100, P99: 198, Max: 200, Refused: 1, Unsent: 1, Late: 1, MaxLate: 15,
		BehindMaxSeconds: 1.5, BehindSeconds: 0.5,
		CPU: map[string]float64{"etcd": 2}, CPUAnswered: map[string]float64{"etcd": 0.5},
		EtcdBytes: 300, EtcdBytesAnswered: 100,
	}
	if diff := cmp.Diff(want, newMeasurement(o)); diff != "" {
		t.Errorf("measurement (-want +got):\n%s", diff)
	}
}

// TestNothingStored makes sure that a side that stored nothing has figures that JSON can hold.
func TestNothingStored(t *testing.T) {
	m := newMeasurement(observed{done: pushed{{}, {}}, settled: usage.Usage{CPU: map[string]float64{"etcd": 1}}})
	if m.PerSecond != 0 || m.Max != 0 || m.Unsent != 2 {
		t.Errorf("measured %+v", m)
	}
	if _, err := json.Marshal(m); err != nil {
		t.Error(err)
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
