// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// Reasons of Events about a FirmwareUpgrade; where a condition has the same reason, it has the same word.
const (
	// EventStarted says that the first device reported.
	EventStarted = "Started"
	// EventDeviceFailed names one device that failed.
	EventDeviceFailed = "DeviceFailed"
	// EventDevicesFailed is a digest of devices that failed for the same cause.
	EventDevicesFailed = "DevicesFailed"
	// EventDevicesRecovered counts devices that failed first and succeeded in the end.
	EventDevicesRecovered = "DevicesRecovered"
	// EventDegraded says that the failure policy is broken.
	EventDegraded = "Degraded"
	// EventFinished says how the upgrade ended.
	EventFinished = "Finished"
	// EventDeadlineExceeded says that the deadline passed while devices were pending or in progress.
	EventDeadlineExceeded = "DeadlineExceeded"
	// EventVersionSuspect says that devices succeeded with another version than the target.
	EventVersionSuspect = "VersionSuspect"
	// EventPlaceholderCreated says that the operator made the FirmwareUpgrade for a task that nobody declared.
	EventPlaceholderCreated = "PlaceholderCreated"
)

const (
	// maxSingleFailures is how many new failures are announced by an Event a device; more become digests.
	maxSingleFailures = 5
	// digestDistance is how far apart announcements of failures are, unless the upgrade finished meanwhile.
	digestDistance = 30 * time.Second
	// promptFailures is how many failures of an upgrade are announced without that distance.
	promptFailures = 10
	// maxDigests is how many causes get a digest of their own; the rest share one.
	maxDigests = 10
	// maxEventSamples is how many devices an Event names.
	maxEventSamples = 3
	// maxNoteBytes is half of what the API allows, so that a full outbox stays small.
	maxNoteBytes = 512
)

// failureLog is what planEvents reads of the tally: the devices that ever failed, in the order in which that became
// known. A position in it says which are announced.
type failureLog interface {
	// FailuresFrom returns at most limit failures from the position on.
	FailuresFrom(task upgrade.Task, from int64, limit int) []upgrade.Failure
	// DigestFailures groups all failures from the position on by cause.
	DigestFailures(task upgrade.Task, from int64, samples int) []upgrade.FailureGroup
}

// planEvents returns the next outbox: what the previous one held has been delivered and is counted as announced; what
// the step from the previous to the next status tells is put in. It also returns when failures that have to keep
// their distance are due; zero if none are. It is pure but for reading the log.
func planEvents(fwu *v1alpha1.FirmwareUpgrade, next v1alpha1.FirmwareUpgradeStatus, seen observation, log failureLog) (v1alpha1.EventsStatus, time.Time) {
	prev, now := fwu.Status, seen.now
	box := prev.Events
	for _, p := range box.Pending {
		box.Announced += p.Failures
	}
	box.Pending = nil
	add := func(kind, reason, note string) {
		box.Pending = append(box.Pending, pending(kind, reason, note, now))
	}
	if prev.Phase == "" && seen.placeholder {
		add(corev1.EventTypeNormal, EventPlaceholderCreated, "Nobody declared this task: apply a FirmwareUpgrade with operationId "+
			fwu.Spec.OperationID+" to declare it, or edit this one's spec")
	}
	if prev.StartTime == nil && next.StartTime != nil {
		add(corev1.EventTypeNormal, EventStarted, "The first device has reported")
	}
	ends := became(prev, next, v1alpha1.ConditionFinished)
	due := planFailures(&box, ends, seen, log)
	planTransitions(fwu, next, add)
	box.Sequence += int64(len(box.Pending))
	return fitOutbox(box), due
}

// planFailures announces the failures beyond the position in the log, all of them at once when the upgrade ends.
func planFailures(box *v1alpha1.EventsStatus, ends bool, seen observation, log failureLog) (due time.Time) {
	task, now := seen.task, seen.now
	fresh := seen.summary.Failures - box.Announced
	if fresh <= 0 {
		return time.Time{}
	}
	if box.Announced >= promptFailures && box.LastFailuresTime != nil && !ends {
		if due := box.LastFailuresTime.Add(digestDistance); now.Before(due) {
			return due
		}
	}
	box.LastFailuresTime = &metav1.Time{Time: now}
	if fresh <= maxSingleFailures {
		for _, f := range log.FailuresFrom(task, box.Announced, maxSingleFailures) {
			box.Pending = append(box.Pending, singleFailure(f, now))
		}
		return time.Time{}
	}
	for _, g := range atMost(log.DigestFailures(task, box.Announced, maxEventSamples), maxDigests) {
		box.Pending = append(box.Pending, digest(g, now))
	}
	return time.Time{}
}

// planTransitions announces what changed between the previous and the next status.
func planTransitions(fwu *v1alpha1.FirmwareUpgrade, next v1alpha1.FirmwareUpgradeStatus, add func(kind, reason, note string)) {
	prev := fwu.Status
	if became(prev, next, v1alpha1.ConditionDegraded) {
		add(corev1.EventTypeWarning, EventDegraded, "The failure policy is broken: "+condition(next, v1alpha1.ConditionReady).Message)
	}
	if next.Devices.Suspect > 0 && prev.Devices.Suspect == 0 {
		add(corev1.EventTypeWarning, EventVersionSuspect,
			devices(next.Devices.Suspect)+" succeeded with another version than the target: check what they run")
	}
	if became(prev, next, v1alpha1.ConditionFinished) {
		planFinish(next, add)
	}
	if c := condition(next, v1alpha1.ConditionStalled); c.Status == metav1.ConditionTrue && isConfiguration(c.Reason) &&
		condition(prev, v1alpha1.ConditionStalled).Reason != c.Reason {
		add(corev1.EventTypeWarning, c.Reason, c.Message)
	}
}

func planFinish(next v1alpha1.FirmwareUpgradeStatus, add func(kind, reason, note string)) {
	if next.Devices.Recovered > 0 {
		add(corev1.EventTypeNormal, EventDevicesRecovered, devices(next.Devices.Recovered)+" failed first and succeeded in the end")
	}
	kind := corev1.EventTypeNormal
	if condition(next, v1alpha1.ConditionReady).Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	finished := condition(next, v1alpha1.ConditionFinished)
	reason := EventFinished
	if finished.Reason == v1alpha1.ReasonDeadlineExceeded {
		reason = EventDeadlineExceeded
	}
	add(kind, reason, finished.Reason+": "+finished.Message)
}

// isConfiguration says whether a reason of Stalled is told by an Event of its own.
func isConfiguration(reason string) bool {
	switch reason {
	case v1alpha1.ReasonDuplicateOperation, v1alpha1.ReasonAmbiguousOperation,
		v1alpha1.ReasonNotPermitted, v1alpha1.ReasonResultsIncomplete, v1alpha1.ReasonResultsArchived:
		return true
	}
	return false
}

func pending(kind, reason, note string, now time.Time) v1alpha1.PendingEvent {
	return v1alpha1.PendingEvent{
		Type: kind, Reason: reason, Note: upgrade.CutString(note, maxNoteBytes), Time: metav1.NewMicroTime(now),
	}
}

func singleFailure(f upgrade.Failure, now time.Time) v1alpha1.PendingEvent {
	note := "Device " + f.DeviceID + " failed: " + f.Reason
	if f.CurVersion != "" {
		note += " (version " + f.CurVersion + ")"
	}
	if f.Recovered {
		note = "Device " + f.DeviceID + " failed and has succeeded since"
	}
	e := pending(corev1.EventTypeWarning, EventDeviceFailed, note, now)
	e.Failures, e.Devices, e.Cause = 1, []string{f.DeviceID}, cmp.Or(f.Reason, upgrade.ReasonRecovered)
	return e
}

func digest(g upgrade.FailureGroup, now time.Time) v1alpha1.PendingEvent {
	examples := "for example "
	if g.Count == int64(len(g.Devices)) {
		examples = "namely "
	}
	note := devices(g.Count) + " failed: " + g.Reason + "; " + examples + strings.Join(g.Devices, ", ")
	e := pending(corev1.EventTypeWarning, EventDevicesFailed, note, now)
	e.Failures, e.Devices, e.Cause = g.Count, g.Devices, g.Reason
	return e
}

func devices(n int64) string {
	if n == 1 {
		return "1 device"
	}
	return fmt.Sprintf("%d devices", n)
}

// atMost adds the groups beyond the limit up to one, so that no failure goes uncounted.
func atMost(groups []upgrade.FailureGroup, limit int) []upgrade.FailureGroup {
	if len(groups) <= limit {
		return groups
	}
	rest := upgrade.FailureGroup{Reason: upgrade.ReasonOther}
	for _, g := range groups[limit:] {
		rest.Count += g.Count
		if len(rest.Devices) < maxEventSamples {
			rest.Devices = append(rest.Devices, g.Devices[:min(1, len(g.Devices))]...)
		}
	}
	return append(groups[:limit:limit], rest)
}

func became(prev, next v1alpha1.FirmwareUpgradeStatus, kind string) bool {
	return condition(next, kind).Status == metav1.ConditionTrue && condition(prev, kind).Status != metav1.ConditionTrue
}

func condition(st v1alpha1.FirmwareUpgradeStatus, kind string) metav1.Condition {
	for _, c := range st.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}
