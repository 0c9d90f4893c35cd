// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An epoch follows from the seed and its number, so that one that failed can be run again.
func TestEpochFollowsFromItsSeed(t *testing.T) {
	o := &options{seed: 7, epoch: time.Minute, rate: 100, faultEvery: 5 * time.Second, platform: true}
	compare := cmp.AllowUnexported(epoch{}, fault{}, task{}, planned{}, wave{})
	if diff := cmp.Diff(planEpoch(o, 3), planEpoch(o, 3), compare); diff != "" {
		t.Errorf("twice the same epoch differs:\n%s", diff)
	}
	if cmp.Equal(planEpoch(o, 3), planEpoch(o, 4), compare) {
		t.Error("two epochs are the same")
	}
}

// In a few epochs every kind of task and of fault is there, so that none is forgotten in the tables.
func TestEverythingIsPlanned(t *testing.T) {
	missing := map[string]bool{}
	for _, k := range kinds {
		missing[string(k.kind)] = true
	}
	for _, k := range waveKinds {
		missing["wave "+string(k.kind)] = true
	}
	for _, s := range slices.Concat(strikes, platformStrikes) {
		missing[string(s.kind)] = true
	}
	o := &options{seed: 1, epoch: 2 * time.Minute, rate: 100, faultEvery: time.Second, platform: true}
	for number := range 10 {
		e := planEpoch(o, number)
		for _, task := range e.tasks {
			name := string(task.kind)
			if task.wave != nil {
				name = "wave " + name
			}
			delete(missing, name)
		}
		for _, f := range e.faults {
			delete(missing, string(f.kind))
		}
	}
	if len(missing) > 0 {
		t.Errorf("never planned: %v", missing)
	}
}

// A platform adds to an epoch, and changes nothing of it.
func TestPlatformAdds(t *testing.T) {
	o := &options{seed: 7, epoch: time.Minute, rate: 100, faultEvery: 5 * time.Second}
	without := planEpoch(o, 3)
	o.platform = true
	with := planEpoch(o, 3)
	if len(with.tasks) <= len(without.tasks) || len(with.faults) <= len(without.faults) {
		t.Fatal("it adds nothing")
	}
	numbers := map[int]bool{}
	for _, f := range with.faults {
		if numbers[f.number] {
			t.Errorf("two faults have the number %d", f.number)
		}
		numbers[f.number] = true
	}
	with.tasks, with.faults = with.tasks[:len(without.tasks)], with.faults[:len(without.faults)]
	compare := cmp.AllowUnexported(epoch{}, fault{}, task{}, planned{}, wave{})
	if diff := cmp.Diff(without, with, compare); diff != "" {
		t.Errorf("the rest differs:\n%s", diff)
	}
}
