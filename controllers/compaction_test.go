// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

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
			s.tasks, s.resultsOf = append(s.tasks, taskNumber(n)), append(s.resultsOf, results)
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
	rejected, largeRejected := storedSlices(1, hour, 1, 1, small, false), storedSlices(1, hour, 1, 1, large, false)
	rejected[0].rejected, largeRejected[0].rejected = 1, 1
	const devices = 1000 // of each task
	cases := map[string]struct {
		stored []*storedSlice
		inputs int
	}{
		"nothing":                              {nil, 0},
		"few young slices":                     {storedSlices(compactAtSlices-1, minute, 1, 100, small, false), 0},
		"many small slices":                    {storedSlices(compactAtSlices, minute, 300, 1, small, false), compactAtSlices},
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
		"a settled task":                       {storedSlices(2, hour, 1, 9, small, true), 2},
		"a task in one slice":                  {storedSlices(1, hour, 1, 9, small, true), 0},
		"a task that goes on":                  {append(storedSlices(2, hour, 1, 9, small, true), storedSlices(1, minute, 1, 9, small, true)...), 0},
		"large slices of a task":               {storedSlices(100, hour, 1, 9, large, true), 0},
		"superseded results of a task":         {storedSlices(300, hour, 1, 9, large, true), 300},
		"the same, of a task that goes on":     {append(storedSlices(300, hour, 1, 9, large, true), storedSlices(1, minute, 1, 9, large, true)...), 0},
		"superseded results of many tasks":     {storedSlices(400, hour, 3, 9, large, false), 400},
		"the same, while others come":          {append(storedSlices(400, hour, 3, 9, large, false), storedSlices(9, minute, 1, 9, small, false)...), 400},
		"the last few of large tasks":          {storedSlices(100, hour, 100, 9, large, false), 0},
		"many tasks with a result each device": {storedSlices(100, hour, 3, 9, large, false), 0},
		"what can't be read":                   {unreadable, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			index := newSliceIndex()
			for _, s := range c.stored {
				index.put(s)
			}
			got := planCompaction(index, func(upgrade.Task) int64 { return devices }, first)
			if len(got) != c.inputs {
				t.Errorf("want %d inputs, got %d", c.inputs, len(got))
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
	s.compaction().run(t.Context())
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
	s.compaction().run(t.Context())
	if err := s.retention(time.Hour).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitRead()
	stored := s.stored()
	if len(stored) != 1 || stored[0].Name != "r-future" || s.index.unreadable() != 1 {
		t.Errorf("want r-future alone, got %d slices", len(stored))
	}
}

// What a device reported before its result is not kept for ever, however large the slices are, and the status does not
// change by that.
func TestSupersededResultsGo(t *testing.T) {
	const devices = 2000
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	for n, state := range []v1alpha1.State{v1alpha1.StateDownloading, v1alpha1.StateUpdating, v1alpha1.StateSucceeded} {
		var results []upgrade.Result
		for device := range devices {
			r := failure(device, first.Add(time.Duration(n)*time.Minute), strings.Repeat("long ", 40)+strconv.Itoa(device))
			r.State = state
			r.Normalize()
			results = append(results, r)
		}
		for i, tables := range upgrade.Split(results, v1alpha1.MaxSliceBytes-sliceOverhead) {
			s.create(fmt.Sprintf("%sof-task-%d-%d", mergedPrefix, n, i), v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: tables},
				map[string]string{v1alpha1.LabelTask: results[0].Hash()})
		}
	}
	s.awaitRead()
	want := s.summaries()
	s.clock.SetTime(time.Now().Add(time.Hour))
	s.compaction().run(t.Context())
	s.awaitRead()
	if got := s.index.storedResults(); got != devices {
		t.Errorf("want %d results, got %d", devices, got)
	}
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("the summary changed (-want +got):\n%s", diff)
	}
}

// More than one step may hold in memory is rewritten for a share of the devices at a time.
func TestMergeInShares(t *testing.T) {
	inputs := storedSlices(2, time.Hour, 1, 9, smallSlice, true)
	var results, got []upgrade.Result
	for device := range 500 {
		r := failure(device, first, "Invalid URI")
		r.Normalize()
		results = append(results, r)
	}
	spec := v1alpha1.FirmwareUpgradeResultSliceSpec{
		Tables:   upgrade.Pack(results),
		Rejected: []v1alpha1.RejectedNotification{{Reason: "no JSON"}},
	}
	rejected, names := 0, map[string]bool{}
	for n := range 3 {
		m := newMerge(inputs, share{n: n, of: 3}, sortAtResults, nil)
		for i := range inputs {
			if err := m.add(i, &spec); err != nil {
				t.Fatal(err)
			}
		}
		outputs, err := m.outputs("ns")
		if err != nil {
			t.Fatal(err)
		}
		for _, out := range outputs {
			unpacked, err := upgrade.Unpack(&out.Spec)
			if err != nil {
				t.Fatal(err)
			}
			if len(unpacked) > len(results)/2 {
				t.Errorf("share %d has %d of %d devices", n, len(unpacked), len(results))
			}
			got = append(got, unpacked...)
			rejected += len(out.Spec.Rejected)
			names[out.Name] = true
		}
	}
	if diff := cmp.Diff(upgrade.Merge(results), upgrade.Merge(got)); diff != "" || len(got) != len(results) {
		t.Errorf("%d results of %d (-want +got):\n%s", len(got), len(results), diff)
	}
	if rejected != 2 || len(names) != 4 {
		t.Errorf("want 2 rejected notifications in 4 slices, got %d in %d", rejected, len(names))
	}
}

// While a backlog comes in, compaction waits, but not for ever.
func TestCompactionWaitsForABacklog(t *testing.T) {
	for name, c := range map[string]struct {
		slices  int
		backlog bool
		want    bool
	}{
		"no backlog":           {compactAtSlices, false, true},
		"a backlog":            {compactAtSlices, true, false},
		"a backlog, long ago":  {backlogSlices, true, true},
		"nothing to do anyway": {1, false, false},
	} {
		clock := clocktesting.NewFakeClock(first)
		worked := errors.New("it compacts")
		client := interceptor.NewClient(k8s, interceptor.Funcs{
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return worked
			},
		})
		index := newSliceIndex()
		for _, s := range storedSlices(c.slices, time.Minute, 1, 1, 1000, false) {
			index.put(s)
		}
		p := newPace(100, clock)
		if c.backlog {
			p.received(0)
			p.received(10 * calmResults)
			clock.Step(time.Second)
		}
		did := false
		log := funcr.New(func(string, string) { did = true }, funcr.Options{})
		(&compaction{index: index, tally: upgrade.NewTally(), rewriter: &rewriter{client: client, index: index, pace: p}, clock: clock}).
			run(logr.NewContext(t.Context(), log))
		if did != c.want {
			t.Errorf("%s: compacted: %t, want %t", name, did, c.want)
		}
	}
}
