// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
)

func TestPackHoistsWhatResultsShare(t *testing.T) {
	task := result.Task{AppID: "app", OperationID: "op"}
	succeeded := storage.ResultFields{State: storage.StateSucceeded, TargetVersion: "1.6", CurVersion: "1.6"}
	failed := storage.ResultFields{State: storage.StateFailed, TargetVersion: "1.6", StatusDesc: "Invalid URI"}
	with := func(fields storage.ResultFields, source string) storage.ResultFields {
		fields.SourceVersion = source
		return fields
	}
	got := result.Pack([]result.Result{
		{Task: task, DeviceID: "d3", ResultFields: succeeded, ReceivedAt: 3, FailedAt: 1},
		{Task: task, DeviceID: "d1", ResultFields: with(succeeded, "1.3"), ReceivedAt: 2, LastReceivedAt: 8},
		{Task: task, DeviceID: "d2", ResultFields: failed, ReceivedAt: 4, FailedAt: 2},
		{Task: task, DeviceID: "d4", SubOperationID: "s", ResultFields: with(failed, `1.3, "final"`), ReceivedAt: 4},
		{Task: result.Task{OperationID: "other"}, DeviceID: "d1", ResultFields: failed, ReceivedAt: 9},
	})
	want := []storage.ResultTable{
		{ResultFields: failed, Rows: `operationId,appId,deviceId,subOperationId,receiveTime,failTime,sourceVersion
op,app,d2,,4,2,
op,app,d4,s,4,,"1.3, ""final"""
other,,d1,,9,,
`},
		{AppID: "app", OperationID: "op", ResultFields: succeeded,
			Rows: `deviceId,receiveTime,failTime,lastReceiveTime,sourceVersion
d1,2,,8,1.3
d3,3,1,,
`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Unexpected tables (-want,+got):\n%s", diff)
	}
}

// TestPackIgnoresTheOrder holds that results that differ in one field alone come out in one order.
func TestPackIgnoresTheOrder(t *testing.T) {
	change := map[string]func(*result.Result){
		"deviceId":           func(r *result.Result) { r.DeviceID = "a" },
		"subOperationId":     func(r *result.Result) { r.SubOperationID = "a" },
		"targetVersion":      func(r *result.Result) { r.TargetVersion = "a" },
		"sourceVersion":      func(r *result.Result) { r.SourceVersion = "a" },
		"curVersion":         func(r *result.Result) { r.CurVersion = "a" },
		"statusDesc":         func(r *result.Result) { r.StatusDesc = "a" },
		"upgradeTime":        func(r *result.Result) { r.UpgradeTime = "a" },
		"receiveTime":        func(r *result.Result) { r.ReceivedAt = 1 },
		"failTime":           func(r *result.Result) { r.FailedAt = 1 },
		"firstReceiveTime":   func(r *result.Result) { r.FirstReceivedAt = 1 },
		"lastReceiveTime":    func(r *result.Result) { r.LastReceivedAt = 9 },
		"state":              func(r *result.Result) { r.State = "Unheard" },
		"two unknown states": func(r *result.Result) { r.State = "Unseen" },
		"another state":      func(r *result.Result) { r.State = "" },
		"operationId":        func(r *result.Result) { r.OperationID = "a" },
		"appId":              func(r *result.Result) { r.AppID = "a" },
	}
	for name, change := range change {
		t.Run(name, func(t *testing.T) {
			one := resulttest.Succeeded("d", 5)
			if name == "two unknown states" {
				one.State = "Unheard"
			}
			other := one
			change(&other)
			forth, back := []result.Result{one, other}, []result.Result{other, one}
			if diff := cmp.Diff(result.Pack(forth), result.Pack(back)); diff != "" {
				t.Errorf("Pack depends on the order of its input:\n%s", diff)
			}
		})
	}
}

// TestUnpackSaysWhatItCannotRead holds that what can't be read is not taken for something else, and that the rest is
// read all the same.
func TestUnpackSaysWhatItCannotRead(t *testing.T) {
	good := result.Result{Task: result.Task{OperationID: "op"}, DeviceID: "d", ReceivedAt: 5}
	good.State = storage.StateSucceeded
	cases := map[string]struct {
		rows, problem string
		want          []result.Result
	}{
		"all is well":               {"deviceId,receiveTime\nd,5\n", "", []result.Result{good}},
		"no end of the last line":   {"deviceId,receiveTime\nd,5", "", []result.Result{good}},
		"nothing":                   {"", "names of the columns: EOF", nil},
		"no rows":                   {"deviceId,receiveTime\n", "", nil},
		"a newer version's column":  {"deviceId,receiveTime,moon\nd,5,full\n", `"moon" is not known`, nil},
		"a column beside its field": {"operationId,deviceId,receiveTime\nop,d,5\n", `"operationId" stands twice`, nil},
		"a column twice":            {"deviceId,receiveTime,deviceId\nd,5,e\n", `"deviceId" stands twice`, nil},
		"no device": {
			"deviceId,receiveTime\n,5\nd,5\n", "line 2: it names no operationId or no deviceId", []result.Result{good},
		},
		"a time that is none":       {"deviceId,receiveTime\nd,soon\nd,5\n", "line 2: receiveTime", []result.Result{good}},
		"too few fields":            {"deviceId,receiveTime\nd\nd,5\n", "line 2", []result.Result{good}},
		"too many fields":           {"deviceId,receiveTime\nd,5,6\nd,5\n", "line 2", []result.Result{good}},
		"a quotation mark too many": {"deviceId,receiveTime\nd\"e,5\nd,5\n", "line 2", []result.Result{good}},
		"many rows that can't be read": {
			"deviceId,receiveTime\n" + strings.Repeat("d\n", 1000) + "d,5\n", "line 11", nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			table := storage.ResultTable{OperationID: "op", Rows: c.rows}
			table.State = storage.StateSucceeded
			got, err := result.Unpack([]storage.ResultTable{table})
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Errorf("Unexpected error %v, want one that says %q", err, c.problem)
			}
			if diff := cmp.Diff(c.want, got); diff != "" && len(c.want)+len(got) > 0 {
				t.Errorf("Unexpected results (-want,+got):\n%s", diff)
			}
		})
	}
}

func TestUnpackIsTheInverseOfPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := resulttest.Results().Draw(t, "results")
		tables := result.Pack(want)
		shuffled := rapid.Permutation(want).Draw(t, "shuffled")
		if diff := cmp.Diff(tables, result.Pack(shuffled)); diff != "" {
			t.Fatalf("Pack depends on the order of its input:\n%s", diff)
		}
		got := resulttest.Unpack(t, tables)
		if diff := cmp.Diff(normalizedAndSorted(want), normalizedAndSorted(got)); diff != "" {
			t.Fatalf("Unpacked results differ (-want,+got):\n%s", diff)
		}
	})
}

// FuzzPack holds that no text of a notification is changed or confused by the table, and that a table that was read and
// written again is the same.
func FuzzPack(f *testing.F) {
	f.Add("a,b", "\"", " c", "line\nend")
	f.Add("\\.", "\u2028", "#", "\r\n\r\"\n")
	f.Fuzz(func(t *testing.T, device, sub, version, text string) {
		one := result.Result{
			Task: result.Task{AppID: version, OperationID: "o" + sub}, DeviceID: "d" + device, ReceivedAt: 5,
		}
		if strings.Contains(device+sub+version, "\r") {
			t.Skip("ids hold no control characters")
		}
		one.SubOperationID, one.State, one.CurVersion, one.StatusDesc = sub, storage.StateFailed, version, text
		other := one
		other.DeviceID, other.OperationID, other.AppID, other.StatusDesc = "e", "p", "", ""
		for _, results := range [][]result.Result{{one}, {one, other}} {
			tables := result.Pack(results)
			got := resulttest.Unpack(t, tables)
			if diff := cmp.Diff(normalizedAndSorted(results), normalizedAndSorted(got)); diff != "" {
				t.Errorf("Unpacked results differ (-want,+got):\n%s", diff)
			}
			if diff := cmp.Diff(tables, result.Pack(got)); diff != "" {
				t.Errorf("The tables differ the second time (-want,+got):\n%s", diff)
			}
		}
	})
}

func normalizedAndSorted(results []result.Result) []string {
	texts := []string{}
	for _, r := range results {
		r.Normalize()
		texts = append(texts, fmt.Sprintf("%+q", fmt.Sprintf("%#v", r)))
	}
	slices.Sort(texts)
	return texts
}
