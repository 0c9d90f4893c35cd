// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

// tasks are those that results are drawn of.
var tasks = resulttest.Tasks()

// queries list some of the devices that are drawn, some that never are, and more than a summary names as missing.
var queries = []tally.Query{
	{},
	{TargetVersion: "1.6", Devices: []string{"d1", "unknown", "d0"}},
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
		seen := resulttest.Results().Draw(t, "notifications")
		want := modelOf(seen)

		repeated := seen
		if len(seen) > 0 {
			repeated = append(slices.Clone(seen), rapid.SliceOfN(rapid.SampledFrom(seen), 0, 10).Draw(t, "repeated")...)
		}
		stored := resulttest.Slices(t, rapid.Permutation(repeated).Draw(t, "order of arrival"))
		for range rapid.IntRange(0, 4).Draw(t, "compactions") {
			stored = resulttest.Compact(t, stored)
		}
		stored = rapid.Permutation(stored).Draw(t, "order of slices")

		tallied := tally.New()
		seal := rapid.IntRange(0, len(stored)).Draw(t, "seal")
		for i, tables := range stored {
			if i == seal {
				tallied.Seal()
			}
			addAndCheckChanges(t, tallied, resulttest.Unpack(t, tables))
		}
		checkTally(t, want, tallied)
	})
}

// addAndCheckChanges holds that Add names every task whose summary changed, and none when it repeats.
func addAndCheckChanges(t *rapid.T, tallied *tally.Tally, results []result.Result) {
	var before []tally.Summary
	for _, task := range tasks {
		before = append(before, tallied.Summary(task, queries[2]))
	}
	changed := tallied.Add(results)
	for i, task := range tasks {
		diff := cmp.Diff(before[i], tallied.Summary(task, queries[2]))
		if diff != "" && !slices.Contains(changed, task) {
			t.Fatalf("%v changed without being named:\n%s", task, diff)
		}
	}
	slices.SortFunc(changed, func(a, b result.Task) int { return slices.Index(tasks, a) - slices.Index(tasks, b) })
	if len(slices.Compact(changed)) != len(changed) {
		t.Fatalf("A task is named twice: %v", changed)
	}
	if again := tallied.Add(results); len(again) > 0 {
		t.Fatalf("Results told something new of %v the second time", again)
	}
}

func checkTally(t *rapid.T, want model, tallied *tally.Tally) {
	devices := int64(0)
	for _, task := range tasks {
		devices += int64(len(want[task]))
		if tallied.Devices(task) != int64(len(want[task])) {
			t.Fatalf("The tally has %d devices of %v, want %d", tallied.Devices(task), task, len(want[task]))
		}
		if got, last := tallied.LastReceivedAt(task), want.summary(task, tally.Query{}).LastReceivedAt; got != last {
			t.Fatalf("The last notification of %v is of %d, want %d", task, got, last)
		}
		for _, query := range queries {
			got := tallied.Summary(task, query)
			if diff := cmp.Diff(want.summary(task, query), got); diff != "" {
				t.Fatalf("Unexpected summary of %v (-want,+got):\n%s", task, diff)
			}
			checkSums(t, got)
			checkFailureLog(t, want.devices(task), tallied, task, got)
		}
	}
	if tallied.Count() != len(want) {
		t.Fatalf("The tally has %d tasks, want %d", tallied.Count(), len(want))
	}
	if tallied.Size() != devices {
		t.Fatalf("The tally has %d devices, want %d", tallied.Size(), devices)
	}
	if len(tallied.All()) != len(want) {
		t.Fatalf("The tally has the tasks %v, want %d", tallied.All(), len(want))
	}
}

// checkSums holds the sums to each other, apart from the model.
func checkSums(t *rapid.T, s tally.Summary) {
	causes := int64(0)
	for _, cause := range s.Causes {
		causes += cause.Count
	}
	if causes != s.Failed {
		t.Fatalf("The causes add up to %d, want %d", causes, s.Failed)
	}
	if s.Failed+s.Recovered != s.Failures {
		t.Fatalf("%d failed + %d recovered are not %d failures", s.Failed, s.Recovered, s.Failures)
	}
	if s.Reported() != s.Succeeded+s.Failed+s.InProgress {
		t.Fatalf("%d reported, want the sum of %+v", s.Reported(), s)
	}
}

func add(tallied *tally.Tally, results ...result.Result) []result.Task {
	return tallied.Add(results)
}

// TestOtherHasTheRest has more causes than a summary shows, each with more than one device.
func TestOtherHasTheRest(t *testing.T) {
	tallied := tally.New()
	for cause := range 12 {
		for device := range 2 {
			r := resulttest.Failed(fmt.Sprintf("%c%d", 'a'+rune(cause), device), int64(cause+1))
			r.StatusDesc = fmt.Sprintf("Cause %c", 'a'+rune(cause))
			add(tallied, r)
		}
	}
	causes := tallied.Summary(tasks[0], tally.Query{}).Causes
	if len(causes) != 11 {
		t.Fatalf("The summary has %d causes, want 10 and Other", len(causes))
	}
	want := []tally.CauseCount{
		{Cause: "Cause j", Count: 2, Devices: []string{"j0", "j1"}},
		{Cause: tally.CauseOther, Count: 4, Devices: []string{"l0", "l1", "k0"}},
	}
	if diff := cmp.Diff(want, causes[9:]); diff != "" {
		t.Errorf("Unexpected last causes (-want,+got):\n%s", diff)
	}
}

func TestTasksAndForget(t *testing.T) {
	tallied := tally.New()
	for _, task := range []result.Task{tasks[2], tasks[1], tasks[0]} {
		r := resulttest.Succeeded("d", 1)
		r.Task = task
		if diff := cmp.Diff([]result.Task{task}, add(tallied, r)); diff != "" {
			t.Errorf("Unexpected changes (-want,+got):\n%s", diff)
		}
	}
	check := func(wantOp, wantAll []result.Task) {
		t.Helper()
		if diff := cmp.Diff(wantOp, tallied.Tasks("op")); diff != "" {
			t.Errorf("Unexpected tasks of op (-want,+got):\n%s", diff)
		}
		if diff := cmp.Diff(wantAll, tallied.All()); diff != "" {
			t.Errorf("Unexpected tasks (-want,+got):\n%s", diff)
		}
		if tallied.Size() != int64(len(wantAll)) {
			t.Errorf("The tally has %d devices, want %d", tallied.Size(), len(wantAll))
		}
	}
	check(tasks[:2], tasks)
	tallied.Forget(tasks[0])
	tallied.Forget(tasks[0])
	check(tasks[1:2], tasks[1:])
	if diff := cmp.Diff(tally.Summary{Missing: queries[1].Devices}, tallied.Summary(tasks[0], queries[1])); diff != "" {
		t.Errorf("A forgotten task has a summary (-want,+got):\n%s", diff)
	}
	tallied.Forget(tasks[1])
	check(nil, tasks[2:])
	add(tallied, resulttest.Succeeded("d", 1))
	check(tasks[:1], []result.Task{tasks[0], tasks[2]})
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
		"a part can't be read":               {"1.6\ufffd", "1.6\ufffd", "", 1},
		"its version can't be read":          {"1.6", "\ufffd", "1.6", 1},
		"its target can't be read":           {"1.6\ufffd", "1.6", "1.6", 1},
		"a target that can't be read, alone": {"1.6\ufffd", "", "", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tallied := tally.New()
			r := resulttest.Succeeded("d", 1)
			r.TargetVersion, r.CurVersion = c.target, c.current
			add(tallied, r)
			if got := tallied.Summary(tasks[0], tally.Query{TargetVersion: c.wanted}).Suspect; got != c.want {
				t.Errorf("%d devices are suspect, want %d", got, c.want)
			}
		})
	}
}

// A task has one target. Where nobody says which, it is the one that most devices were to get, of equal ones the
// greater text; the devices of another one are suspect although they run what they were to get. Where devices are
// listed, these decide, and strangers do not.
func TestOneTargetForATask(t *testing.T) {
	type reported struct{ device, target, current string }
	cases := map[string]struct {
		reported []reported
		listed   []string
		want     []string
	}{
		"the rarer one is suspect": {
			reported: []reported{{"a", "1.6", "1.6"}, {"b", "1.5", "1.5"}, {"c", "1.6", "1.6"}, {"d", "1.7", "1.7"}},
			want:     []string{"b", "d"},
		},
		"of equal ones the lesser is": {
			reported: []reported{{"a", "1.6", "1.6"}, {"b", "1.5", "1.5"}}, want: []string{"b"},
		},
		"in whatever order": {
			reported: []reported{{"b", "1.5", "1.5"}, {"a", "1.6", "1.6"}}, want: []string{"b"},
		},
		"one that names none has to run it": {
			reported: []reported{{"a", "", "1.5"}, {"b", "", "1.5"}, {"c", "1.6", "1.6"}}, want: []string{"a", "b"},
		},
		"one that can't be read is no target": {
			reported: []reported{{"a", "1.6\ufffd", ""}, {"b", "1.6\ufffd", ""}, {"c", "1.6", "1.6"}}, want: []string{"a", "b"},
		},
		"strangers don't decide": {
			reported: []reported{{"a", "1.6", "1.6"}, {"b", "1.5", "1.5"}, {"c", "1.5", "1.5"}},
			listed:   []string{"a", "missing"}, want: []string{"b", "c"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tallied := tally.New()
			for _, r := range c.reported {
				succeeded := resulttest.Succeeded(r.device, 1)
				succeeded.TargetVersion, succeeded.CurVersion = r.target, r.current
				add(tallied, succeeded)
			}
			s := tallied.Summary(tasks[0], tally.Query{Devices: c.listed})
			var got []string
			for _, d := range s.SuspectDevices {
				got = append(got, d.DeviceID)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || s.Suspect != int64(len(c.want)) || s.Listed.Suspect != 0 {
				t.Errorf("%d are suspect, %d of the listed (-want +got):\n%s", s.Suspect, s.Listed.Suspect, diff)
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
	borrowed := func(r result.Result) result.Result {
		r.AppID, r.OperationID = borrow(r.AppID), borrow(r.OperationID)
		r.DeviceID, r.SubOperationID = borrow(r.DeviceID), borrow("s")
		r.StatusDesc, r.CurVersion, r.TargetVersion = borrow(r.StatusDesc), borrow("1.6"), borrow("1.6")
		return r
	}
	given := []result.Result{
		resulttest.Failed("d1", 1), resulttest.Failed("d2", 2), resulttest.Succeeded("d2", 3), resulttest.Succeeded("d3", 3),
	}
	tallied, want := tally.New(), tally.New()
	var lent, owned []result.Result
	for _, r := range given {
		r.AppID = "app"
		own := borrowed(r)
		lent = append(lent, own)
		own = r
		own.SubOperationID, own.CurVersion, own.TargetVersion = "s", "1.6", "1.6"
		owned = append(owned, own)
	}
	add(tallied, lent...)
	add(want, owned...)
	for _, buffer := range buffers {
		for i := range buffer {
			buffer[i] = '#'
		}
	}
	task := result.Task{AppID: "app", OperationID: "op"}
	if diff := cmp.Diff(want.All(), tallied.All()); diff != "" {
		t.Errorf("The tasks share the memory of the results (-want,+got):\n%s", diff)
	}
	query := tally.Query{TargetVersion: "1.6"}
	if diff := cmp.Diff(want.Summary(task, query), tallied.Summary(task, query)); diff != "" {
		t.Errorf("The summary shares the memory of the results (-want,+got):\n%s", diff)
	}
	if diff := cmp.Diff(want.FailuresFrom(task, 0, 9), tallied.FailuresFrom(task, 0, 9)); diff != "" {
		t.Errorf("The failure log shares the memory of the results (-want,+got):\n%s", diff)
	}
}

// TestTallyIsSafeForConcurrentUse needs the race detector to be of use.
func TestTallyIsSafeForConcurrentUse(t *testing.T) {
	tallied := tally.New()
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := range 200 {
				device := fmt.Sprintf("d%d", (i*7+writer)%50)
				add(tallied, resulttest.Failed(device, int64(i+1)))
				if i%3 == 0 {
					add(tallied, resulttest.Succeeded(device, int64(i+1)))
				}
				if i == 100 && writer == 0 {
					tallied.Seal()
				}
				summary := tallied.Summary(tasks[0], queries[2])
				if summary.Failed+summary.Recovered != summary.Failures {
					t.Errorf("A summary is torn: %+v", summary)
				}
				tallied.DigestFailures(tasks[0], int64(i%10), 3)
				tallied.FailuresFrom(tasks[0], 0, 5)
				tallied.Tasks("op")
				tallied.All()
				tallied.Size()
			}
		})
	}
	writers.Wait()
	if got := tallied.Summary(tasks[0], tally.Query{}).Reported(); got != 50 {
		t.Errorf("%d devices have reported, want 50", got)
	}
}
