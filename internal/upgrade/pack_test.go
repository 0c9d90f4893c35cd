// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

func TestPackHoistsWhatResultsShare(t *testing.T) {
	task := upgrade.Task{AppID: "app", OperationID: "op"}
	succeeded := v1alpha1.ResultFields{State: v1alpha1.StateSucceeded, TargetVersion: "1.6", CurVersion: "1.6"}
	failed := v1alpha1.ResultFields{State: v1alpha1.StateFailed, TargetVersion: "1.6", StatusDesc: "Invalid URI"}
	with := func(fields v1alpha1.ResultFields, source string) v1alpha1.ResultFields {
		fields.SourceVersion = source
		return fields
	}
	got := upgrade.Pack([]upgrade.Result{
		{Task: task, DeviceID: "d3", ResultFields: succeeded, ReceivedAt: 3, FailedAt: 1},
		{Task: task, DeviceID: "d1", ResultFields: with(succeeded, "1.3"), ReceivedAt: 2, LastReceivedAt: 8},
		{Task: task, DeviceID: "d2", ResultFields: failed, ReceivedAt: 4, FailedAt: 2},
		{Task: task, DeviceID: "d4", SubOperationID: "s", ResultFields: with(failed, `1.3, "final"`), ReceivedAt: 4},
		{Task: upgrade.Task{OperationID: "other"}, DeviceID: "d1", ResultFields: failed, ReceivedAt: 9},
	})
	want := []v1alpha1.ResultTable{
		{ResultFields: failed, Rows: `operationId,appId,deviceId,subOperationId,receivedAt,failedAt,sourceVersion
op,app,d2,,4,2,
op,app,d4,s,4,,"1.3, ""final"""
other,,d1,,9,,
`},
		{AppID: "app", OperationID: "op", ResultFields: succeeded, Rows: `deviceId,receivedAt,failedAt,lastReceivedAt,sourceVersion
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
	change := map[string]func(*upgrade.Result){
		"deviceId":        func(r *upgrade.Result) { r.DeviceID = "a" },
		"subOperationId":  func(r *upgrade.Result) { r.SubOperationID = "a" },
		"targetVersion":   func(r *upgrade.Result) { r.TargetVersion = "a" },
		"sourceVersion":   func(r *upgrade.Result) { r.SourceVersion = "a" },
		"curVersion":      func(r *upgrade.Result) { r.CurVersion = "a" },
		"statusDesc":      func(r *upgrade.Result) { r.StatusDesc = "a" },
		"upgradeTime":     func(r *upgrade.Result) { r.UpgradeTime = "a" },
		"receivedAt":      func(r *upgrade.Result) { r.ReceivedAt = 1 },
		"failedAt":        func(r *upgrade.Result) { r.FailedAt = 1 },
		"firstReceivedAt": func(r *upgrade.Result) { r.FirstReceivedAt = 1 },
		"lastReceivedAt":  func(r *upgrade.Result) { r.LastReceivedAt = 9 },
		"state":           func(r *upgrade.Result) { r.State = "Unheard" },
		"another state":   func(r *upgrade.Result) { r.State = "" },
		"operationId":     func(r *upgrade.Result) { r.OperationID = "a" },
		"appId":           func(r *upgrade.Result) { r.AppID = "a" },
	}
	for name, change := range change {
		t.Run(name, func(t *testing.T) {
			one := succeeded("d", 5)
			other := one
			change(&other)
			forth, back := []upgrade.Result{one, other}, []upgrade.Result{other, one}
			if diff := cmp.Diff(upgrade.Pack(forth), upgrade.Pack(back)); diff != "" {
				t.Errorf("Pack depends on the order of its input:\n%s", diff)
			}
		})
	}
}

// TestUnpackSaysWhatItCannotRead holds that what can't be read is neither taken for something else nor in the way of the
// rest.
func TestUnpackSaysWhatItCannotRead(t *testing.T) {
	good := upgrade.Result{Task: upgrade.Task{OperationID: "op"}, DeviceID: "d", ReceivedAt: 5}
	good.State = v1alpha1.StateSucceeded
	cases := map[string]struct {
		rows, problem string
		want          []upgrade.Result
	}{
		"all is well":                  {"deviceId,receivedAt\nd,5\n", "", []upgrade.Result{good}},
		"no end of the last line":      {"deviceId,receivedAt\nd,5", "", []upgrade.Result{good}},
		"nothing":                      {"", "names of the columns: EOF", nil},
		"no rows":                      {"deviceId,receivedAt\n", "", nil},
		"a newer version's column":     {"deviceId,receivedAt,moon\nd,5,full\n", `"moon" is not known`, nil},
		"a column beside its field":    {"operationId,deviceId,receivedAt\nop,d,5\n", `"operationId" stands twice`, nil},
		"a column twice":               {"deviceId,receivedAt,deviceId\nd,5,e\n", `"deviceId" stands twice`, nil},
		"no device":                    {"deviceId,receivedAt\n,5\nd,5\n", "line 2: it names no operationId or no deviceId", []upgrade.Result{good}},
		"a time that is none":          {"deviceId,receivedAt\nd,soon\nd,5\n", "line 2: receivedAt", []upgrade.Result{good}},
		"too few fields":               {"deviceId,receivedAt\nd\nd,5\n", "line 2", []upgrade.Result{good}},
		"too many fields":              {"deviceId,receivedAt\nd,5,6\nd,5\n", "line 2", []upgrade.Result{good}},
		"a quotation mark too many":    {"deviceId,receivedAt\nd\"e,5\nd,5\n", "line 2", []upgrade.Result{good}},
		"many rows that can't be read": {"deviceId,receivedAt\n" + strings.Repeat("d\n", 1000) + "d,5\n", "line 11", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			table := v1alpha1.ResultTable{OperationID: "op", Rows: c.rows}
			table.State = v1alpha1.StateSucceeded
			spec := sliceOf([]v1alpha1.ResultTable{table})
			got, err := upgrade.Unpack(&spec)
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
		want := notifications().Draw(t, "results")
		tables := upgrade.Pack(want)
		shuffled := rapid.Permutation(want).Draw(t, "shuffled")
		if diff := cmp.Diff(tables, upgrade.Pack(shuffled)); diff != "" {
			t.Fatalf("Pack depends on the order of its input:\n%s", diff)
		}
		got := unpack(t, sliceOf(tables))
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
		one := upgrade.Result{Task: upgrade.Task{AppID: version, OperationID: "o" + sub}, DeviceID: "d" + device, ReceivedAt: 5}
		if strings.Contains(device+sub+version, "\r") {
			t.Skip("ids hold no control characters")
		}
		one.SubOperationID, one.State, one.CurVersion, one.StatusDesc = sub, v1alpha1.StateFailed, version, text
		other := one
		other.DeviceID, other.OperationID, other.AppID, other.StatusDesc = "e", "p", "", ""
		for _, results := range [][]upgrade.Result{{one}, {one, other}} {
			tables := upgrade.Pack(results)
			got := unpack(t, sliceOf(tables))
			if diff := cmp.Diff(normalizedAndSorted(results), normalizedAndSorted(got)); diff != "" {
				t.Errorf("Unpacked results differ (-want,+got):\n%s", diff)
			}
			if diff := cmp.Diff(tables, upgrade.Pack(got)); diff != "" {
				t.Errorf("The tables differ the second time (-want,+got):\n%s", diff)
			}
		}
	})
}

func normalizedAndSorted(results []upgrade.Result) []string {
	texts := []string{}
	for _, r := range results {
		r.Normalize()
		texts = append(texts, fmt.Sprintf("%+q", fmt.Sprintf("%#v", r)))
	}
	slices.Sort(texts)
	return texts
}
