// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/wrappers"
)

// TestMessages holds the sentences that a person on call reads in the conditions Ready and Degraded, and the column
// REASON: what went wrong and what the policy allows, how far it got, who is awaited and until when.
func TestMessages(t *testing.T) {
	const until = ", at the latest until 2026-03-03T12:01:00Z"
	listed := func(l tally.Listed, missing ...string) tally.Summary {
		s := summary(l.Succeeded, l.Failed, l.InProgress)
		l.FirstReceivedAt, l.LastReceivedAt = s.FirstReceivedAt, s.LastReceivedAt
		s.Listed, s.Missing = l, missing
		return s
	}
	stuck := listed(tally.Listed{Succeeded: 1, InProgress: 1}, "c")
	stuck.InProgressDevices = []tally.InProgressDevice{{
		DeviceID: "b", State: storage.StateDownloading, ReceivedAt: first.UnixMicro(),
	}}
	retried := summary(2, 1, 0)
	retried.Retried = 1
	cases := map[string]struct {
		fwu                     *wrappers.FirmwareUpgrade
		seen                    Observation
		ready, degraded, reason string
	}{
		"no result": {
			fwu:  made().Expected(3),
			seen: Observation{Now: created},
			ready: "no result of this operationId yet; waits for 3 devices (0 in progress), " +
				"at the latest until 2026-03-03T12:00:00Z",
		},
		"no result, nobody knows of how many": {
			fwu:   made(),
			seen:  Observation{Now: created},
			ready: "no result of this operationId yet; waits for the first result, at the latest until 2026-03-03T12:00:00Z",
		},
		"an operationId that may be misspelt": {
			fwu:  made().Expected(3),
			seen: Observation{Now: created, Undeclared: 3},
			ready: "no result of this operationId yet; 3 undeclared tasks have results (kubectl get fwu -A: undeclared-…); " +
				"waits for 3 devices (0 in progress), at the latest until 2026-03-03T12:00:00Z",
		},
		"an appId that may be misspelt": {
			fwu:  made().Expected(3).App("app1"),
			seen: Observation{Now: created, OtherApplications: []string{"app2"}, Undeclared: 1},
			ready: "no result of this operationId yet from the application of spec.appId, but from app2; " +
				"waits for 3 devices (0 in progress), at the latest until 2026-03-03T12:00:00Z",
		},
		"strangers only": {
			fwu:  made().Devices("a"),
			seen: Observation{Now: created, Summary: tally.Summary{Succeeded: 2, Missing: []string{"a"}}},
			ready: "none of spec.devices has reported; waits for 1 device (0 in progress), at the latest until " +
				"2026-03-03T12:00:00Z; 2 devices not expected",
		},
		"strangers that fail, which the column FAILED counts": {
			fwu: made().Devices("a"),
			seen: Observation{Now: last, Summary: tally.Summary{
				Succeeded: 2, Failed: 1, InProgress: 1, Failures: 1,
				Listed: tally.Listed{Succeeded: 1, FirstReceivedAt: first.UnixMicro(), LastReceivedAt: last.UnixMicro()},
			}},
			ready: "1/1 devices succeeded; 3 devices not expected (1 failed, 1 in progress)",
		},
		"running": {
			fwu:   made().Expected(20),
			seen:  Observation{Now: last, Summary: summary(15, 0, 4)},
			ready: "15/20 devices done; waits for 5 devices (4 in progress)" + until,
		},
		"running with failures": {
			fwu:  made().Expected(30).MaxFailed("50%", 20),
			seen: Observation{Now: last, Summary: summary(18, 5, 0)},
			ready: "5 of 23 failed, the policy allows 50% (11); most often: Invalid URI; 23/30 devices done; " +
				"waits for 7 devices (0 in progress)" + until,
			degraded: "the policy allows 50% (11)",
			reason:   "Invalid URI (5)",
		},
		"too early for the policy": {
			fwu:  made().Expected(30).MaxFailed("5%", 20),
			seen: Observation{Now: last, Summary: summary(9, 1, 0)},
			ready: "1 of 10 failed, the policy allows 5%, judged from 20 devices on; most often: Invalid URI; " +
				"10/30 devices done; waits for 20 devices (0 in progress)" + until,
			degraded: "the policy allows 5%, judged from 20 devices on",
			reason:   "Invalid URI (1)",
		},
		"the policy broke": {
			fwu:  made().Expected(30).MaxFailed("5%", 20),
			seen: Observation{Now: last, Summary: summary(18, 5, 0)},
			ready: "5 of 23 failed, the policy allows 5% (1); most often: Invalid URI; 23/30 devices done; " +
				"waits for 7 devices (0 in progress)" + until,
			degraded: "5 of 23 failed, the policy allows 5% (1)",
			reason:   "FailurePolicyBroken: Invalid URI (5)",
		},
		"settling": {
			fwu:  made().Expected(3).Settle(time.Minute),
			seen: Observation{Now: last, Summary: summary(2, 1, 0)},
			ready: "1 of 3 failed, without a failurePolicy none may; most often: Invalid URI; 3/3 devices done; " +
				"waits for retries until nothing has come for 60s" + until,
			reason: "Invalid URI (1)",
		},
		"tried again": {
			fwu:  made().Expected(3).Settle(time.Minute),
			seen: Observation{Now: last.Add(time.Hour), Summary: retried},
			ready: "1 of 3 failed, without a failurePolicy none may; 1 tried again by the platform; " +
				"most often: Invalid URI; 3/3 devices done; " +
				"waits for 1 device tried again, until nothing has come for 120m" + until,
			reason: "Invalid URI (1)",
		},
		"nobody knows of how many": {
			fwu:   made(),
			seen:  Observation{Now: last, Summary: summary(15, 0, 0)},
			ready: "15/? devices done; waits until nothing has come for 24h" + until,
		},
		"all succeeded": {
			fwu:   made().Expected(3),
			seen:  Observation{Now: last, Summary: summary(3, 0, 0)},
			ready: "3/3 devices succeeded",
		},
		"within the policy": {
			fwu:      made().Expected(100).MaxFailed("5", 0),
			seen:     Observation{Now: last, Summary: summary(95, 5, 0)},
			ready:    "5 of 100 failed, the policy allows 5; most often: Invalid URI; 100/100 devices done",
			degraded: "the policy allows 5",
			reason:   "Invalid URI (5)",
		},
		"without a policy": {
			fwu:    made().Expected(50),
			seen:   Observation{Now: last, Summary: summary(45, 5, 0)},
			ready:  "5 of 50 failed, without a failurePolicy none may; most often: Invalid URI; 50/50 devices done",
			reason: "Invalid URI (5)",
		},
		"the wrong version": {
			fwu:  made().Expected(10).Target("1.7").MaxFailed("1", 0),
			seen: Observation{Now: last, Summary: suspect(summary(10, 0, 0), 10)},
			ready: "10 of 10 succeeded with another version than the target, the policy allows 1; " +
				"10/10 devices done",
			degraded: "10 of 10 succeeded with another version than the target, the policy allows 1",
			reason:   "VersionSuspect (10)",
		},
		"failed and suspect": {
			fwu:  made().Expected(10).Target("1.7"),
			seen: Observation{Now: last, Summary: suspect(summary(8, 2, 0), 3)},
			ready: "2 of 10 failed and 3 succeeded with another version than the target, without a failurePolicy none may; " +
				"most often: Invalid URI; 10/10 devices done",
			reason: "Invalid URI (2)",
		},
		"the deadline passed": {
			fwu:  made().Devices("a", "b", "c").Deadline(time.Minute),
			seen: Observation{Now: last, Summary: stuck},
			ready: "the deadline passed at 2026-03-01T12:02:00Z: 1 never reported, 1 still in progress; 1/3 devices done; " +
				"missing: c; in progress: b",
			reason: "DeadlineExceeded: 1 never reported, 1 still in progress",
		},
		"the deadline passed, and devices failed": {
			fwu:  made().Expected(40).Deadline(time.Minute),
			seen: Observation{Now: last, Summary: summary(4, 1, 0)},
			ready: "the deadline passed at 2026-03-01T12:02:00Z: 35 never reported; " +
				"1 of 5 failed, without a failurePolicy none may; most often: Invalid URI; 5/40 devices done",
			reason: "DeadlineExceeded: 35 never reported",
		},
		"the deadline passed, and nobody knows of how many": {
			fwu:  made().Deadline(time.Minute),
			seen: Observation{Now: last, Summary: summary(14, 0, 0)},
			ready: "the deadline passed at 2026-03-01T12:02:00Z: devices still report, and how many there are is not known; " +
				"14/? devices done",
			reason: "DeadlineExceeded: devices still report, and how many there are is not known",
		},
		"more than expected": {
			fwu:  made().Expected(4).MaxFailed("25%", 0),
			seen: Observation{Now: last, Summary: summary(9, 3, 0)},
			ready: "8 devices not expected: correct spec.expectedDevices, or name the devices in spec.devices; " +
				"3 of 12 failed, the policy allows 25% (1); most often: Invalid URI; 12/4 devices done",
			degraded: "3 of 12 failed, the policy allows 25% (1)",
			reason:   "UnexpectedDevices (8)",
		},
		"more than expected, all good": {
			fwu:  made().Expected(4),
			seen: Observation{Now: last, Summary: summary(5, 0, 0)},
			ready: "1 device not expected: correct spec.expectedDevices, or name the devices in spec.devices; " +
				"5/4 devices succeeded",
			reason: "UnexpectedDevices (1)",
		},
		"more than expected, and one goes on": {
			fwu:  made().Expected(4),
			seen: Observation{Now: last, Summary: summary(4, 0, 1)},
			ready: "4/4 devices done; waits for 1 device (1 in progress)" + until +
				"; 1 device not expected: correct spec.expectedDevices, or name the devices in spec.devices",
		},
		"the deadline passed without a result": {
			fwu:  made().Deadline(time.Minute),
			seen: Observation{Now: created.Add(time.Minute), Undeclared: 11},
			ready: "the deadline passed at 2026-03-01T12:01:00Z; no result of this operationId yet; " +
				"more than 10 undeclared tasks have results (kubectl get fwu -A: undeclared-…)",
			reason: "DeadlineExceeded: no device has reported",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Obj()
			c.seen.Failures = tally.New()
			st, _ := Compute(fwu, fwu.Status, c.seen)
			got := []string{
				condition(st, v1alpha1.ConditionReady).Message, condition(st, v1alpha1.ConditionDegraded).Message, st.Reason,
			}
			if diff := cmp.Diff([]string{c.ready, c.degraded, c.reason}, got); diff != "" {
				t.Errorf("Ready, Degraded, REASON (-want +got):\n%s", diff)
			}
		})
	}
}

// A policy that was broken stays so, and the messages say why although the figures are within it again.
func TestMessageOfAPolicyThatWasBroken(t *testing.T) {
	fwu := made().Expected(4).MaxFailed("0", 0).Obj()
	step(fwu, summary(1, 1, 0), first)
	recovered := summary(4, 0, 0)
	recovered.Recovered, recovered.Failures = 1, 1
	step(fwu, recovered, last)
	const want = "0 of 4 failed, the policy allows 0, but it was broken before and stays so until the spec changes"
	if got := condition(fwu.Status, v1alpha1.ConditionDegraded).Message; got != want {
		t.Errorf("Degraded: want %q, got %q", want, got)
	}
	ready := condition(fwu.Status, v1alpha1.ConditionReady)
	if !strings.HasPrefix(ready.Message, want) || ready.Status == metav1.ConditionTrue {
		t.Errorf("Ready is %s: %s", ready.Status, ready.Message)
	}
	if got := fwu.Status.Reason; got != v1alpha1.ReasonFailurePolicyBroken {
		t.Errorf("REASON is %q", got)
	}
}

// One whose policy is broken while devices report is told from a good one in the table.
func TestReasonOfAPolicyThatIsBroken(t *testing.T) {
	fwu := made().Expected(4).MaxFailed("0", 0).Obj()
	broken := summary(0, 1, 0)
	broken.Causes = []tally.CauseCount{{Cause: "Invalid URI", Count: 1}}
	step(fwu, broken, first)
	if got, want := fwu.Status.Reason, "FailurePolicyBroken: Invalid URI (1)"; got != want {
		t.Errorf("while devices report, REASON: want %q, got %q", want, got)
	}
	ended := summary(3, 1, 0)
	ended.Causes = broken.Causes
	step(fwu, ended, last)
	step(fwu, ended, last.Add(time.Hour))
	if got, want := string(fwu.Status.Phase)+" "+fwu.Status.Reason, "Failed Invalid URI (1)"; got != want {
		t.Errorf("at the end, phase and REASON: want %q, got %q", want, got)
	}
}

// Every count that alarms has names in the details: who is missing, in progress, suspect and unexpected.
func TestDetailsNameDevices(t *testing.T) {
	l := newLeader(made().Devices("d000001", "d000002", "d000003").Target("2").Obj())
	wrong := success(1, first)
	wrong.TargetVersion, wrong.CurVersion = "2", "1"
	going := success(2, last)
	going.State = storage.StateUpdating
	l.receive(wrong, going, success(9, last))
	l.reconcile(last)
	want := v1alpha1.Details{
		MissingDevices: []string{"d000003"},
		InProgressDevices: []v1alpha1.InProgressDevice{{
			DeviceID: "d000002", State: "Updating", ReceiveTime: metav1.Time{Time: last},
		}},
		SuspectDevices:    []v1alpha1.SuspectDevice{{DeviceID: "d000001", CurVersion: "1", TargetVersion: "2"}},
		UnexpectedDevices: []string{"d000009"},
	}
	if diff := cmp.Diff(want, l.fwu.Status.Details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	event := "Warning VersionSuspect: 1 device succeeded with another version than 2: " +
		"d000001 (has 1, was to get 2); check what they run"
	if diff := cmp.Diff([]string{"Normal Started: The first device has reported", event}, notes(l.told)); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
}

// An Event about one device carries the platform's own text, whether it is announced alone or in a digest; a digest of
// many carries one such text beside their cause.
func TestEventsCarryThePlatformsText(t *testing.T) {
	text := func(device int) string { return fmt.Sprintf("HTTP 404 after %d bytes", 1000+device) }
	l := newLeader(made().Expected(100).Obj())
	l.receive(failure(1, first, text(1)))
	l.reconcile(first)
	l.receive(failure(2, first, "Task Conflict"))
	for d := 3; d < 9; d++ {
		l.receive(failure(d, first, text(d)))
	}
	l.reconcile(last)
	cause := tally.Cause(text(1))
	want := []string{
		"Normal Started: The first device has reported",
		"Warning DeviceFailed: Device d000001 failed: " + text(1),
		"Warning DevicesFailed: 6 devices failed: " + cause + "; for example d000003, d000004, d000005; " +
			"the first one reported: " + text(3),
		"Warning DeviceFailed: Device d000002 failed: Task Conflict",
	}
	if diff := cmp.Diff(want, notes(l.told)); diff != "" || cause == text(1) {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
	if got := l.fwu.Status.Details.Causes[0].Example; got == "" {
		t.Error("the cause has no example")
	}
}

// However long the texts from outside are, a message says everything that it has to, and no part of it is cut: a cause
// and names show that they were, and where there is no room for a part that is not needed, it is left out.
func TestMessagesAreNotCut(t *testing.T) {
	long := strings.Repeat("e\u0301\u202e", 50) // 250 bytes, and more when cleaned
	cause := "most often: " + result.Shorten(long, maxCauseBytes)
	if len(cause) > 108 || !strings.HasSuffix(cause, "…") {
		t.Fatalf("the cause is shown as %q", cause)
	}
	name := result.ShortName(long)
	broken := summary(90, 9, 0)
	broken.Causes = []tally.CauseCount{{Cause: long, Count: 9}}
	broken.Retried, broken.Suspect = 1, 5
	listed := broken
	listed.Listed = tally.Listed{
		Succeeded: 1, Failed: 1, Suspect: 1, FirstReceivedAt: first.UnixMicro(), LastReceivedAt: last.UnixMicro(),
	}
	for _, d := range []string{"a", "b", "c", "d"} {
		listed.Missing = append(listed.Missing, d+long)
	}
	many := summary(700, 400, 50)
	many.Suspect = 100
	oneOfSeveral := result.Shorten(long, 32)
	cases := map[string]struct {
		fwu     *wrappers.FirmwareUpgrade
		earlier *Observation
		seen    Observation
		want    []string
	}{
		"a broken policy, a retry and a long cause": {
			fwu:  made().Expected(98).MaxFailed("5%", 0).Settle(time.Minute),
			seen: Observation{Now: last, Summary: broken},
			want: []string{
				"9 of 99 failed and 5 succeeded with another version than the target, the policy allows 5% (4)",
				"1 tried again by the platform", cause, "99/98 devices done",
				"waits for 1 device tried again, until nothing has come for 120m, at the latest until 2026-03-03T12:01:00Z",
				"1 device not expected: correct spec.expectedDevices, or name the devices in spec.devices",
			},
		},
		"names for which there is no room": {
			fwu:  made().Devices("a", "b", "c", "d", "e", "f").MaxFailed("5%", 0).Deadline(time.Minute),
			seen: Observation{Now: last, Summary: listed},
			want: []string{
				"the deadline passed at 2026-03-01T12:02:00Z: 4 never reported",
				"1 of 2 failed and 1 succeeded with another version than the target, the policy allows 5% (0)",
				cause, "2/6 devices done", "97 devices not expected (8 failed, 4 suspect)",
			},
		},
		"what to do about other applications": {
			fwu:     made().Expected(1000).MaxFailed("60%", 0).Deadline(time.Minute),
			earlier: &Observation{Now: first, Summary: summary(0, 1, 0)},
			seen:    Observation{Now: last, Summary: many, Claim: othersReport(t, long)},
			want: []string{
				"the deadline passed at 2026-03-01T12:02:00Z: 50 still in progress",
				"400 of 1100 failed and 100 succeeded with another version than the target, the policy allows 60% (600), " +
					"but it was broken before and stays so until the spec changes",
				"150 devices not expected: correct spec.expectedDevices, or name the devices in spec.devices",
				"other applications report this operationId, too, and are not counted (" +
					strings.Join([]string{oneOfSeveral, oneOfSeveral, oneOfSeveral}, ", ") + "): set spec.appId",
			},
		},
		"other applications": {
			fwu:  made().App("app").Expected(1),
			seen: Observation{Now: created, OtherApplications: []string{long, long, long, long}},
			want: []string{
				"no result of this operationId yet from the application of spec.appId, but from " +
					strings.Join([]string{name, name, name}, ", "),
				"waits for 1 device (0 in progress), at the latest until 2026-03-03T12:00:00Z",
			},
		},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			fwu := c.fwu.Obj()
			if c.earlier != nil {
				c.earlier.Failures = tally.New()
				fwu.Status, _ = Compute(fwu, fwu.Status, *c.earlier)
			}
			c.seen.Failures = tally.New()
			st, _ := Compute(fwu, fwu.Status, c.seen)
			if diff := cmp.Diff(strings.Join(c.want, "; "), condition(st, v1alpha1.ConditionReady).Message); diff != "" {
				t.Errorf("Ready (-want +got):\n%s", diff)
			}
		})
	}
}

// othersReport is the claim of one that had finished when other applications reported its operationId.
func othersReport(t *testing.T, application string) claim.Claim {
	t.Helper()
	fwu := made().Expected(98).Obj()
	seen := Observation{Now: last.Add(time.Hour), Summary: summary(98, 0, 0), Failures: tally.New()}
	fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	tasks := []result.Task{{OperationID: fwu.Spec.OperationID}}
	for n := range 4 {
		tasks = append(tasks, result.Task{AppID: application + strconv.Itoa(n), OperationID: fwu.Spec.OperationID})
	}
	_, counted, c := claim.Task(fwu, tasks, claim.Rules{})
	if !counted || !c.Holds() || c.Message == "" {
		t.Fatalf("want a claim that holds and has a message, got %+v of %+v", c, fwu.Status)
	}
	return c
}

// Nor is the text of an Event: what it has to say, what to do among that, stands in it however long the ids are.
func TestNotesAreNotCut(t *testing.T) {
	long := strings.Repeat("i", 256)
	var sum v1alpha1.FirmwareUpgradeStatus
	for range maxEventSamples {
		sum.Details.SuspectDevices = append(sum.Details.SuspectDevices, v1alpha1.SuspectDevice{
			DeviceID: long, CurVersion: long, TargetVersion: long,
		})
	}
	message := strings.Repeat("m", maxMessageBytes-1) + "!"
	ended := metav1.Condition{Reason: v1alpha1.ReasonPartiallySucceeded, Message: message}
	text := strings.Repeat("t", 1024) // what a device may report at most
	for end, e := range map[string]v1alpha1.OutboxEvent{
		"; check what they run": versionSuspect(v1alpha1.FirmwareUpgradeSpec{TargetVersion: long}, sum),
		"m!":                    outcomeChanged(ended, false),
		"… (version " + result.ShortName(long) + ")": singleFailure(
			tally.Failure{DeviceID: long, Text: text, CurVersion: long}),
		"t… (version 1.5)": singleFailure(tally.Failure{DeviceID: "d1", Text: text, CurVersion: "1.5"}),
		"i… failed: " + strings.Repeat("t", 64): digest(
			tally.FailureGroup{Cause: long, Count: 1, Devices: []string{long}, Example: text[:64]}),
		"i… failed and has succeeded since": singleFailure(tally.Failure{DeviceID: long, Recovered: true}),
		"2 devices failed, and succeeded since; namely d1, d2": digest(
			tally.FailureGroup{Cause: tally.CauseRecovered, Count: 2, Devices: []string{"d1", "d2"}}),
		"reported: " + result.Shorten(long, maxExampleBytes): digest(tally.FailureGroup{
			Cause: long, Count: 9, Devices: []string{long, long, long}, Example: long,
		}),
	} {
		if !strings.HasSuffix(e.Note, end) || len(e.Note) > maxNoteBytes {
			t.Errorf("want at most %d bytes that end with %q, got %d: %q", maxNoteBytes, end, len(e.Note), e.Note)
		}
	}
}

// What came from outside is shown in one line without characters that can't be seen.
func TestMessagesAreClean(t *testing.T) {
	seen := Observation{Now: created, OtherApplications: []string{"app\u202e\n2"}, Failures: tally.New()}
	fwu := made().App("app").Expected(1).Obj()
	fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	if got := condition(fwu.Status, v1alpha1.ConditionReady).Message; strings.ContainsAny(got, "\u202e\n") {
		t.Errorf("Ready says %q", got)
	}
}

// An upgrade that ended without a result does not speak of a deadline to come when a first one is late.
func TestDeadlineThatPassedStays(t *testing.T) {
	l := newLeader(made().Expected(2).Deadline(time.Hour).Obj())
	ended := created.Add(time.Hour)
	l.reconcile(ended)
	step := success(1, ended.Add(time.Minute))
	step.State = storage.StateDownloading
	l.receive(step)
	l.reconcile(ended.Add(2 * time.Minute))
	want := "the deadline passed at " + ended.UTC().Format(time.RFC3339)
	if got := condition(l.fwu.Status, v1alpha1.ConditionReady).Message; !strings.HasPrefix(got, want) {
		t.Errorf("want it to begin with %q, got %q", want, got)
	}
}

// A device that repeats a step is worth no write, though the order of those in progress follows from the times.
func TestRepeatedStepsAreWorthNoWrite(t *testing.T) {
	l := newLeader(made().Expected(3).Obj())
	for d := range 2 {
		step := success(d, first.Add(time.Duration(d)*time.Second))
		step.State = storage.StateDownloading
		l.receive(step)
	}
	for range 2 { // the second one takes what was delivered out of the outbox
		l.reconcile(first.Add(time.Minute))
	}
	before := l.fwu.Status
	again := success(0, first.Add(2*time.Minute))
	again.State = storage.StateDownloading
	l.receive(again)
	next, _ := Compute(l.fwu, before, l.observe(first.Add(3*time.Minute)))
	if got := Compare(before, next); got != Nothing {
		t.Errorf("want nothing to write, got %d", got)
	}
}

// Where nobody has reported anything, all of the listed devices are missing.
func TestAllAreMissing(t *testing.T) {
	l := newLeader(made().Devices("a", "b").Obj())
	l.reconcile(created)
	if diff := cmp.Diff([]string{"a", "b"}, l.fwu.Status.Details.MissingDevices); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The platform retries by itself: without a settleSeconds an upgrade with a failed device is not finished at once, and
// not at all while that device reports the steps of a retry. What settleSeconds says goes before that.
func TestRetriesKeepTheEndOpen(t *testing.T) {
	downloading := success(2, first.Add(45*time.Second))
	downloading.State, downloading.SubOperationID = storage.StateDownloading, "retry"
	play := func(fwu *v1alpha1.FirmwareUpgrade) (got []string) {
		l := newLeader(fwu)
		look := func(at time.Time) {
			l.reconcile(at)
			got = append(got, told(l.fwu.Status))
		}
		l.receive(success(1, first), failure(2, first, "Connection lost"))
		look(first)
		l.receive(downloading)
		look(first.Add(50 * time.Second))
		look(first.Add(time.Hour)) // the platform gives it 60 min
		l.receive(success(2, first.Add(80*time.Minute)))
		look(first.Add(80 * time.Minute))
		return got
	}
	byDefault := made()
	byDefault.Spec.SettleSeconds = nil
	running, good := "Running 2/2 Reconciling=Running", "Succeeded 2/2 Ready=Succeeded Finished=Succeeded"
	bad := "PartiallySucceeded 2/2 Stalled=PartiallySucceeded Finished=PartiallySucceeded"
	for name, c := range map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		want []string
	}{
		"expectedDevices": {byDefault.Expected(2), []string{running, running, running, good}},
		"devices":         {made().Devices("d000001", "d000002").Settle(time.Minute), []string{running, running, running, good}},
		"not to settle":   {made().Expected(2), []string{bad, bad, bad, good}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, play(c.fwu.Obj())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A retry of which nothing more is heard ends in its time.
func TestSilentRetryEnds(t *testing.T) {
	fwu := made().Expected(1).Settle(time.Minute).Obj()
	sum := summary(0, 1, 0)
	sum.Retried = 1
	if got, want := step(fwu, sum, last.Add(retryPatience-1)), "Running 1/1 Reconciling=Running"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	if got, want := step(fwu, sum, last.Add(retryPatience)), "Failed 1/1 Stalled=Failed Finished=Failed"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

// A rival that may be about to go is no duplicate yet: no Warning, nothing stalled, and it is looked at again in time.
func TestRenamingTellsNoDuplicate(t *testing.T) {
	old := wrappers.MakeFirmwareUpgrade("old", "ns").UID("u0").Created(created.Add(-time.Hour)).Obj()
	fwu := made().Expected(3).Obj()
	c := claim.Resolve(fwu, []v1alpha1.FirmwareUpgrade{*old, *fwu}, claim.Rules{})
	var again time.Time
	look := func(seen Observation) string {
		seen.Failures, seen.Delivered = tally.New(), fwu.Status.OperatorState.Sequence
		fwu.Status, again = Compute(fwu, fwu.Status, seen)
		return told(fwu.Status)
	}
	waits := look(Observation{Claim: c, Now: created})
	if want := "Pending  Reconciling=AwaitingTask"; waits != want || fwu.Status.OperatorState.Outbox != nil {
		t.Errorf("want %q and no Event, got %q and %v", want, waits, notes(fwu.Status.OperatorState.Outbox))
	}
	if !again.Equal(c.Until) || !c.Until.After(created) {
		t.Errorf("it is looked at again at %s, want %s", again, c.Until)
	}
	taken := fwu.DeepCopy()
	if got, want := look(Observation{Claim: c, Now: again}), "Stalled  Stalled=DuplicateOperation"; got != want {
		t.Errorf("the rival stayed: want %q, got %q", want, got)
	}
	if diff := cmp.Diff([]string{"Warning DuplicateOperation"}, reasons(fwu.Status.OperatorState.Outbox)); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
	fwu = taken
	taking, counts := look(Observation{Now: last, Summary: summary(1, 0, 0)}), "Running 1/3 Reconciling=Running"
	if taking != counts {
		t.Errorf("the rival went: want %q, got %q", counts, taking)
	}
}

// Whatever an upgrade went through, `kubectl wait --for=condition=Reconciling=False` returns at every end and wherever
// somebody has to act, and nowhere else; a gate opens for nothing that is in doubt; REASON says what is wrong.
func TestReconcilingIsFalseAtEveryEndAndStall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fwu := drawSpec(t).Obj()
		counted := tally.New()
		at := created
		for range rapid.IntRange(1, 5).Draw(t, "statuses") {
			counted.Add(rapid.SliceOfN(rapid.Custom(drawVersioned), 0, 8).Draw(t, "results"))
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(30*time.Hour)).Draw(t, "time passes")))
			sum := counted.Summary(testTask, tally.Query{TargetVersion: "2", Devices: fwu.Spec.Devices})
			if rapid.IntRange(0, 9).Draw(t, "slices are lost") == 0 {
				sum = tally.Summary{}
			}
			seen := Observation{
				Claim: drawClaim(t, at), Task: testTask, Summary: sum, Now: at, Failures: counted,
				Undeclared: rapid.IntRange(0, 12).Draw(t, "undeclared"),
			}
			fwu.Status, _ = Compute(fwu, fwu.Status, seen)
			checkConditions(t, fwu, seen)
		}
	})
}

func checkConditions(t *rapid.T, fwu *v1alpha1.FirmwareUpgrade, seen Observation) {
	st := fwu.Status
	is := func(kind string) bool { return condition(st, kind).Status == metav1.ConditionTrue }
	ready, reconciling := is(v1alpha1.ConditionReady), is(v1alpha1.ConditionReconciling)
	stalled := is(v1alpha1.ConditionStalled)
	count := 0
	for _, c := range []bool{ready, reconciling, stalled} {
		if c {
			count++
		}
	}
	switch {
	case count != 1:
		t.Fatalf("exactly one of Ready, Reconciling and Stalled is true: %s", told(st))
	case is(v1alpha1.ConditionFinished) && reconciling:
		t.Fatalf("it has finished and is waited for: %s", told(st))
	case is(v1alpha1.ConditionFinished) != (st.CompletionTime != nil):
		t.Fatalf("%s, completed at %v", told(st), st.CompletionTime)
	case ready && !is(v1alpha1.ConditionFinished):
		t.Fatalf("the gate opens before the end: %s", told(st))
	case stalled && st.Reason == "":
		t.Fatalf("REASON is empty: %s", told(st))
	}
	message := condition(st, v1alpha1.ConditionReady).Message
	if message == "" || len(message) > maxMessageBytes {
		t.Fatalf("Ready says %q: %s", message, told(st))
	}
	if !ready || st.ArchiveTime != nil {
		return
	}
	j := judgedDevices(fwu.Spec, st, seen)
	v := judgePolicy(fwu.Spec.FailurePolicy, j, true)
	if j.bad() > 0 && v != policyKept || j.succeeded == j.suspect || j.unexpected > 0 {
		t.Fatalf("a false green: %s, %+v", told(st), j)
	}
}

func drawSpec(t *rapid.T) *wrappers.FirmwareUpgrade {
	settle := time.Duration(rapid.IntRange(0, 2).Draw(t, "settle")) * time.Minute
	w := made().Target("2").Retain(1000 * time.Hour).Settle(settle)
	switch rapid.IntRange(0, 2).Draw(t, "expected") {
	case 1:
		w.Expected(rapid.Int64Range(1, 12).Draw(t, "n"))
	case 2:
		w.Devices(rapid.SliceOfNDistinct(deviceIDs, 1, 8, rapid.ID[string]).Draw(t, "devices")...)
	}
	if rapid.Bool().Draw(t, "policy") {
		w.MaxFailed(rapid.SampledFrom([]string{"0", "2", "30%", "100%"}).Draw(t, "max"), 0)
	}
	return w
}

func drawVersioned(t *rapid.T) result.Result {
	r := drawResult(t)
	r.CurVersion = rapid.SampledFrom([]string{"", "2", "2", "1"}).Draw(t, "version")
	return r
}

func drawClaim(t *rapid.T, at time.Time) claim.Claim {
	return rapid.SampledFrom([]claim.Claim{
		{},
		{},
		{},
		{},
		duplicate,
		{Reason: v1alpha1.ReasonDuplicateOperation, Message: "another has it", Until: at.Add(time.Second)},
		{Reason: v1alpha1.ReasonPurging, Message: "waits"},
		{Reason: v1alpha1.ReasonNotPermitted, Message: "ask"},
	}).Draw(t, "claim")
}
