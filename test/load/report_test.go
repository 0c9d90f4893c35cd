// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRatiosCompareRounds(t *testing.T) {
	r := reportOf(map[string][]float64{
		keyOperator: {50, 100, 40, 7},
		keyObject:   {10, 50, 10},
		keyInline:   {0, 4},
		keyFloor:    {},
	}, nil)
	cases := map[string]struct {
		load, a, b string
		want       []float64
	}{
		"round by round":         {load: "closed-2", a: keyOperator, b: keyObject, want: []float64{5, 2, 4}},
		"nothing to divide by":   {load: "closed-2", a: keyOperator, b: keyInline, want: []float64{25}},
		"a side without rounds":  {load: "closed-2", a: keyOperator, b: keyFloor},
		"a side that is missing": {load: "closed-2", a: keyDecode, b: keyOperator},
		"another load":           {load: "open-8", a: keyOperator, b: keyObject},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, r.ratios(c.load, c.a, c.b)); diff != "" {
				t.Errorf("ratios (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportStartsEmpty(t *testing.T) {
	o, err := parse([]string{"--sides=operator,inline"})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(o, sidesOf(o), loadsOf(o))
	if len(r.Series) != 7 || !r.empty() { // inline takes part in two of the five loads
		t.Errorf("%d series, empty: %v, want 7, true", len(r.Series), r.empty())
	}
	r.add(r.Options.RateLoad, keyInline, measurement{PerSecond: 3})
	if s := r.find(r.Options.RateLoad, keyInline); r.empty() || s == nil || s.medianOf(perSecond) != 3 {
		t.Errorf("found %+v", s)
	}
}
