// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// storedSlices makes slices that were created so long ago, with as many results in all of each of so many tasks.
func storedSlices(count int, age time.Duration, tasks, results, bytes int, singleTask bool) []*storedSlice {
	out := make([]*storedSlice, count)
	for i := range out {
		name := fmt.Sprintf("%s-%d-%d-%t-%d", age, tasks, bytes, singleTask, i)
		s := &storedSlice{singleTask: singleTask, results: tasks * results, bytes: bytes}
		s.Name, s.UID, s.CreationTimestamp = name, types.UID(name), metav1.NewTime(first.Add(-age))
		for n := range tasks {
			s.tasks = append(s.tasks, heldTask{Task: taskNumber(n), results: results})
		}
		out[i] = s
	}
	return out
}

// releaseSlices makes slices that were created so long ago, with so many releases each.
func releaseSlices(count int, age time.Duration, releases int) []*storedSlice {
	out := storedSlices(count, age, 0, 0, 1000, false)
	for _, s := range out {
		s.releases = make([]storage.Release, releases)
	}
	return out
}

// withoutRejected is a copy without rejected notifications.
func (s storedSlice) withoutRejected() *storedSlice {
	s.rejected = nil
	return &s
}

func TestPlanCompaction(t *testing.T) {
	const small, large, minute, hour = 1000, smallSlice, time.Minute, time.Hour
	unreadable := storedSlices(compactAtSlices, hour, 1, 1, small, false)
	for _, s := range unreadable {
		s.unreadable = errors.New("from the future")
	}
	rejected, largeRejected := storedSlices(1, hour, 1, 1, small, false), storedSlices(1, hour, 1, 1, large, false)
	rejected[0].rejected, largeRejected[0].rejected = make([]rejection, 1), make([]rejection, 1)
	goesOn := func(stored []*storedSlice) []*storedSlice {
		return append(stored, storedSlices(1, minute, 1, 9, stored[0].bytes, true)...)
	}
	const devices = 1000 // of each task
	cases := map[string]struct {
		stored []*storedSlice
		inputs int
	}{
		"nothing":                              {nil, 0},
		"few young slices":                     {storedSlices(compactAtSlices-1, minute, 1, 100, small, false), 0},
		"many small slices":                    {storedSlices(compactAtSlices, minute, 300, 1, small, false), 200},
		"large slices":                         {storedSlices(compactAtSlices, minute, 300, 1, large, false), 0},
		"large slices that are old":            {storedSlices(3, hour, 300, 1, large, false), 0},
		"one small slice that is old":          {storedSlices(1, hour, 1, 1, small, false), 0},
		"one with rejected notifications":      {rejected, 1},
		"a large one with rejected":            {largeRejected, 1},
		"two small slices that are old":        {storedSlices(2, hour, 1, 1, small, false), 2},
		"more than one step may read":          {storedSlices(1000, minute, 1, 1, small, false), maxInputs},
		"more bytes than one step may read":    {storedSlices(200, hour, 1, 1, large-1, false), 128},
		"few slices of a task":                 {storedSlices(mergeAtSlices-1, minute, 1, 9, small, true), 0},
		"many slices of a task":                {storedSlices(mergeAtSlices, minute, 1, 9, small, true), mergeAtSlices},
		"an idle task":                         {storedSlices(2, hour, 1, 9, small, true), 2},
		"a task in one slice":                  {storedSlices(1, hour, 1, 9, small, true), 0},
		"a task that goes on":                  {goesOn(storedSlices(2, hour, 1, 9, small, true)), 0},
		"large slices of a task":               {storedSlices(100, hour, 1, 9, large, true), 0},
		"duplicates of a task":                 {storedSlices(300, hour, 1, 9, large, true), 300},
		"the same, of a task that goes on":     {goesOn(storedSlices(300, hour, 1, 9, large, true)), 0},
		"duplicates of many tasks":             {storedSlices(400, hour, 3, 9, large, false), 400},
		"the last few of large tasks":          {storedSlices(100, hour, 100, 9, large, false), 0},
		"many tasks with a result each device": {storedSlices(100, hour, 3, 9, large, false), 0},
		"few releases":                         {releaseSlices(mergeAtSlices-1, minute, 1), 0},
		"many releases":                        {releaseSlices(mergeAtSlices, minute, 1), mergeAtSlices},
		"two old slices with few releases":     {releaseSlices(2, hour, 1), 2},
		"full slices of releases":              {releaseSlices(mergeAtSlices, hour, restPerSlice), 0},
		"a slice and a release":                {append(releaseSlices(1, hour, 1), rejected[0].withoutRejected()), 0},
		"what can't be read":                   {unreadable, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			index := newIndex()
			for _, s := range c.stored {
				index.insert(s)
			}
			got := planCompaction(index, func(result.Task) int64 { return devices }, first)
			if len(got) != c.inputs {
				t.Errorf("want %d inputs, got %d", c.inputs, len(got))
			}
		})
	}
}

func TestCompactionChangesNoSummary(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.ownSlicesAt = 1
	for n := range 20 {
		slice := sharedSlice(n, 3)
		if n == 4 {
			slice.Rejected = rejectedSlice(first).Rejected
		}
		s.create(fmt.Sprintf("r-%d", n), slice)
	}
	s.awaitRead()
	want := s.summaries()

	s.compact(t.Context())
	if got := len(s.stored()); got != 20 {
		t.Errorf("young slices were compacted: want 20, got %d", got)
	}
	s.clock.Step(idleAge + time.Minute)
	s.compact(t.Context())
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("compaction changed summaries (-want +got):\n%s", diff)
	}
	s.expectTrue()
	tasks, rejected := map[string]int{}, 0
	for _, slice := range s.stored() {
		if label := slice.Labels[storage.LabelTask]; label != "" {
			tasks[label]++
		}
		rejected += len(slice.Rejected)
	}
	wantTasks := map[string]int{taskNumber(0).Hash(): 1, taskNumber(1).Hash(): 1, taskNumber(2).Hash(): 1}
	if diff := cmp.Diff(wantTasks, tasks); diff != "" {
		t.Errorf("slices by task (-want +got):\n%s", diff)
	}
	if rejected != 1 {
		t.Errorf("want 1 rejected notification, got %d", rejected)
	}
}

// What reports many small tasks at once is gathered in few slices, and every task keeps what it had.
func TestManySmallTasksAreGathered(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	for n := range compactAtSlices {
		r := failure(n, first, "Invalid URI")
		r.Task = taskNumber(n)
		s.create(fmt.Sprintf("r-%d", n), sliceOf(r))
	}
	s.awaitRead()
	want := s.summaries()
	s.compact(t.Context())
	if got := len(s.stored()); got != 1 {
		t.Errorf("want 1 slice, got %d", got)
	}
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("tasks changed (-want +got):\n%s", diff)
	}
	s.expectTrue()
}

// What a version can't read, another one may: it stays, and its other results count.
func TestUnreadableSlicesStay(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s, keptADay)
	s.clock.SetTime(time.Now().Add(48 * time.Hour))
	slice := sharedSlice(0, 2)
	future := slice.Tables[0]
	future.Rows = "deviceId,receiveTime,mood\nd,1,good\n"
	slice.Tables = append(slice.Tables, future)
	s.create("r-future", slice)
	s.create("r-today", sharedSlice(1, 2))
	s.awaitRead()
	s.compact(t.Context())
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored := s.stored()
	if len(stored) != 1 || stored[0].Name != "r-future" || s.index.unreadable() != 1 {
		t.Errorf("want r-future alone, got %d slices", len(stored))
	}
	// What can be read of it counts, still.
	if got := s.counted()[taskNumber(0)]; got.Succeeded != 5 || got.Reported() != 5 {
		t.Errorf("want the 5 successes of the slice that is left, got %+v", got)
	}
	done, err := s.Purge(t.Context(), taskNumber(0), last)
	if done || !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "r-future") {
		t.Errorf("purge of what can't be read: done %t, error %v", done, err)
	}
}

// What a device reported before its result is not kept for ever, however large the slices are, and the status does not
// change by that.
func TestDuplicatesGo(t *testing.T) {
	const devices = 2000
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	for n, state := range []storage.State{storage.StateDownloading, storage.StateUpdating, storage.StateSucceeded} {
		var results []result.Result
		for device := range devices {
			at, text := first.Add(time.Duration(n)*time.Minute), strings.Repeat("long ", 40)+strconv.Itoa(device)
			r := failure(device, at, text)
			r.State = state
			r.Normalize()
			results = append(results, r)
		}
		for i, tables := range result.Split(results, storage.MaxSliceBytes-sliceOverhead) {
			s.create(fmt.Sprintf("%sof-task-%d-%d", mergedPrefix, n, i), &storage.ResultSlice{Tables: tables},
				map[string]string{storage.LabelTask: results[0].Hash()})
		}
	}
	s.awaitRead()
	want := s.summaries()
	s.clock.SetTime(time.Now().Add(time.Hour))
	s.compact(t.Context())
	if got := s.index.usage().results; got != devices {
		t.Errorf("want %d results, got %d", devices, got)
	}
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("the summary changed (-want +got):\n%s", diff)
	}
}

// More than one step may hold in memory is rewritten for a share of the devices at a time.
func TestMergeInShares(t *testing.T) {
	inputs := storedSlices(2, time.Hour, 1, 9, smallSlice, true)
	var results, got []result.Result
	for device := range 500 {
		results = append(results, failure(device, first, "Invalid URI"))
	}
	slice := sliceOf(results...)
	slice.Rejected = rejectedSlice(first).Rejected
	rejected, names := 0, map[string]bool{}
	for n := range 3 {
		m := newMerge(inputs, share{n: n, of: 3}, ownSlicesAtResults, nil)
		for i := range inputs {
			if err := m.add(i, slice); err != nil {
				t.Fatal(err)
			}
		}
		outputs, err := m.outputs("ns")
		if err != nil {
			t.Fatal(err)
		}
		for _, out := range outputs {
			unpacked, err := result.Unpack(out.Tables)
			if err != nil {
				t.Fatal(err)
			}
			if len(unpacked) > len(results)/2 {
				t.Errorf("share %d has %d of %d devices", n, len(unpacked), len(results))
			}
			got = append(got, unpacked...)
			rejected += len(out.Rejected)
			names[out.Name] = true
		}
	}
	if diff := cmp.Diff(result.Merge(results), result.Merge(got)); diff != "" || len(got) != len(results) {
		t.Errorf("%d results of %d (-want +got):\n%s", len(got), len(results), diff)
	}
	if rejected != 2 || len(names) != 4 {
		t.Errorf("want 2 rejected notifications in 4 slices, got %d in %d", rejected, len(names))
	}
}

// Compaction killed before or after any of its writes, and done again by another leader, loses and changes nothing.
func TestKilledCompactionLosesNothing(t *testing.T) {
	for _, afterward := range []bool{false, true} {
		for writes := 0; ; writes++ {
			k := &killer{left: writes, afterward: afterward}
			s := newStore(t, harness.NewNamespace(t, k8s), k.client())
			for n := range 4 {
				s.create(fmt.Sprintf("r-%d", n), sharedSlice(n, 2))
			}
			s.awaitRead()
			s.ownSlicesAt = 1
			want := s.summaries()
			if err := s.rewrite(t.Context(), s.index.all(), nil); err != nil && !k.dead {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.summaries()); diff != "" {
				t.Fatalf("killed after %d writes (-want +got):\n%s", writes, diff)
			}
			next := newStore(t, s.namespace, k8s)
			next.ownSlicesAt = 1
			if err := next.rewrite(t.Context(), next.index.all(), nil); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, next.summaries()); diff != "" {
				t.Fatalf("done again after %d writes (-want +got):\n%s", writes, diff)
			}
			if got := len(next.stored()); got != 2 {
				t.Fatalf("killed after %d writes: %d slices are left over of 2 tasks", writes, got)
			}
			next.expectTrue()
			if !k.dead {
				if writes == 0 {
					t.Fatal("nobody was killed: the test tests nothing")
				}
				break
			}
		}
	}
}
