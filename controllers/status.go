// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// observation is what a status is computed from, beside the object itself.
type observation struct {
	// claim says whether the FirmwareUpgrade has the task.
	claim claim
	// task is the task it has; zero where it has none.
	task upgrade.Task
	// summary is what the results of the task add up to; zero where there are none.
	summary upgrade.Summary
	// placeholder says whether the FirmwareUpgrade is the operator's own.
	placeholder bool
	// now is the time of the observation.
	now time.Time
}

// computeStatus returns the status that follows from the spec, the previous status and what was observed, and when it
// is to be computed again although nothing arrives; zero if never. It is pure. The outbox is not its job: see
// planEvents.
//
//  1. An archived status stands for ever; a spec that changed after that can't be judged any more.
//  2. Without the task, or with fewer results than were counted, the counts stand and the conditions say why.
//  3. Otherwise the counts follow from the summary, the end from the counts and the conditions from both.
func computeStatus(fwu *v1alpha1.FirmwareUpgrade, seen observation) (v1alpha1.FirmwareUpgradeStatus, time.Time) {
	next := *fwu.Status.DeepCopy()
	next.ObservedGeneration = fwu.Generation
	specChanged := fwu.Status.ObservedGeneration != fwu.Generation
	switch {
	case next.ArchivedAt != nil && specChanged:
		setUncounted(&next, fwu.Generation, v1alpha1.ReasonResultsArchived, archivedMessage, seen.now)
		return next, time.Time{}
	case next.ArchivedAt != nil:
		return next, time.Time{}
	case !seen.claim.holds():
		setUncounted(&next, fwu.Generation, seen.claim.reason, seen.claim.message, seen.now)
		return next, time.Time{}
	case shrunk(fwu.Status, seen.summary):
		setUncounted(&next, fwu.Generation, v1alpha1.ReasonResultsIncomplete, shrunkMessage(fwu.Status, seen.summary), seen.now)
		return next, time.Time{}
	}
	setCounts(&next, fwu.Spec, seen.summary)
	verdict := judge(fwu, next, seen, specChanged)
	switch {
	case !verdict.finished:
		next.CompletionTime = nil
	case next.CompletionTime == nil:
		next.CompletionTime = &metav1.Time{Time: seen.now}
	}
	setConditions(&next, fwu.Generation, verdict, seen.now)
	if due := archiveDue(fwu.Spec, next); !due.IsZero() {
		if !seen.now.Before(due) {
			next.ArchivedAt = &metav1.Time{Time: seen.now}
			return fit(next), time.Time{}
		}
		return fit(next), due
	}
	return fit(next), verdict.again
}

// setCounts writes everything that follows from the results alone.
func setCounts(next *v1alpha1.FirmwareUpgradeStatus, spec v1alpha1.FirmwareUpgradeSpec, sum upgrade.Summary) {
	next.StartTime, next.LastResultTime = microTime(sum.FirstReceivedAt), microTime(sum.LastReceivedAt)
	next.Devices = deviceCounts(spec, sum)
	next.Reasons, next.FailedDevices, next.MissingDevices = sum.Reasons, sum.FailedDevices, sum.Missing
	next.Reason = ""
	if len(next.Reasons) > 0 {
		next.Reason = next.Reasons[0].Reason
	}
	of := "?"
	if expected, known := expectedDevices(spec); known {
		of = fmt.Sprint(expected)
	}
	next.Progress = fmt.Sprintf("%d/%s", sum.Succeeded+sum.Failed, of)
}

// deviceCounts keeps expected + unexpected = succeeded + failed + inProgress + pending.
func deviceCounts(spec v1alpha1.FirmwareUpgradeSpec, sum upgrade.Summary) v1alpha1.DeviceCounts {
	c := v1alpha1.DeviceCounts{
		Succeeded: sum.Succeeded, Failed: sum.Failed, InProgress: sum.InProgress,
		Suspect: sum.Suspect, Recovered: sum.Recovered,
	}
	reported := sum.Reported()
	expected, known := expectedDevices(spec)
	switch {
	case len(spec.Devices) > 0:
		c.Expected, c.Pending, c.Unexpected = expected, expected-sum.Known, reported-sum.Known
	case known:
		c.Expected, c.Pending, c.Unexpected = expected, max(0, expected-reported), max(0, reported-expected)
	default:
		c.Expected = reported
	}
	return c
}

// expectedDevices returns how many devices the spec names; known is false where it names none.
func expectedDevices(spec v1alpha1.FirmwareUpgradeSpec) (expected int64, known bool) {
	if len(spec.Devices) > 0 {
		distinct := make(map[string]struct{}, len(spec.Devices))
		for _, d := range spec.Devices {
			distinct[d] = struct{}{}
		}
		return int64(len(distinct)), true
	}
	if spec.ExpectedDevices != nil {
		return *spec.ExpectedDevices, true
	}
	return 0, false
}

// shrunk says whether the summary has less than the status already counted. Devices never leave a task, succeeded ones
// stay so and a failure is never forgotten: less can only mean that stored results are gone or not yet read.
func shrunk(counted v1alpha1.FirmwareUpgradeStatus, sum upgrade.Summary) bool {
	c := counted.Devices
	return sum.Reported() < c.Succeeded+c.Failed+c.InProgress ||
		sum.Succeeded < c.Succeeded ||
		sum.Failures < c.Failed+c.Recovered
}

func shrunkMessage(counted v1alpha1.FirmwareUpgradeStatus, sum upgrade.Summary) string {
	c := counted.Devices
	return fmt.Sprintf("%d devices were counted, but results of only %d are stored: the counts stand as they were. "+
		"Restore the FirmwareUpgradeResultSlices, or create the FirmwareUpgrade anew to count what is left",
		c.Succeeded+c.Failed+c.InProgress, sum.Reported())
}

// archiveDue returns when the results may be removed; zero while the upgrade has not finished.
func archiveDue(spec v1alpha1.FirmwareUpgradeSpec, st v1alpha1.FirmwareUpgradeStatus) time.Time {
	if st.CompletionTime == nil {
		return time.Time{}
	}
	return st.CompletionTime.Add(seconds(spec.RetainResultsSeconds, defaultRetainResults))
}

// archivedMessage says why a spec that was changed after retention is not judged.
const archivedMessage = "the spec was changed after the results were removed by retention, so that it can't be judged any more: " +
	"delete this FirmwareUpgrade"

// microTime converts microseconds since 1970 to a time of the API; nil for 0.
func microTime(micros int64) *metav1.Time {
	if micros == 0 {
		return nil
	}
	return &metav1.Time{Time: time.UnixMicro(micros).UTC().Truncate(time.Second)}
}

// seconds returns a duration of the spec, or what the CRD defaults it to.
func seconds(field *int64, otherwise time.Duration) time.Duration {
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
