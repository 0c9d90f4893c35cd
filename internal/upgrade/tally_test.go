// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

var queries = []upgrade.Query{
	{},
	{TargetVersion: "1.6", Devices: []string{"d1", "unknown", "d0", "d1", "unknown"}},
	{TargetVersion: "1.5", Devices: func() []string {
		devices := []string{}
		for i := range 60 {
			devices = append(devices, fmt.Sprintf("d%d", 59-i))
		}
		return devices
	}()},
}

// TestTallyEqualsModel feeds notifications in any order, repeated, cut into any slices, and compacted any number of
// times with and without their inputs, and holds the tally to the model, which saw the notifications themselves.
func TestTallyEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := notifications().Draw(t, "notifications")
		want := modelOf(seen)

		repeated := seen
		if len(seen) > 0 {
			repeated = append(slices.Clone(seen), rapid.SliceOfN(rapid.SampledFrom(seen), 0, 10).Draw(t, "repeated")...)
		}
		specs := slicesOf(t, rapid.Permutation(repeated).Draw(t, "order of arrival"))
		for range rapid.IntRange(0, 4).Draw(t, "compactions") {
			specs = compact(t, specs)
		}
		specs = rapid.Permutation(specs).Draw(t, "order of slices")

		tally := upgrade.NewTally()
		seal := rapid.IntRange(0, len(specs)).Draw(t, "seal")
		for i := range specs {
			if i == seal {
				tally.Seal()
			}
			addAndCheckChanges(t, tally, unpack(t, specs[i]))
		}
		checkTally(t, want, tally)
	})
}

// addAndCheckChanges holds that Add names every task whose summary changed, and none when it repeats.
func addAndCheckChanges(t *rapid.T, tally *upgrade.Tally, results []upgrade.Result) {
	var before []upgrade.Summary
	for _, task := range tasks {
		before = append(before, tally.Summary(task, queries[2]))
	}
	changed := tally.Add(results)
	for i, task := range tasks {
		diff := cmp.Diff(before[i], tally.Summary(task, queries[2]))
		if diff != "" && !slices.Contains(changed, task) {
			t.Fatalf("%v changed without being named:\n%s", task, diff)
		}
	}
	slices.SortFunc(changed, func(a, b upgrade.Task) int { return slices.Index(tasks, a) - slices.Index(tasks, b) })
	if len(slices.Compact(changed)) != len(changed) {
		t.Fatalf("A task is named twice: %v", changed)
	}
	if again := tally.Add(results); len(again) > 0 {
		t.Fatalf("Results told something new of %v the second time", again)
	}
}

func checkTally(t *rapid.T, want model, tally *upgrade.Tally) {
	devices := int64(0)
	for _, task := range tasks {
		devices += int64(len(want[task]))
		for _, query := range queries {
			got := tally.Summary(task, query)
			if diff := cmp.Diff(want.summary(task, query), got); diff != "" {
				t.Fatalf("Unexpected summary of %v (-want,+got):\n%s", task, diff)
			}
			checkSums(t, got)
			checkFailureLog(t, want.devices(task), tally, task, got)
		}
	}
	if tally.Results() != devices {
		t.Fatalf("The tally has %d devices, want %d", tally.Results(), devices)
	}
	if len(tally.All()) != len(want) {
		t.Fatalf("The tally has the tasks %v, want %d", tally.All(), len(want))
	}
}

// checkSums holds the sums to each other, apart from the model.
func checkSums(t *rapid.T, s upgrade.Summary) {
	reasons := int64(0)
	for _, reason := range s.Reasons {
		reasons += reason.Count
	}
	if reasons != s.Failed {
		t.Fatalf("The reasons add up to %d, want %d", reasons, s.Failed)
	}
	if s.Failed+s.Recovered != s.Failures {
		t.Fatalf("%d failed + %d recovered are not %d failures", s.Failed, s.Recovered, s.Failures)
	}
	if s.Reported() != s.Succeeded+s.Failed+s.InProgress {
		t.Fatalf("%d reported, want the sum of %+v", s.Reported(), s)
	}
}

func add(tally *upgrade.Tally, results ...upgrade.Result) []upgrade.Task {
	return tally.Add(results)
}

func failed(device string, receivedAt int64) upgrade.Result {
	return upgrade.Result{
		Task: tasks[0], DeviceID: device, ReceivedAt: receivedAt,
		ResultFields: v1alpha1.ResultFields{State: v1alpha1.StateFailed, StatusDesc: "Invalid URI"},
	}
}

func succeeded(device string, receivedAt int64) upgrade.Result {
	result := failed(device, receivedAt)
	result.ResultFields = v1alpha1.ResultFields{State: v1alpha1.StateSucceeded}
	return result
}

// TestOtherHasTheRest has more reasons than a summary shows, each with more than one device.
func TestOtherHasTheRest(t *testing.T) {
	tally := upgrade.NewTally()
	for reason := range 12 {
		for device := range 2 {
			result := failed(fmt.Sprintf("%c%d", 'a'+rune(reason), device), int64(reason+1))
			result.StatusDesc = fmt.Sprintf("Cause %c", 'a'+rune(reason))
			add(tally, result)
		}
	}
	reasons := tally.Summary(tasks[0], upgrade.Query{}).Reasons
	if len(reasons) != 11 {
		t.Fatalf("The summary has %d reasons, want 10 and Other", len(reasons))
	}
	want := []v1alpha1.ReasonCount{
		{Reason: "Cause j", Count: 2, Devices: []string{"j0", "j1"}},
		{Reason: upgrade.ReasonOther, Count: 4, Devices: []string{"l0", "l1", "k0"}},
	}
	if diff := cmp.Diff(want, reasons[9:]); diff != "" {
		t.Errorf("Unexpected last reasons (-want,+got):\n%s", diff)
	}
}

func TestTasksAndForget(t *testing.T) {
	tally := upgrade.NewTally()
	for _, task := range []upgrade.Task{tasks[2], tasks[1], tasks[0]} {
		result := succeeded("d", 1)
		result.Task = task
		if diff := cmp.Diff([]upgrade.Task{task}, add(tally, result)); diff != "" {
			t.Errorf("Unexpected changes (-want,+got):\n%s", diff)
		}
	}
	check := func(wantOp, wantAll []upgrade.Task) {
		t.Helper()
		if diff := cmp.Diff(wantOp, tally.Tasks("op")); diff != "" {
			t.Errorf("Unexpected tasks of op (-want,+got):\n%s", diff)
		}
		if diff := cmp.Diff(wantAll, tally.All()); diff != "" {
			t.Errorf("Unexpected tasks (-want,+got):\n%s", diff)
		}
		if tally.Results() != int64(len(wantAll)) {
			t.Errorf("The tally has %d devices, want %d", tally.Results(), len(wantAll))
		}
	}
	check(tasks[:2], tasks)
	tally.Forget(tasks[0])
	tally.Forget(tasks[0])
	check(tasks[1:2], tasks[1:])
	if diff := cmp.Diff(upgrade.Summary{}, tally.Summary(tasks[0], queries[1])); diff != "" {
		t.Errorf("A forgotten task has a summary (-want,+got):\n%s", diff)
	}
	tally.Forget(tasks[1])
	check(nil, tasks[2:])
	add(tally, succeeded("d", 1))
	check(tasks[:1], []upgrade.Task{tasks[0], tasks[2]})
}

func TestSuspect(t *testing.T) {
	cases := map[string]struct {
		target, current, wanted string
		want                    int64
	}{
		"runs its target":                    {"1.6", "1.6", "", 0},
		"runs another version":               {"1.6", "1.5", "", 1},
		"runs the version wanted":            {"1.6", "1.6", "1.6", 0},
		"was to get another than wanted":     {"1.6", "1.6", "1.7", 1},
		"was to get another, runs the right": {"1.6", "1.7", "1.7", 1},
		"says no target, runs the right":     {"", "1.6", "1.6", 0},
		"says no target, runs another":       {"", "1.5", "1.6", 1},
		"says no version":                    {"1.6", "", "1.6", 0},
		"says no version and aims elsewhere": {"1.5", "", "1.6", 1},
		"says nothing":                       {"", "", "1.6", 0},
		"nobody says what is wanted":         {"", "1.5", "", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tally := upgrade.NewTally()
			result := succeeded("d", 1)
			result.TargetVersion, result.CurVersion = c.target, c.current
			add(tally, result)
			if got := tally.Summary(tasks[0], upgrade.Query{TargetVersion: c.wanted}).Suspect; got != c.want {
				t.Errorf("%d devices are suspect, want %d", got, c.want)
			}
		})
	}
}

// TestTallyKeepsNoMemoryOfResults overwrites the memory of every string of the results after they were added.
func TestTallyKeepsNoMemoryOfResults(t *testing.T) {
	var buffers [][]byte
	borrow := func(s string) string {
		buffers = append(buffers, []byte(s))
		return unsafe.String(unsafe.SliceData(buffers[len(buffers)-1]), len(s))
	}
	borrowed := func(r upgrade.Result) upgrade.Result {
		r.AppID, r.OperationID = borrow(r.AppID), borrow(r.OperationID)
		r.DeviceID, r.SubOperationID = borrow(r.DeviceID), borrow("s")
		r.StatusDesc, r.CurVersion, r.TargetVersion = borrow(r.StatusDesc), borrow("1.6"), borrow("1.6")
		return r
	}
	given := []upgrade.Result{failed("d1", 1), failed("d2", 2), succeeded("d2", 3), succeeded("d3", 3)}
	tally, want := upgrade.NewTally(), upgrade.NewTally()
	var lent, owned []upgrade.Result
	for _, result := range given {
		result.AppID = "app"
		own := borrowed(result)
		lent = append(lent, own)
		own = result
		own.SubOperationID, own.CurVersion, own.TargetVersion = "s", "1.6", "1.6"
		owned = append(owned, own)
	}
	add(tally, lent...)
	add(want, owned...)
	for _, buffer := range buffers {
		for i := range buffer {
			buffer[i] = '#'
		}
	}
	task := upgrade.Task{AppID: "app", OperationID: "op"}
	if diff := cmp.Diff(want.All(), tally.All()); diff != "" {
		t.Errorf("The tasks share the memory of the results (-want,+got):\n%s", diff)
	}
	query := upgrade.Query{TargetVersion: "1.6"}
	if diff := cmp.Diff(want.Summary(task, query), tally.Summary(task, query)); diff != "" {
		t.Errorf("The summary shares the memory of the results (-want,+got):\n%s", diff)
	}
	if diff := cmp.Diff(want.FailuresFrom(task, 0, 9), tally.FailuresFrom(task, 0, 9)); diff != "" {
		t.Errorf("The failure log shares the memory of the results (-want,+got):\n%s", diff)
	}
}

// TestTallyIsSafeForConcurrentUse needs the race detector to be of use.
func TestTallyIsSafeForConcurrentUse(t *testing.T) {
	tally := upgrade.NewTally()
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := range 200 {
				device := fmt.Sprintf("d%d", (i*7+writer)%50)
				add(tally, failed(device, int64(i+1)))
				if i%3 == 0 {
					add(tally, succeeded(device, int64(i+1)))
				}
				if i == 100 && writer == 0 {
					tally.Seal()
				}
				summary := tally.Summary(tasks[0], queries[2])
				if summary.Failed+summary.Recovered != summary.Failures {
					t.Errorf("A summary is torn: %+v", summary)
				}
				tally.DigestFailures(tasks[0], int64(i%10), 3)
				tally.FailuresFrom(tasks[0], 0, 5)
				tally.Tasks("op")
				tally.All()
				tally.Results()
			}
		})
	}
	writers.Wait()
	if got := tally.Summary(tasks[0], upgrade.Query{}).Reported(); got != 50 {
		t.Errorf("%d devices have reported, want 50", got)
	}
}
