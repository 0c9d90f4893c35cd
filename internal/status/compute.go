// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package status computes the status of a FirmwareUpgrade: the counts, whether and how the upgrade ended, the
// conditions, and which Events are to be created. It is pure: it talks to nobody and reads no clock.
package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// Observation is what a status is computed from, beside the spec and the previous status.
type Observation struct {
	// Claim says whether the FirmwareUpgrade has the task.
	Claim claim.Claim
	// Task is the task it has; zero where it has none.
	Task result.Task
	// Summary is what the results of the task add up to; zero where there are none.
	Summary tally.Summary
	// Lacking is how many of the failures that were announced are not among the results any more, whatever else failed.
	Lacking int64
	// Unreadable names a slice that may have results of the task which this version can't read; empty where none has.
	Unreadable string
	// OtherApplications are the applications, other than its own, that report the operationId of one without results.
	OtherApplications []string
	// Undeclared is how many tasks with results nobody declared, of which one may be meant by one without results.
	Undeclared int
	// Platform is what is known of the platform's own view of the task; nil where no application is connected.
	Platform *Platform
	// Creation is how far the creation of the task is that the spec asks for; nil where nobody looked yet.
	Creation *Creation
	// Failures is the log of the task's failures.
	Failures FailureLog
	// Delivered is the number of the newest Event of the outbox that is known to be created; 0 where none is.
	Delivered int64
	// Now is the time of the observation.
	Now time.Time
}

// FailureLog has the devices that ever failed, in the order in which that became known. A position in it says which are
// announced.
type FailureLog interface {
	// FailuresFrom returns at most limit failures from the position on.
	FailuresFrom(task result.Task, from int64, limit int) []tally.Failure
	// DigestFailures groups all failures from the position on by cause.
	DigestFailures(task result.Task, from int64, samples int) []tally.FailureGroup
}

// Compute returns the status that follows from the spec, the previous status and what was observed, and when it is to
// be computed again although nothing arrives; zero if never.
//
//  1. An archived status stands for ever; a spec that changed after that can't be judged any more.
//  2. Without the task, or with fewer results than were counted, the counts stand and the conditions say why.
//  3. Otherwise the counts follow from the summary, the end from the counts, and the conditions from both.
//  4. What is to be announced follows from the record of what was announced, the counts and the conditions.
func Compute(
	fwu *v1alpha1.FirmwareUpgrade,
	prev v1alpha1.FirmwareUpgradeStatus,
	seen Observation,
) (v1alpha1.FirmwareUpgradeStatus, time.Time) {
	if !Archived(prev) {
		prev.ArchiveTime = nil
	}
	seen.Claim = seen.Claim.At(seen.Now)
	if countsAnotherTask(fwu, prev, seen) {
		prev = forAnotherTask(prev)
	}
	next, counted, again := computeConditions(fwu, prev, seen)
	setTask(fwu, &next, prev, seen.Creation, seen.Now)
	state, due := announce(fwu, prev.OperatorState, next, counted, seen)
	next.OperatorState = state
	again = earliest(again, due)
	again = earliest(again, archive(fwu.Spec, &next, seen.Now))
	return fit(next), again
}

// Archived says whether a status is frozen, so that its results may be removed. One that has not ended is not, whoever
// wrote that it is.
func Archived(st v1alpha1.FirmwareUpgradeStatus) bool {
	return st.ArchiveTime != nil && st.CompletionTime != nil && !st.ArchiveTime.Before(st.CompletionTime)
}

// archive freezes the status when the results may be removed, and every failure was announced, as the log of failures
// goes with the results. It returns when that is to be looked at again; zero if never.
func archive(spec v1alpha1.FirmwareUpgradeSpec, next *v1alpha1.FirmwareUpgradeStatus, now time.Time) time.Time {
	if next.ArchiveTime != nil || next.CompletionTime == nil {
		return time.Time{}
	}
	due := next.CompletionTime.Add(duration(spec.RetainResultsSeconds, defaultRetainResults))
	if !now.Before(due) && !allAnnounced(*next) {
		due = due.Add(announceGrace)
	}
	if now.Before(due) {
		return due
	}
	next.ArchiveTime = &metav1.Time{Time: now}
	return time.Time{}
}

// countsAnotherTask says whether the previous status counts the task of another application than the one that is
// counted now: spec.appId was set, or the applications file was changed.
func countsAnotherTask(
	fwu *v1alpha1.FirmwareUpgrade, prev v1alpha1.FirmwareUpgradeStatus, seen Observation,
) bool {
	known := seen.Summary.Reported() > 0 || fwu.Spec.AppID != ""
	return prev.StartTime != nil && prev.ArchiveTime == nil && seen.Claim.Holds() && known && prev.AppID != seen.Task.AppID
}

// forAnotherTask is what is left of a status when another task is counted: that neither its counts, nor its end, nor
// what was announced of it concern.
func forAnotherTask(prev v1alpha1.FirmwareUpgradeStatus) v1alpha1.FirmwareUpgradeStatus {
	state := prev.OperatorState
	announced := v1alpha1.Announced{Placeholder: state.Announced.Placeholder, Problem: state.Announced.Problem}
	return v1alpha1.FirmwareUpgradeStatus{
		ObservedGeneration: prev.ObservedGeneration, OperationID: prev.OperationID, Task: prev.Task,
		OperatorState: v1alpha1.OperatorState{Announced: announced, Sequence: state.Sequence, Outbox: state.Outbox},
	}
}

// computeConditions computes everything but the operator's state. counted says whether the counts are those of the
// summary.
func computeConditions(
	fwu *v1alpha1.FirmwareUpgrade,
	prev v1alpha1.FirmwareUpgradeStatus,
	seen Observation,
) (next v1alpha1.FirmwareUpgradeStatus, counted bool, again time.Time) {
	next = *prev.DeepCopy()
	next.ObservedGeneration = fwu.Generation
	specChanged := prev.ObservedGeneration != fwu.Generation
	switch {
	case next.ArchiveTime != nil && specChanged:
		again = setUncounted(
			fwu,
			&next,
			claim.Claim{Reason: v1alpha1.ReasonResultsArchived, Message: archivedMessage},
			seen.Now,
		)
		return next, false, again
	case next.ArchiveTime != nil:
		return next, false, time.Time{}
	case !seen.Claim.Holds():
		if isAwaited(fwu, prev, seen.Creation) {
			setCounts(&next, fwu.Spec, Observation{Task: result.Task{AppID: fwu.Spec.AppID}})
		}
		again = setUncounted(fwu, &next, seen.Claim, seen.Now)
		return next, false, again
	case shrunk(prev, seen.Summary) || seen.Lacking > 0:
		again = setUncounted(
			fwu,
			&next,
			claim.Claim{Reason: v1alpha1.ReasonResultsIncomplete, Message: shrunkMessage(prev, seen.Summary)},
			seen.Now,
		)
		return next, false, again
	}
	seen.Platform = seen.Platform.recall(prev)
	setCounts(&next, fwu.Spec, seen)
	verdict := judge(fwu, prev, next, seen, specChanged)
	setEnd(&next, verdict.finished, seen.Now)
	setConditions(fwu, &next, verdict, seen)
	next.Reason = reasonOf(next, verdict)
	return next, true, verdict.again
}

// setEnd sets the time of the end when it comes, and removes it when it is withdrawn.
func setEnd(next *v1alpha1.FirmwareUpgradeStatus, finished bool, now time.Time) {
	switch {
	case !finished:
		next.CompletionTime = nil
	case next.CompletionTime == nil:
		next.CompletionTime = &metav1.Time{Time: now}
	}
}

// setCounts writes everything that follows from the results alone.
func setCounts(next *v1alpha1.FirmwareUpgradeStatus, spec v1alpha1.FirmwareUpgradeSpec, seen Observation) {
	sum := seen.Summary
	next.StartTime, next.LastResultTime = startTime(spec, next.StartTime, sum), seconds(sum.LastReceivedAt)
	next.AppID = seen.Task.AppID
	next.Devices = deviceCounts(spec, seen.figures(), sum)
	next.Details = details(sum)
	next.TopCause = ""
	if len(sum.Causes) > 0 {
		next.TopCause = sum.Causes[0].Cause
	}
	of := "?"
	if expected, known := expectedDevices(spec, seen.figures(), sum.Reported()); known {
		of = fmt.Sprint(expected)
	}
	decisive := judgedDevices(spec, *next, seen)
	next.Progress = fmt.Sprintf("%d/%s", decisive.succeeded+decisive.failed, of)
}

// startTime is when the first notification arrived. Where devices are listed, it is the first one of these that is
// known of; it does not move when they report more.
func startTime(spec v1alpha1.FirmwareUpgradeSpec, previous *metav1.Time, sum tally.Summary) *metav1.Time {
	if len(spec.ListedDevices()) == 0 {
		return seconds(sum.FirstReceivedAt)
	}
	first := seconds(sum.Listed.FirstReceivedAt)
	if previous != nil && (first == nil || previous.Before(first)) {
		return previous
	}
	return first
}

// reasonOf is what a person has to know first: empty where nothing is wrong, and never where somebody has to act. One
// whose policy is broken while devices still report says so before the cause: its phase is Running, as that of a good
// one.
func reasonOf(st v1alpha1.FirmwareUpgradeStatus, v verdict) string {
	trouble := troubleOf(st, v)
	switch {
	case v.taskUnknown:
		return v1alpha1.ReasonTaskUnknown
	case v.synced.drifts(), v.repairs():
		return fmt.Sprintf("%s (%d)", v.synced.reason, v.synced.differ)
	case v.isUnread():
		return v1alpha1.ReasonResultsIncomplete
	case v.policy != policyBroken || v.finished && trouble != "":
		return trouble
	case trouble == "":
		return v1alpha1.ReasonFailurePolicyBroken
	}
	return v1alpha1.ReasonFailurePolicyBroken + ": " + trouble
}

// troubleOf is what is wrong with the devices, in a few words.
func troubleOf(st v1alpha1.FirmwareUpgradeStatus, v verdict) string {
	switch {
	case v.finished && v.reason == v1alpha1.ReasonDeadlineExceeded:
		return v1alpha1.ReasonDeadlineExceeded + ": " + v.judged.missing()
	case v.finished && v.reason == v1alpha1.ReasonUnexpectedDevices:
		return fmt.Sprintf("%s (%d)", v1alpha1.ReasonUnexpectedDevices, st.Devices.Unexpected)
	case len(st.Details.Causes) > 0 && (v.judged.failed > 0 || v.judged.suspect == 0):
		return fmt.Sprintf("%s (%d)", st.TopCause, st.Details.Causes[0].Count)
	case st.Devices.Suspect > 0:
		return fmt.Sprintf("%s (%d)", EventVersionSuspect, st.Devices.Suspect)
	}
	return ""
}

// deviceCounts keeps expected + unexpected = succeeded + failed + inProgress + pending.
func deviceCounts(
	spec v1alpha1.FirmwareUpgradeSpec, platform *v1alpha1.PlatformStatus, sum tally.Summary,
) v1alpha1.DeviceCounts {
	c := v1alpha1.DeviceCounts{
		Succeeded: sum.Succeeded, Failed: sum.Failed, InProgress: sum.InProgress,
		Suspect: sum.Suspect, Recovered: sum.Recovered,
	}
	reported := sum.Reported()
	expected, known := expectedDevices(spec, platform, reported)
	switch {
	case len(spec.ListedDevices()) > 0:
		c.Expected, c.Pending, c.Unexpected = expected, expected-sum.Listed.Reported(), reported-sum.Listed.Reported()
	case known:
		c.Expected, c.Pending, c.Unexpected = expected, max(0, expected-reported), max(0, reported-expected)
	default:
		c.Expected = reported
	}
	return c
}

// details are the samples of a summary. Versions are shown as any text from outside is: they were cleaned when they
// were received, unless somebody else stored them.
func details(sum tally.Summary) v1alpha1.Details {
	d := v1alpha1.Details{MissingDevices: sum.Missing, UnexpectedDevices: sum.Unexpected}
	for _, c := range sum.Causes {
		d.Causes = append(d.Causes, v1alpha1.CauseCount{
			Cause: c.Cause, Count: c.Count, Devices: c.Devices, Example: c.Example,
		})
	}
	for _, f := range sum.FailedDevices {
		d.FailedDevices = append(d.FailedDevices, v1alpha1.FailedDevice{
			DeviceID: f.DeviceID, SubOperationID: f.SubOperationID, Cause: f.Cause, CurVersion: version(f.CurVersion),
			ReceiveTime: *seconds(f.ReceivedAt),
		})
	}
	for _, p := range sum.InProgressDevices {
		d.InProgressDevices = append(d.InProgressDevices, v1alpha1.InProgressDevice{
			DeviceID: p.DeviceID, State: string(p.State), ReceiveTime: *seconds(p.ReceivedAt),
		})
	}
	for _, s := range sum.SuspectDevices {
		d.SuspectDevices = append(d.SuspectDevices, v1alpha1.SuspectDevice{
			DeviceID: s.DeviceID, CurVersion: version(s.CurVersion), TargetVersion: version(s.TargetVersion),
		})
	}
	return d
}

func version(v string) string { return result.Clean(v, maxVersionBytes) }

// maxVersionBytes is how long a version in the details may be.
const maxVersionBytes = 256

// expectedDevices returns how many devices there are: those that the spec names, be it in the task that is created, or,
// where it names none, those that the platform counts, unless more have reported. Known is false where nobody says.
func expectedDevices(
	spec v1alpha1.FirmwareUpgradeSpec, platform *v1alpha1.PlatformStatus, reported int64,
) (expected int64, known bool) {
	listed := int64(len(spec.ListedDevices()))
	switch {
	case listed > 0:
		return listed, true
	case spec.ExpectedDevices != nil:
		return *spec.ExpectedDevices, true
	case platform != nil && platform.Total > 0 && platform.Total >= reported:
		return platform.Total, true
	}
	return 0, false
}

// figures are the platform's; nil where there are none.
func (o *Observation) figures() *v1alpha1.PlatformStatus {
	if o.Platform == nil {
		return nil
	}
	return o.Platform.Figures
}

// shrunk says whether the summary has less than the status already counted. Devices never leave a task, succeeded ones
// stay so and a failure is never forgotten: less can only mean that stored results are gone.
func shrunk(counted v1alpha1.FirmwareUpgradeStatus, sum tally.Summary) bool {
	c := counted.Devices
	return sum.Reported() < c.Succeeded+c.Failed+c.InProgress ||
		sum.Succeeded < c.Succeeded ||
		sum.Failures < c.Failed+c.Recovered
}

func shrunkMessage(counted v1alpha1.FirmwareUpgradeStatus, sum tally.Summary) string {
	c := counted.Devices
	if sum.Reported() >= c.Succeeded+c.Failed+c.InProgress {
		return "results that were counted are not stored any more, and others came since: the counts stand as they were. " +
			"Restore the ResultSlices, or create the FirmwareUpgrade anew to count what is left"
	}
	return fmt.Sprintf("%d devices were counted, but results of only %d are stored: the counts stand as they were. "+
		"Restore the ResultSlices, or create the FirmwareUpgrade anew to count what is left",
		c.Succeeded+c.Failed+c.InProgress, sum.Reported())
}

// announceGrace is how long archiving waits for Events that can't be created.
const announceGrace = 7 * 24 * time.Hour

// archivedMessage says why a spec that was changed after retention is not judged.
const archivedMessage = "the spec was changed after the results were removed by retention, so that it can't be " +
	"judged any more: delete this FirmwareUpgrade"

// seconds converts microseconds since 1970 to a time of the API, which keeps seconds: a finer one would differ from
// itself once stored. It returns nil for 0.
func seconds(micros int64) *metav1.Time {
	if micros == 0 {
		return nil
	}
	return &metav1.Time{Time: time.UnixMicro(micros).UTC().Truncate(time.Second)}
}

// duration returns a duration of the spec, or what the CRD defaults it to.
func duration(field *int64, otherwise time.Duration) time.Duration {
	if field == nil {
		return otherwise
	}
	return time.Duration(*field) * time.Second
}

// What the CRD defaults to, for objects that were stored before a field existed.
const (
	defaultDeadline      = 48 * time.Hour
	defaultQuiet         = 24 * time.Hour
	defaultRetainResults = 30 * 24 * time.Hour
)

// earliest returns the earlier of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
