// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoads(t *testing.T) {
	cases := map[string]struct {
		args []string
		want []string
	}{
		"default":           {want: []string{"closed-64 ×1", "closed-256 ×5", "closed-1024 ×1", "open-800 ×1", "open-1000 ×1"}},
		"sorted, each once": {args: []string{"--connections=9,3,9", "--main-connections=3", "--rates=100"}, want: []string{"closed-3 ×5", "closed-9 ×1", "open-100 ×1"}},
		"one":               {args: []string{"--connections=9", "--other-rounds=0", "--rounds=7"}, want: []string{"closed-9 ×7"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o, err := parse(append(c.args, "--tasks=50"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range loadsOf(o) {
				got = append(got, l.Key+" ×"+string(rune('0'+l.Rounds)))
				if open := l.Key[:4] == "open"; open != l.open() || open != (l.Seconds > 0) || l.Connections == 0 || l.Title == "" {
					t.Errorf("load %+v", l)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("loads and their rounds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTurnsAreInterleaved(t *testing.T) {
	o, err := parse([]string{"--sides=operator,inline,object", "--connections=1,2,3", "--rates=8,9", "--rounds=2",
		"--tasks=1"})
	if err != nil {
		t.Fatal(err)
	}
	sides, loads := sidesOf(o), loadsOf(o)
	var got []string
	seeds := map[uint64]string{}
	for _, next := range turnsOf(sides, loads) {
		place := loads[next.load].Key + "/" + string(rune('1'+next.round))
		got = append(got, place+" "+sides[next.side].key)
		if known, ok := seeds[next.seed]; ok && known != place {
			t.Errorf("%s and %s have the same pushes", known, place)
		}
		seeds[next.seed] = place
	}
	want := []string{
		"closed-1/1 operator", "closed-1/1 object",
		"closed-2/1 operator", "closed-2/1 inline", "closed-2/1 object",
		"closed-3/1 operator", "closed-3/1 object",
		"open-8/1 operator", "open-8/1 inline", "open-8/1 object",
		"open-9/1 operator", "open-9/1 object",
		"closed-2/2 operator", "closed-2/2 inline", "closed-2/2 object",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestResultsOfALoad(t *testing.T) {
	side := &contender{results: 70}
	if got := (load{}).results(side); got != 70 {
		t.Errorf("%d results in a closed loop, want 70", got)
	}
	if got := (load{PerSecond: 20, Seconds: 3}).results(side); got != 60 {
		t.Errorf("%d results in an open loop, want 60", got)
	}
}
