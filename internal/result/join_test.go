// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result_test

import (
	stdcmp "cmp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
)

func TestNormalize(t *testing.T) {
	cases := map[string]struct {
		state                storage.State
		receivedAt, failedAt int64
		wantReceived         int64
		wantFailed           int64
	}{
		"a failure failed when it arrived":         {storage.StateFailed, 5, 0, 5, 5},
		"a failure keeps an earlier one":           {storage.StateFailed, 5, 3, 5, 3},
		"a failure did not fail after it arrived":  {storage.StateFailed, 5, 7, 5, 5},
		"a success keeps its failure":              {storage.StateSucceeded, 5, 7, 5, 7},
		"a success need not have failed":           {storage.StateSucceeded, 5, 0, 5, 0},
		"what is in progress has not failed":       {storage.StateUpdating, 5, 3, 5, 0},
		"0 means none, so nothing arrived at 0":    {storage.StateFailed, 0, 0, 1, 1},
		"nothing arrived or failed before 1970":    {storage.StateSucceeded, -5, -3, 1, 1},
		"a failure with a clock before 1970 stays": {storage.StateFailed, -5, 0, 1, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := result.Result{
				ResultFields: storage.ResultFields{State: c.state}, ReceivedAt: c.receivedAt, FailedAt: c.failedAt,
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
	got := result.Result{ReceivedAt: 5, FirstReceivedAt: 5, LastReceivedAt: 3}
	got.StatusDesc, got.CurVersion = "a\r\nb\rc", "\r\r\n"
	want := result.Result{ReceivedAt: 5, FirstReceivedAt: 3}
	want.StatusDesc, want.CurVersion = "a\nb\nc", "\n\n"
	got.Normalize()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Unexpected result (-want,+got):\n%s", diff)
	}
}

func TestCompareOrdersByStateThenTimeThenDigest(t *testing.T) {
	reported := func(state storage.State, receivedAt int64, subOperation string) *result.Result {
		r := &result.Result{
			SubOperationID: subOperation, ResultFields: storage.ResultFields{State: state}, ReceivedAt: receivedAt,
		}
		r.Normalize()
		return r
	}
	states := resulttest.States()
	for i, lesser := range states {
		for _, greater := range states[i+1:] {
			if result.Compare(reported(lesser, 9, "a"), reported(greater, 1, "a")) >= 0 {
				t.Errorf("%s counts as much as %s", lesser, greater)
			}
		}
		if result.Compare(reported(lesser, 1, "a"), reported(lesser, 2, "a")) >= 0 {
			t.Errorf("An earlier %s counts as much as a later one", lesser)
		}
		if result.Compare(reported(lesser, 1, "a"), reported(lesser, 1, "b")) == 0 {
			t.Errorf("%s of two sub-tasks at the same time are the same", lesser)
		}
	}
}

// TestDigestIsFixed holds the digest to a value, because two versions of the operator must join alike.
func TestDigestIsFixed(t *testing.T) {
	r := result.Result{
		Task: result.Task{AppID: "app", OperationID: "op"}, DeviceID: "d", SubOperationID: "s",
		ResultFields: storage.ResultFields{
			State: storage.StateFailed, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.3",
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
	change := map[string]func(*result.Result){
		"subOperationId":                  func(r *result.Result) { r.SubOperationID = "" },
		"state":                           func(r *result.Result) { r.State = "" },
		"targetVersion":                   func(r *result.Result) { r.TargetVersion = "" },
		"sourceVersion":                   func(r *result.Result) { r.SourceVersion = "" },
		"curVersion":                      func(r *result.Result) { r.CurVersion = "" },
		"statusDesc":                      func(r *result.Result) { r.StatusDesc = "" },
		"upgradeTime":                     func(r *result.Result) { r.UpgradeTime = "" },
		"where a field ends":              func(r *result.Result) { r.SourceVersion, r.CurVersion = "1.31", ".3" },
		"which of two fields is which":    func(r *result.Result) { r.TargetVersion, r.SourceVersion = "1.3", "1.6" },
		"which of two fields is absent":   func(r *result.Result) { r.SourceVersion, r.CurVersion = "", "1.31.3" },
		"a text longer than the buffer":   func(r *result.Result) { r.StatusDesc = string(make([]byte, 1000)) },
		"another text of the same length": func(r *result.Result) { r.StatusDesc = "Invalid URL" },
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
		gen := resulttest.OfDevices(1)
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		b.Task, c.Task = a.Task, a.Task
		if diff := cmp.Diff(result.Join(a, b), result.Join(b, a)); diff != "" {
			t.Fatalf("Join is not commutative:\n%s", diff)
		}
		left, right := result.Join(result.Join(a, b), c), result.Join(a, result.Join(b, c))
		if diff := cmp.Diff(left, right); diff != "" {
			t.Fatalf("Join is not associative:\n%s", diff)
		}
		normalized := a
		normalized.Normalize()
		if diff := cmp.Diff(normalized, result.Join(a, a)); diff != "" {
			t.Fatalf("Join is not idempotent:\n%s", diff)
		}
		if diff := cmp.Diff(left, result.Join(left, b)); diff != "" {
			t.Fatalf("Join is not closed:\n%s", diff)
		}
		want := joinModel(a, b, c)
		got := result.Result{SubOperationID: left.SubOperationID, ResultFields: left.ResultFields, FailedAt: left.FailedAt}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("Unexpected join (-want,+got):\n%s", diff)
		}
	})
}

// joinModel is what results of one device amount to, beside the times of receipt: the fields of the greatest by state,
// receive time and digest, and the earliest failure of all that failed or succeeded.
func joinModel(results ...result.Result) result.Result {
	states := resulttest.States()
	for i := range results {
		results[i].ReceivedAt = max(results[i].ReceivedAt, 1)
		results[i].StatusDesc = strings.ReplaceAll(results[i].StatusDesc, "\r\n", "\n")
	}
	best := slices.MaxFunc(results, func(a, b result.Result) int {
		return stdcmp.Or(
			slices.Index(states, a.State)-slices.Index(states, b.State),
			stdcmp.Compare(a.ReceivedAt, b.ReceivedAt),
			stdcmp.Compare(a.Digest(), b.Digest()),
		)
	})
	joined := result.Result{SubOperationID: best.SubOperationID, ResultFields: best.ResultFields}
	var failures []int64
	for _, r := range results {
		if r.State == storage.StateFailed {
			failures = append(failures, r.ReceivedAt)
		}
		if r.FailedAt != 0 && (r.State == storage.StateFailed || r.State == storage.StateSucceeded) {
			failures = append(failures, r.FailedAt)
		}
	}
	if len(failures) > 0 {
		joined.FailedAt = slices.Min(failures)
	}
	return joined
}
