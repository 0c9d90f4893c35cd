// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An epoch follows from the seed and its number, so that one that failed can be run again.
func TestEpochFollowsFromItsSeed(t *testing.T) {
	o := &options{seed: 7, epoch: time.Minute, rate: 100, faultEvery: 5 * time.Second}
	compare := cmp.AllowUnexported(epoch{}, fault{}, task{}, planned{})
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
	for _, s := range strikes {
		missing[string(s.kind)] = true
	}
	o := &options{seed: 1, epoch: 2 * time.Minute, rate: 100, faultEvery: time.Second}
	for number := range 10 {
		e := planEpoch(o, number)
		for _, task := range e.tasks {
			delete(missing, string(task.kind))
		}
		for _, f := range e.faults {
			delete(missing, string(f.kind))
		}
	}
	if len(missing) > 0 {
		t.Errorf("never planned: %v", missing)
	}
}
