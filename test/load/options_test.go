// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	cases := map[string]string{
		"--connections=0":       "--connections must be",
		"--connections=5000":    "--connections must be",
		"--rounds=0":            "--rounds must be",
		"--results=0":           "--results must be",
		"--object-results=0":    "--object-results must be",
		"--connections=":        "connections",
		"--main-connections=7":  "--main-connections=7 must be one of",
		"--rates=800,0":         "--rates must be",
		"--open-seconds=0":      "--open-seconds must be",
		"--open-connections=0":  "--open-connections must be",
		"--other-rounds=-1":     "--other-rounds must be",
		"--inline-results=4000": "--inline-results must be",
		"--tasks=1001":          "--tasks must be from 1 to 1000",
		"--rates=50":            "--tasks must be from 1 to 500",
		"--warmup=-1":           "--warmup must be",
		"--sides=operator,else": "--sides=else is not known",
		"--sides=":              "--sides",
		"--results=5":           "--tasks must be from 1 to 5",
		"operator":              "unexpected argument",
		"--nonsense":            "unknown flag",
	}
	for arg, want := range cases {
		t.Run(arg, func(t *testing.T) {
			if _, err := parse([]string{arg}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one that says %q", err, want)
			}
		})
	}
}

func TestWarmupIsAQuarterAtMost(t *testing.T) {
	o, err := parse([]string{"--sides=operator,inline", "--results=20000", "--inline-results=200", "--warmup=1000"})
	if err != nil {
		t.Fatal(err)
	}
	if sides := sidesOf(o); sides[0].warmup != 1000 || sides[1].warmup != 50 {
		t.Errorf("warm-ups of %d and %d, want 1000 and 50", sides[0].warmup, sides[1].warmup)
	}
}

func TestSidesInOrder(t *testing.T) {
	o, err := parse([]string{"--sides=floor,operator-tasks", "--tasks=9"})
	if err != nil {
		t.Fatal(err)
	}
	sides := sidesOf(o)
	if len(sides) != 2 || sides[0].key != keyFloor || sides[1].key != keyOperatorTasks || sides[1].tasks != 9 {
		t.Errorf("sides %+v", sides)
	}
	for _, c := range sidesOf(&options{sides: sideKeys(), rates: []int{1}}) {
		if c.side == nil || c.title == "" || c.strict != strings.HasPrefix(c.key, keyOperator) {
			t.Errorf("%s is a key without a side", c.key)
		}
	}
}
