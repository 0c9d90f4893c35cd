// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
	"fwupgrade.io/operator/test/harness"
)

// storedSlices makes slices that were created so long ago, with as many results in all of each of so many tasks.
func storedSlices(count int, age time.Duration, tasks, results, bytes int, sorted bool) []*storedSlice {
	out := make([]*storedSlice, count)
	for i := range out {
		name := fmt.Sprintf("%s-%d-%d-%t-%d", age, tasks, bytes, sorted, i)
		s := &storedSlice{sorted: sorted, results: tasks * results, bytes: bytes}
		s.Name, s.UID, s.CreationTimestamp = name, types.UID(name), metav1.NewTime(first.Add(-age))
		for n := range tasks {
			s.tasks = append(s.tasks, taskNumber(n))
		}
		out[i] = s
	}
	return out
}

func TestPlanCompaction(t *testing.T) {
	const small, large, minute, hour = 1000, smallSlice, time.Minute, time.Hour
	unreadable := storedSlices(compactAtSlices, hour, 1, 1, small, false)
	for _, s := range unreadable {
		s.unreadable = errors.New("from the future")
	}
	cases := map[string]struct {
		stored []*storedSlice
		inputs int
		sort   bool
	}{
		"nothing":                           {nil, 0, false},
		"few young slices":                  {storedSlices(compactAtSlices-1, minute, 1, 100, small, false), 0, false},
		"many small slices of a task":       {storedSlices(compactAtSlices, minute, 1, 1, small, false), compactAtSlices, true},
		"many results of few tasks":         {storedSlices(compactAtSlices, minute, 10, 1, small, false), compactAtSlices, true},
		"few results of many tasks":         {storedSlices(compactAtSlices, minute, 300, 0, small, false), compactAtSlices, false},
		"large slices of many tasks":        {storedSlices(compactAtSlices, minute, 300, 0, large, false), 0, false},
		"large slices that are old":         {storedSlices(3, hour, 300, 0, large, false), 3, true},
		"one slice that is old":             {storedSlices(1, hour, 1, 1, small, false), 1, true},
		"more than one step may read":       {storedSlices(1000, minute, 1, 1, small, false), maxInputs, true},
		"more bytes than one step may read": {storedSlices(100, hour, 1, 1, v1alpha1.MaxSliceBytes, false), 64, true},
		"few slices of a sorted task":       {storedSlices(mergeAtSlices-1, minute, 1, 9, small, true), 0, false},
		"many slices of a sorted task":      {storedSlices(mergeAtSlices, minute, 1, 9, small, true), mergeAtSlices, true},
		"a sorted task that came to rest":   {storedSlices(2, hour, 1, 9, small, true), 2, true},
		"a task in one slice":               {storedSlices(1, hour, 1, 9, small, true), 0, false},
		"a task that goes on":               {append(storedSlices(2, hour, 1, 9, small, true), storedSlices(1, minute, 1, 9, small, true)...), 0, false},
		"large slices of a sorted task":     {storedSlices(100, hour, 1, 9, large, true), 0, false},
		"what can't be read":                {unreadable, 0, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			index := newSliceIndex()
			for _, s := range c.stored {
				index.put(s)
			}
			got := planCompaction(index, first)
			if len(got.inputs) != c.inputs || len(got.inputs) > 0 && got.sort != c.sort {
				t.Errorf("want %d inputs, sorted: %t; got %d, %t", c.inputs, c.sort, len(got.inputs), got.sort)
			}
		})
	}
}

// What reports many small tasks at once is gathered in few slices, and every task keeps what it had.
func TestManySmallTasksAreGathered(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	for n := range compactAtSlices {
		r := failure(n, first, "Invalid URI")
		r.Task = taskNumber(n)
		s.create(fmt.Sprintf("r-%d", n), v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: upgrade.Pack([]upgrade.Result{r})})
	}
	s.awaitRead()
	want := s.summaries()
	(&compaction{index: s.index, rewriter: s.rewriter, clock: s.clock}).run(t.Context())
	s.awaitRead()
	if got := len(s.stored()); got != 1 {
		t.Errorf("want 1 slice, got %d", got)
	}
	if got := s.summaries(); len(got) != len(want) {
		t.Errorf("want %d tasks, got %d", len(want), len(got))
	}
}

// What a version can't read, another one may: it stays, and its other results count.
func TestUnreadableSlicesStay(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.clock.SetTime(time.Now().Add(48 * time.Hour))
	spec := mixedSlice(0, 2)
	future := spec.Tables[0]
	future.Rows = "deviceId,receivedAt,mood\nd,1,good\n"
	spec.Tables = append(spec.Tables, future)
	s.create("r-future", spec)
	s.create("r-today", mixedSlice(1, 2))
	s.awaitRead()
	if got := s.tally.Summary(taskNumber(0), upgrade.Query{}).Reported(); got == 0 {
		t.Error("what could be read does not count")
	}
	(&compaction{index: s.index, rewriter: s.rewriter, clock: s.clock}).run(t.Context())
	if err := s.retention(time.Hour).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitRead()
	stored := s.stored()
	if len(stored) != 1 || stored[0].Name != "r-future" || s.index.unreadable() != 1 {
		t.Errorf("want r-future alone, got %d slices", len(stored))
	}
}
