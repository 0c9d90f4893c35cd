// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/wrappers"
)

var (
	created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first   = created.Add(time.Minute)
	last    = created.Add(2 * time.Minute)
)

// made is a FirmwareUpgrade as the API server would store it, which waits for no retries.
func made() *wrappers.FirmwareUpgrade {
	return wrappers.MakeFirmwareUpgrade("fwu", "ns").UID("u1").Created(created).Generation(1).Settle(0).
		Status(v1alpha1.FirmwareUpgradeStatus{ObservedGeneration: -1})
}

// summary is one of succeeded, failed and in progress, between first and last.
func summary(succeeded, failed, inProgress int64) tally.Summary {
	s := tally.Summary{
		Succeeded: succeeded, Failed: failed, InProgress: inProgress, Failures: failed,
		FirstReceivedAt: first.UnixMicro(), LastReceivedAt: last.UnixMicro(),
	}
	if failed > 0 {
		s.Causes = []tally.CauseCount{{Cause: "Invalid URI", Count: failed}}
	}
	return s
}

// suspect makes so many of those that succeeded suspect.
func suspect(s tally.Summary, n int64) tally.Summary {
	s.Suspect = n
	return s
}

// told is what a user sees of a status in one line.
func told(st v1alpha1.FirmwareUpgradeStatus) string {
	line := fmt.Sprintf("%s %s", st.Phase, st.Progress)
	for _, kind := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled,
		v1alpha1.ConditionFinished, v1alpha1.ConditionDegraded,
	} {
		if c := condition(st, kind); c.Status == metav1.ConditionTrue {
			line += " " + kind + "=" + c.Reason
		}
	}
	return line
}

var (
	testTask  = result.Task{AppID: "app", OperationID: "op"}
	duplicate = claim.Claim{Reason: v1alpha1.ReasonDuplicateOperation, Message: "other has it"}
)

func TestCompute(t *testing.T) {
	cases := map[string]struct {
		fwu   *wrappers.FirmwareUpgrade
		seen  tally.Summary
		at    time.Time
		want  string
		again time.Time
	}{
		"nothing reported": {
			fwu: made().Expected(3), at: created,
			want: "Pending 0/3 Reconciling=Pending", again: created.Add(48 * time.Hour),
		},
		"nothing reported before the deadline is not a success": {
			fwu: made(), at: created.Add(48 * time.Hour),
			want: "Failed 0/? Stalled=DeadlineExceeded Finished=DeadlineExceeded", again: created.Add(32 * 24 * time.Hour),
		},
		"the deadline runs from the first result": {
			fwu: made().Expected(3), seen: summary(1, 0, 0), at: created.Add(48 * time.Hour),
			want: "Running 1/3 Reconciling=Running", again: first.Add(48 * time.Hour),
		},
		"running": {
			fwu: made().Expected(3), seen: summary(1, 1, 0), at: last,
			want: "Running 2/3 Reconciling=Running", again: first.Add(48 * time.Hour),
		},
		"all succeeded": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), at: last,
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", again: last.Add(30 * 24 * time.Hour),
		},
		"more than expected": {
			fwu: made().Expected(3), seen: summary(5, 0, 0), at: last,
			want:  "Failed 5/3 Stalled=UnexpectedDevices Finished=UnexpectedDevices",
			again: last.Add(30 * 24 * time.Hour),
		},
		"more than expected don't dilute a percentage": {
			fwu: made().Expected(4).MaxFailed("25%", 0), seen: summary(9, 3, 0), at: last,
			want:  "Failed 12/4 Stalled=UnexpectedDevices Finished=UnexpectedDevices Degraded=FailurePolicyBroken",
			again: last.Add(30 * 24 * time.Hour),
		},
		"more than expected are within no policy": {
			fwu: made().Expected(4).MaxFailed("100%", 0), seen: summary(9, 3, 0), at: last,
			want:  "Failed 12/4 Stalled=UnexpectedDevices Finished=UnexpectedDevices",
			again: last.Add(30 * 24 * time.Hour),
		},
		"unknown number, not yet quiet at the deadline": {
			fwu: made().Quiet(time.Hour).Deadline(time.Hour), seen: summary(14, 0, 0), at: first.Add(time.Hour),
			want: "Failed 14/? Stalled=DeadlineExceeded Finished=DeadlineExceeded", again: last.Add(time.Hour),
		},
		"unknown number, not yet quiet at the deadline, is within no policy": {
			fwu:  made().Quiet(time.Hour).Deadline(time.Hour).MaxFailed("100%", 0),
			seen: summary(14, 1, 0), at: first.Add(time.Hour),
			want: "Failed 15/? Stalled=DeadlineExceeded Finished=DeadlineExceeded", again: last.Add(time.Hour),
		},
		"one in progress holds the end up, though enough succeeded": {
			fwu: made().Expected(3), seen: summary(3, 0, 1), at: last,
			want: "Running 3/3 Reconciling=Running", again: first.Add(48 * time.Hour),
		},
		"a failure without a policy closes the gate": {
			fwu: made().Expected(3), seen: summary(2, 1, 0), at: last,
			want:  "PartiallySucceeded 3/3 Stalled=PartiallySucceeded Finished=PartiallySucceeded",
			again: last.Add(30 * 24 * time.Hour),
		},
		"all failed": {
			fwu: made().Expected(3), seen: summary(0, 3, 0), at: last,
			want: "Failed 3/3 Stalled=Failed Finished=Failed", again: last.Add(30 * 24 * time.Hour),
		},
		"a rollout in which none succeeded is within no policy": {
			fwu: made().Expected(3).MaxFailed("100%", 0), seen: summary(0, 3, 0), at: last,
			want: "Failed 3/3 Stalled=Failed Finished=Failed", again: last.Add(30 * 24 * time.Hour),
		},
		"failures within the policy open it": {
			fwu: made().Expected(100).MaxFailed("5%", 20), seen: summary(95, 5, 0), at: last,
			want:  "PartiallySucceeded 100/100 Ready=PartiallySucceeded Finished=PartiallySucceeded",
			again: last.Add(30 * 24 * time.Hour),
		},
		"one more closes it": {
			fwu: made().Expected(100).MaxFailed("5%", 20), seen: summary(94, 6, 0), at: last,
			want:  "Failed 100/100 Stalled=Failed Finished=Failed Degraded=FailurePolicyBroken",
			again: last.Add(30 * 24 * time.Hour),
		},
		"a broken policy shows while running": {
			fwu: made().Expected(100).MaxFailed("5%", 20), seen: summary(18, 2, 0), at: last,
			want: "Running 20/100 Stalled=FailurePolicyBroken Degraded=FailurePolicyBroken", again: first.Add(48 * time.Hour),
		},
		"but not before enough reported": {
			fwu: made().Expected(100).MaxFailed("5%", 20), seen: summary(0, 19, 0), at: last,
			want: "Running 19/100 Reconciling=Running", again: first.Add(48 * time.Hour),
		},
		"an end with fewer than minReported is judged all the same": {
			fwu: made().Expected(10).MaxFailed("5%", 20), seen: summary(9, 1, 0), at: last,
			want:  "Failed 10/10 Stalled=Failed Finished=Failed Degraded=FailurePolicyBroken",
			again: last.Add(30 * 24 * time.Hour),
		},
		"settling": {
			fwu: made().Expected(3).Settle(time.Minute), seen: summary(2, 1, 0), at: last.Add(59 * time.Second),
			want: "Running 3/3 Reconciling=Running", again: last.Add(time.Minute),
		},
		"settled": {
			fwu: made().Expected(3).Settle(time.Minute), seen: summary(2, 1, 0), at: last.Add(time.Minute),
			want:  "PartiallySucceeded 3/3 Stalled=PartiallySucceeded Finished=PartiallySucceeded",
			again: last.Add(time.Minute + 30*24*time.Hour),
		},
		"without failures nothing has to settle": {
			fwu: made().Expected(3).Settle(time.Minute), seen: summary(3, 0, 0), at: last,
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", again: last.Add(30 * 24 * time.Hour),
		},
		"unknown number, not yet quiet": {
			fwu: made().Quiet(time.Hour), seen: summary(3, 0, 0), at: last.Add(time.Hour - 1),
			want: "Running 3/? Reconciling=Running", again: last.Add(time.Hour),
		},
		"unknown number, quiet": {
			fwu: made().Quiet(time.Hour), seen: summary(3, 0, 0), at: last.Add(time.Hour),
			want: "Succeeded 3/? Ready=Succeeded Finished=Succeeded", again: last.Add(time.Hour + 30*24*time.Hour),
		},
		"unknown number, quiet but one in progress": {
			fwu: made().Quiet(time.Hour), seen: summary(3, 0, 1), at: last.Add(time.Hour),
			want: "Running 3/? Reconciling=Running", again: first.Add(48 * time.Hour),
		},
		"missing at the deadline": {
			fwu: made().Expected(4).Deadline(time.Hour), seen: summary(3, 0, 0), at: first.Add(time.Hour),
			want: "Failed 3/4 Stalled=DeadlineExceeded Finished=DeadlineExceeded", again: first.Add(time.Hour + 30*24*time.Hour),
		},
		"missing at the deadline is not within any policy": {
			fwu: made().Expected(4).Deadline(time.Hour).MaxFailed("100%", 0), seen: summary(3, 0, 0), at: first.Add(time.Hour),
			want: "Failed 3/4 Stalled=DeadlineExceeded Finished=DeadlineExceeded", again: first.Add(time.Hour + 30*24*time.Hour),
		},
		"suspect devices count as failed ones do": {
			fwu: made().Expected(100).MaxFailed("5%", 20), seen: suspect(summary(97, 3, 0), 2), at: last,
			want:  "PartiallySucceeded 100/100 Ready=PartiallySucceeded Finished=PartiallySucceeded",
			again: last.Add(30 * 24 * time.Hour),
		},
		"one suspect device more breaks the policy": {
			fwu: made().Expected(100).MaxFailed("5%", 20), seen: suspect(summary(97, 3, 0), 3), at: last,
			want:  "Failed 100/100 Stalled=Failed Finished=Failed Degraded=FailurePolicyBroken",
			again: last.Add(30 * 24 * time.Hour),
		},
		"they break it while running": {
			fwu: made().Expected(100).MaxFailed("2", 0), seen: suspect(summary(20, 0, 0), 3), at: last,
			want: "Running 20/100 Stalled=FailurePolicyBroken Degraded=FailurePolicyBroken", again: first.Add(48 * time.Hour),
		},
		"without a policy one suspect device closes the gate": {
			fwu: made().Expected(3), seen: suspect(summary(3, 0, 0), 1), at: last,
			want:  "PartiallySucceeded 3/3 Stalled=PartiallySucceeded Finished=PartiallySucceeded",
			again: last.Add(30 * 24 * time.Hour),
		},
		"a rollout of the wrong version is within no policy": {
			fwu: made().Expected(10).MaxFailed("100%", 0), seen: suspect(summary(10, 0, 0), 10), at: last,
			want: "Failed 10/10 Stalled=Failed Finished=Failed", again: last.Add(30 * 24 * time.Hour),
		},
		"the deadline ends settling": {
			fwu:  made().Expected(3).Deadline(time.Hour).Settle(48 * time.Hour),
			seen: summary(2, 1, 0), at: first.Add(time.Hour),
			want:  "PartiallySucceeded 3/3 Stalled=PartiallySucceeded Finished=PartiallySucceeded",
			again: first.Add(time.Hour + 30*24*time.Hour),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Obj()
			next, again := Compute(fwu, fwu.Status, Observation{Summary: c.seen, Now: c.at, Failures: tally.New()})
			if diff := cmp.Diff(c.want, told(next)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if !again.Equal(c.again) {
				t.Errorf("again: want %s, got %s", c.again, again)
			}
			if next.ObservedGeneration != 1 {
				t.Errorf("observedGeneration: want 1, got %d", next.ObservedGeneration)
			}
		})
	}
}

// step computes the next status and stores it, as a reconcile would.
func step(fwu *v1alpha1.FirmwareUpgrade, sum tally.Summary, at time.Time) string {
	seen := Observation{Summary: sum, Now: at, Failures: tally.New(), Delivered: fwu.Status.OperatorState.Sequence}
	fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	return told(fwu.Status)
}

func TestFinishedStaysUntilTheSpecChanges(t *testing.T) {
	fwu := made().Expected(3).Obj()
	got := []string{
		step(fwu, summary(3, 0, 0), last),
		step(fwu, summary(3, 1, 0), last.Add(time.Hour)),   // late results tell
		step(fwu, summary(3, 1, 1), last.Add(2*time.Hour)), // but a device that begins anew does not
	}
	completed := fwu.Status.CompletionTime.Time
	fwu.Generation, fwu.Spec.ExpectedDevices = 2, new(int64(9))
	got = append(got, step(fwu, summary(3, 1, 1), last.Add(3*time.Hour)))
	want := []string{
		"Succeeded 3/3 Ready=Succeeded Finished=Succeeded",
		"Failed 4/3 Stalled=UnexpectedDevices Finished=UnexpectedDevices",
		"Failed 4/3 Stalled=UnexpectedDevices Finished=UnexpectedDevices",
		"Running 4/9 Reconciling=Running",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !completed.Equal(last) || fwu.Status.CompletionTime != nil {
		t.Errorf("completionTime: want %s and then none, got %s and %v", last, completed, fwu.Status.CompletionTime)
	}
}

func TestLateResultsAfterTheDeadlineTell(t *testing.T) {
	fwu := made().Expected(3).Deadline(time.Hour).Obj()
	got := []string{
		step(fwu, summary(2, 0, 0), first.Add(time.Hour)),
		step(fwu, summary(3, 0, 0), first.Add(2*time.Hour)),
	}
	want := []string{
		"Failed 2/3 Stalled=DeadlineExceeded Finished=DeadlineExceeded",
		"Succeeded 3/3 Ready=Succeeded Finished=Succeeded",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where nobody knows how many devices there are, and they still report when the deadline passes, the outcome waits
// until nothing has come for quietSeconds, and follows by itself. From then on it is an end as any other.
func TestOutcomeFollowsWhenItIsQuietAfterTheDeadline(t *testing.T) {
	l := newLeader(made().Deadline(time.Minute).Quiet(time.Hour).Obj())
	var again time.Time
	look := func(at time.Time) string {
		var next v1alpha1.FirmwareUpgradeStatus
		next, again = Compute(l.fwu, l.fwu.Status, l.observe(at))
		l.reconcile(at)
		if diff := cmp.Diff(told(next), told(l.fwu.Status)); diff != "" {
			t.Fatal(diff)
		}
		return told(next)
	}
	l.receive(success(1, first))
	var got []string
	got = append(got, look(first.Add(time.Minute)))
	l.receive(success(2, first.Add(30*time.Minute)))
	got = append(got, look(first.Add(80*time.Minute)))
	if quiet := first.Add(90 * time.Minute); !again.Equal(quiet) {
		t.Errorf("it is looked at again at %s, want %s", again, quiet)
	}
	got = append(got, look(again))
	l.receive(success(3, first.Add(100*time.Minute)))
	got = append(got, look(first.Add(100*time.Minute)))
	const good = " Ready=Succeeded Finished=Succeeded"
	want := []string{
		"Failed 1/? Stalled=DeadlineExceeded Finished=DeadlineExceeded",
		"Failed 2/? Stalled=DeadlineExceeded Finished=DeadlineExceeded",
		"Succeeded 2/?" + good, "Succeeded 3/?" + good,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	events := []string{"Normal Started", "Warning DeadlineExceeded", "Normal OutcomeChanged"}
	if diff := cmp.Diff(events, reasons(l.told)); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
}

// What has finished is not turned red by another application that reports its operationId; that is told.
func TestAnotherApplicationAfterTheEnd(t *testing.T) {
	fwu := made().Expected(3).Obj()
	fwu.Status.AppID = testTask.AppID
	step(fwu, summary(3, 0, 0), last)
	stranger := result.Task{AppID: "other", OperationID: testTask.OperationID}
	fwu.Status.AppID = testTask.AppID
	task, _, kept := claim.Task(fwu, []result.Task{testTask, stranger}, claim.Rules{})
	seen := Observation{Task: task, Claim: kept, Summary: summary(3, 0, 0), Now: last, Failures: tally.New()}
	fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	if got, want := told(fwu.Status), "Succeeded 3/3 Ready=Succeeded Finished=Succeeded"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	const want = "3/3 devices succeeded; other applications report this operationId, too, and are not counted (other): " +
		"set spec.appId"
	if got := condition(fwu.Status, v1alpha1.ConditionReady).Message; got != want {
		t.Errorf("Ready: want %q, got %q", want, got)
	}
}

func TestCountsStandWhenResultsAreMissing(t *testing.T) {
	counted := summary(5, 2, 1)
	less := map[string]tally.Summary{
		"fewer devices":          summary(5, 1, 1),
		"fewer succeeded":        summary(4, 3, 1),
		"a failure is forgotten": {Succeeded: 8, Failures: 1, Recovered: 1, FirstReceivedAt: 1, LastReceivedAt: 1},
		"nothing":                {},
	}
	for name, sum := range less {
		t.Run(name, func(t *testing.T) {
			fwu := made().Expected(10).Obj()
			step(fwu, counted, last)
			devices := fwu.Status.Devices
			if got, want := step(fwu, sum, last), "Stalled 7/10 Stalled=ResultsIncomplete"; got != want {
				t.Errorf("want %q, got %q", want, got)
			}
			if diff := cmp.Diff(devices, fwu.Status.Devices); diff != "" {
				t.Errorf("counts moved (-want +got):\n%s", diff)
			}
			if got, want := step(fwu, counted, last), "Running 7/10 Reconciling=Running"; got != want {
				t.Errorf("when they are back: want %q, got %q", want, got)
			}
		})
	}
}

func TestArchivedStatusStands(t *testing.T) {
	fwu := made().Expected(3).Retain(time.Hour).Obj()
	step(fwu, summary(3, 0, 0), last)
	if fwu.Status.ArchiveTime != nil {
		t.Fatal("archived before its time")
	}
	step(fwu, summary(3, 0, 0), last.Add(time.Hour))
	if fwu.Status.ArchiveTime == nil {
		t.Fatal("not archived")
	}
	want := fwu.Status.DeepCopy()
	step(fwu, tally.Summary{}, last.Add(2*time.Hour))
	if diff := cmp.Diff(*want, fwu.Status); diff != "" {
		t.Errorf("the frozen status moved (-want +got):\n%s", diff)
	}
}

func TestSpecChangedAfterArchiving(t *testing.T) {
	fwu := made().Expected(3).Retain(0).Obj()
	for range 2 { // the Events have to be created first
		step(fwu, summary(3, 0, 0), last)
	}
	fwu.Generation, fwu.Spec.ExpectedDevices = 2, new(int64(20))
	for range 2 { // and so it stays
		want := "Succeeded 3/3 Stalled=ResultsArchived Finished=Succeeded"
		if got := step(fwu, tally.Summary{}, last); got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

func TestSpecChangedWhileUncounted(t *testing.T) {
	fwu := made().Expected(3).Obj()
	step(fwu, summary(3, 0, 0), last)
	fwu.Generation, fwu.Spec.ExpectedDevices = 2, new(int64(10))
	fwu.Status, _ = Compute(fwu, fwu.Status, Observation{Claim: duplicate, Now: last})
	if got, want := step(fwu, summary(3, 0, 0), last), "Running 3/10 Reconciling=Running"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestUncountedClaims(t *testing.T) {
	fwu := made().Expected(3).Obj()
	fwu.Status, _ = Compute(fwu, fwu.Status, Observation{Claim: duplicate, Now: created})
	if got, want := told(fwu.Status), "Stalled  Stalled=DuplicateOperation"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	if got, want := step(fwu, summary(1, 0, 0), last), "Running 1/3 Reconciling=Running"; got != want {
		t.Errorf("when it has the task: want %q, got %q", want, got)
	}
}

// Whoever waits for the end of an upgrade that can't be counted does not wait for ever: its deadline runs.
func TestUncountedFinishesAtItsDeadline(t *testing.T) {
	fwu := made().Expected(3).Deadline(time.Hour).Obj()
	var again time.Time
	fwu.Status, again = Compute(fwu, fwu.Status, Observation{Claim: duplicate, Now: created})
	if want := created.Add(time.Hour); !again.Equal(want) {
		t.Errorf("again: want %s, got %s", want, again)
	}
	fwu.Status, _ = Compute(fwu, fwu.Status, Observation{Claim: duplicate, Now: again})
	want := "Failed  Stalled=DuplicateOperation Finished=DeadlineExceeded"
	if got := told(fwu.Status); got != want || fwu.Status.CompletionTime == nil {
		t.Errorf("want %q, got %q, completed %v", want, got, fwu.Status.CompletionTime)
	}
}

// Where spec.appId is set to another application than the one that was counted, everything begins anew.
func TestAnotherTaskBeginsAnew(t *testing.T) {
	fwu := made().Expected(9).Obj()
	see := func(app string, sum tally.Summary, at time.Time) {
		seen := Observation{
			Task: result.Task{AppID: app, OperationID: "op"}, Summary: sum, Now: at, Failures: tally.New(),
			Delivered: fwu.Status.OperatorState.Sequence,
		}
		fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	}
	see("app1", summary(6, 3, 0), last)
	want := "PartiallySucceeded 9/9 Stalled=PartiallySucceeded Finished=PartiallySucceeded"
	if got := told(fwu.Status); got != want {
		t.Fatalf("want %q, got %q", want, got)
	}
	sequence := fwu.Status.OperatorState.Sequence
	fwu.Generation, fwu.Spec.AppID = 2, "app2"
	see("app2", summary(1, 0, 0), last)
	if got, want := told(fwu.Status), "Running 1/9 Reconciling=Running"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	state := fwu.Status.OperatorState
	if diff := cmp.Diff([]string{"Normal Started"}, reasons(state.Outbox)); diff != "" || state.Announced.Failures != 0 {
		t.Errorf("%d failures announced, Events (-want +got):\n%s", state.Announced.Failures, diff)
	}
	if state.Sequence != sequence+1 {
		t.Errorf("the numbers of Events go back: %d after %d", state.Sequence, sequence)
	}
	// Results that are gone are no other task.
	see("app2", tally.Summary{}, last)
	if got := condition(fwu.Status, v1alpha1.ConditionStalled).Reason; got != v1alpha1.ReasonResultsIncomplete {
		t.Errorf("without results: want ResultsIncomplete, got %s", got)
	}
}

// The sums of the design hold whatever is reported, and never are Reconciling and Stalled true at once.
func TestStatusInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counted := tally.New()
		var results []result.Result
		for range rapid.IntRange(0, 30).Draw(t, "results") {
			results = append(results, drawResult(t))
		}
		counted.Add(results)
		w := made()
		switch rapid.IntRange(0, 2).Draw(t, "expected") {
		case 1:
			w.Expected(rapid.Int64Range(1, 12).Draw(t, "n"))
		case 2:
			w.Devices(rapid.SliceOfNDistinct(deviceIDs, 1, 8, rapid.ID[string]).Draw(t, "devices")...)
		}
		fwu := w.Obj()
		at := first.Add(time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "at")))
		sum := counted.Summary(result.Task{AppID: "app", OperationID: "op"}, tally.Query{Devices: fwu.Spec.Devices})
		st, _ := Compute(fwu, fwu.Status, Observation{Summary: sum, Now: at, Task: testTask, Failures: counted})

		d := st.Devices
		if d.Expected+d.Unexpected != d.Succeeded+d.Failed+d.InProgress+d.Pending {
			t.Fatalf("devices do not add up: %+v", d)
		}
		var causes int64
		for _, r := range st.Details.Causes {
			causes += r.Count
		}
		if causes != d.Failed {
			t.Fatalf("causes add up to %d of %d failed", causes, d.Failed)
		}
		if meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionReconciling) &&
			meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionStalled) {
			t.Fatalf("Reconciling and Stalled: %s", told(st))
		}
		decisive := judgedDevices(fwu.Spec, st, Observation{Summary: sum})
		if meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionReady) &&
			decisive.bad()+decisive.pending+decisive.inProgress+decisive.unexpected > 0 {
			t.Fatalf("a false green: %s, %+v", told(st), d)
		}
	})
}

var deviceIDs = rapid.Custom(func(t *rapid.T) string {
	return "d" + rapid.StringMatching("[0-9]").Draw(t, "device")
})

func drawResult(t *rapid.T) result.Result {
	r := result.Result{
		Task:     result.Task{AppID: "app", OperationID: "op"},
		DeviceID: deviceIDs.Draw(t, "id"),
		ResultFields: storage.ResultFields{
			State: rapid.SampledFrom([]storage.State{
				storage.StateIdle, storage.StateDownloading, storage.StateUpdating, storage.StateFailed, storage.StateSucceeded,
			}).Draw(t, "state"),
			StatusDesc: rapid.SampledFrom([]string{"", "Invalid URI", "Task Conflict"}).Draw(t, "desc"),
		},
		ReceivedAt: first.Add(time.Duration(rapid.Int64Range(0, 1000).Draw(t, "ms")) * time.Millisecond).UnixMicro(),
	}
	r.Normalize()
	return r
}

func TestFitOutbox(t *testing.T) {
	long := strings.Repeat("é", 128)
	var box []v1alpha1.OutboxEvent
	var want int64
	for i := range int64(20) {
		box = append(box, digest(tally.FailureGroup{Cause: long, Count: i + 1, Devices: []string{long, long, long}}))
		want += i + 1
	}
	got := fitOutbox(box)
	if n := jsonBytes(got); n > maxOutboxBytes {
		t.Errorf("still %d bytes", n)
	}
	for _, e := range got {
		want -= e.Failures
	}
	if want != 0 {
		t.Errorf("%d failures are not announced any more", want)
	}
}

func TestFitShedsSamplesNeverCounts(t *testing.T) {
	long := strings.Repeat("é", 128)
	st := v1alpha1.FirmwareUpgradeStatus{Devices: v1alpha1.DeviceCounts{Expected: 9, Failed: 9}}
	for range 11 {
		st.Details.Causes = append(
			st.Details.Causes,
			v1alpha1.CauseCount{Cause: long, Count: 1, Devices: []string{long, long, long}, Example: long},
		)
	}
	for range 20 {
		st.Details.FailedDevices = append(st.Details.FailedDevices,
			v1alpha1.FailedDevice{DeviceID: long, SubOperationID: long, Cause: long, CurVersion: long})
		st.Details.MissingDevices = append(st.Details.MissingDevices, long)
		st.Details.InProgressDevices = append(st.Details.InProgressDevices, v1alpha1.InProgressDevice{DeviceID: long})
		st.Details.SuspectDevices = append(st.Details.SuspectDevices,
			v1alpha1.SuspectDevice{DeviceID: long, CurVersion: long, TargetVersion: long})
		st.Details.UnexpectedDevices = append(st.Details.UnexpectedDevices, long)
	}
	got := fit(*st.DeepCopy())
	if n := statusBytes(got); n > maxStatusBytes {
		t.Errorf("still %d bytes", n)
	}
	if diff := cmp.Diff(st.Devices, got.Devices); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if len(got.Details.Causes) != len(st.Details.Causes) {
		t.Errorf("%d causes of %d are left", len(got.Details.Causes), len(st.Details.Causes))
	}
	small := v1alpha1.FirmwareUpgradeStatus{
		Details: v1alpha1.Details{FailedDevices: []v1alpha1.FailedDevice{{DeviceID: "d"}}},
	}
	if diff := cmp.Diff(small, fit(*small.DeepCopy())); diff != "" {
		t.Errorf("a small status was cut (-want +got):\n%s", diff)
	}
}
