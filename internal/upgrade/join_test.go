// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

func TestNormalize(t *testing.T) {
	cases := map[string]struct {
		state                v1alpha1.State
		receivedAt, failedAt int64
		wantReceived         int64
		wantFailed           int64
	}{
		"a failure failed when it arrived":         {v1alpha1.StateFailed, 5, 0, 5, 5},
		"a failure keeps an earlier one":           {v1alpha1.StateFailed, 5, 3, 5, 3},
		"a failure did not fail after it arrived":  {v1alpha1.StateFailed, 5, 7, 5, 5},
		"a success keeps its failure":              {v1alpha1.StateSucceeded, 5, 7, 5, 7},
		"a success need not have failed":           {v1alpha1.StateSucceeded, 5, 0, 5, 0},
		"what is in progress has not failed":       {v1alpha1.StateUpdating, 5, 3, 5, 0},
		"0 means none, so nothing arrived at 0":    {v1alpha1.StateFailed, 0, 0, 1, 1},
		"nothing arrived or failed before 1970":    {v1alpha1.StateSucceeded, -5, -3, 1, 1},
		"a failure with a clock before 1970 stays": {v1alpha1.StateFailed, -5, 0, 1, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := upgrade.Result{
				ResultFields: v1alpha1.ResultFields{State: c.state}, ReceivedAt: c.receivedAt, FailedAt: c.failedAt,
			}
			want := got
			want.ReceivedAt, want.FailedAt = c.wantReceived, c.wantFailed
			got.Normalize()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Unexpected result (-want,+got):\n%s", diff)
			}
		})
	}
}

func TestNormalizeReceiveTimesAndTexts(t *testing.T) {
	got := upgrade.Result{ReceivedAt: 5, FirstReceivedAt: 5, LastReceivedAt: 3}
	got.StatusDesc, got.CurVersion = "a\r\nb\rc", "\r\r\n"
	want := upgrade.Result{ReceivedAt: 5, FirstReceivedAt: 3}
	want.StatusDesc, want.CurVersion = "a\nb\nc", "\n\n"
	got.Normalize()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Unexpected result (-want,+got):\n%s", diff)
	}
}

func TestCompareOrdersByStateThenTimeThenDigest(t *testing.T) {
	result := func(state v1alpha1.State, receivedAt int64, subOperation string) *upgrade.Result {
		r := &upgrade.Result{
			SubOperationID: subOperation, ResultFields: v1alpha1.ResultFields{State: state}, ReceivedAt: receivedAt,
		}
		r.Normalize()
		return r
	}
	for i, lesser := range states {
		for _, greater := range states[i+1:] {
			if upgrade.Compare(result(lesser, 9, "a"), result(greater, 1, "a")) >= 0 {
				t.Errorf("%s counts as much as %s", lesser, greater)
			}
		}
		if upgrade.Compare(result(lesser, 1, "a"), result(lesser, 2, "a")) >= 0 {
			t.Errorf("An earlier %s counts as much as a later one", lesser)
		}
		if upgrade.Compare(result(lesser, 1, "a"), result(lesser, 1, "b")) == 0 {
			t.Errorf("%s of two sub-tasks at the same time are the same", lesser)
		}
	}
}

// TestDigestIsFixed holds the digest to a value, because two versions of the operator must join alike.
func TestDigestIsFixed(t *testing.T) {
	r := upgrade.Result{
		Task: upgrade.Task{AppID: "app", OperationID: "op"}, DeviceID: "d", SubOperationID: "s",
		ResultFields: v1alpha1.ResultFields{
			State: v1alpha1.StateFailed, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.3",
			StatusDesc: "Invalid URI", UpgradeTime: "30",
		},
		ReceivedAt: 5, FailedAt: 5, FirstReceivedAt: 4, LastReceivedAt: 6,
	}
	const want = uint64(0x03970c4d8781c503)
	if got := r.Digest(); got != want {
		t.Errorf("Digest is %#x, want %#x", got, want)
	}
	other := r
	other.AppID, other.OperationID, other.DeviceID, other.ReceivedAt, other.FailedAt = "", "", "", 1, 1
	other.FirstReceivedAt, other.LastReceivedAt = 0, 0
	if other.Digest() != r.Digest() {
		t.Error("Digest depends on the task, the device or a time")
	}
	change := map[string]func(*upgrade.Result){
		"subOperationId":                  func(r *upgrade.Result) { r.SubOperationID = "" },
		"state":                           func(r *upgrade.Result) { r.State = "" },
		"targetVersion":                   func(r *upgrade.Result) { r.TargetVersion = "" },
		"sourceVersion":                   func(r *upgrade.Result) { r.SourceVersion = "" },
		"curVersion":                      func(r *upgrade.Result) { r.CurVersion = "" },
		"statusDesc":                      func(r *upgrade.Result) { r.StatusDesc = "" },
		"upgradeTime":                     func(r *upgrade.Result) { r.UpgradeTime = "" },
		"where a field ends":              func(r *upgrade.Result) { r.SourceVersion, r.CurVersion = "1.31", ".3" },
		"which of two fields is which":    func(r *upgrade.Result) { r.TargetVersion, r.SourceVersion = "1.3", "1.6" },
		"which of two fields is absent":   func(r *upgrade.Result) { r.SourceVersion, r.CurVersion = "", "1.31.3" },
		"a text longer than the buffer":   func(r *upgrade.Result) { r.StatusDesc = string(make([]byte, 1000)) },
		"another text of the same length": func(r *upgrade.Result) { r.StatusDesc = "Invalid URL" },
	}
	for name, change := range change {
		other := r
		change(&other)
		if other.Digest() == r.Digest() {
			t.Errorf("Digest does not depend on %s", name)
		}
	}
}

func TestJoinLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := results(1)
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		b.Task, c.Task = a.Task, a.Task
		if diff := cmp.Diff(upgrade.Join(a, b), upgrade.Join(b, a)); diff != "" {
			t.Fatalf("Join is not commutative:\n%s", diff)
		}
		left, right := upgrade.Join(upgrade.Join(a, b), c), upgrade.Join(a, upgrade.Join(b, c))
		if diff := cmp.Diff(left, right); diff != "" {
			t.Fatalf("Join is not associative:\n%s", diff)
		}
		normalized := a
		normalized.Normalize()
		if diff := cmp.Diff(normalized, upgrade.Join(a, a)); diff != "" {
			t.Fatalf("Join is not idempotent:\n%s", diff)
		}
		if diff := cmp.Diff(left, upgrade.Join(left, b)); diff != "" {
			t.Fatalf("Join is not closed:\n%s", diff)
		}
		want := deviceOf(slicesClamp(a, b, c))
		if left.State != want.best.State || left.FailedAt != want.failedAt {
			t.Fatalf("Join is %s, failed at %d, want %s, %d", left.State, left.FailedAt, want.best.State, want.failedAt)
		}
	})
}

func slicesClamp(results ...upgrade.Result) []upgrade.Result {
	for i := range results {
		results[i].ReceivedAt = max(results[i].ReceivedAt, 1)
	}
	return results
}
