// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
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
	// EventOutcomeChanged says that late results, or a changed spec, turned a bad end into a good one or the other way
	// around.
	EventOutcomeChanged = "OutcomeChanged"
	// EventVersionSuspect says that devices succeeded with another version than the target.
	EventVersionSuspect = "VersionSuspect"
	// EventResultsRepaired says that results had to be asked for, and that the counts equal the platform's figures since.
	EventResultsRepaired = "ResultsRepaired"
	// EventTaskCreated says that the platform created the task of spec.task, EventTaskAdopted that it had one like it.
	EventTaskCreated = "TaskCreated"
	EventTaskAdopted = "TaskAdopted"
	// EventPlaceholderCreated says that the operator made the FirmwareUpgrade for a task that nobody declared.
	EventPlaceholderCreated = "PlaceholderCreated"
)

const (
	// maxEventSamples is how many devices an Event names.
	maxEventSamples = 3
	// maxNoteBytes is well below what the API allows, so that a full outbox stays small. A message of a condition fits in,
	// with the words before it; what a device reported may not, and is shortened.
	maxNoteBytes = maxMessageBytes + 128
	// maxExampleBytes is how much a digest shows of what one of its devices reported.
	maxExampleBytes = 160
)

func normal(reason, note string) v1alpha1.OutboxEvent {
	return v1alpha1.OutboxEvent{Type: corev1.EventTypeNormal, Reason: reason, Note: result.Shorten(note, maxNoteBytes)}
}

func warning(reason, note string) v1alpha1.OutboxEvent {
	e := normal(reason, note)
	e.Type = corev1.EventTypeWarning
	return e
}

func placeholderCreated(fwu *v1alpha1.FirmwareUpgrade) v1alpha1.OutboxEvent {
	return normal(EventPlaceholderCreated, "Nobody declared this task: apply a FirmwareUpgrade with operationId "+
		fwu.OperationID()+", or set spec.placeholder of this one to false")
}

func started() v1alpha1.OutboxEvent { return normal(EventStarted, "The first device has reported") }

func degraded(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.OutboxEvent {
	return warning(EventDegraded, "The failure policy is broken: "+condition(st, v1alpha1.ConditionDegraded).Message)
}

// versionSuspect tells how many devices are suspect, and names the first of them with their versions.
func versionSuspect(spec v1alpha1.FirmwareUpgradeSpec, st v1alpha1.FirmwareUpgradeStatus) v1alpha1.OutboxEvent {
	const advice = "; check what they run"
	wanted := cmp.Or(result.ShortName(spec.TargetVersion), "the target")
	note, before := devices(st.Devices.Suspect)+" succeeded with another version than "+wanted, ": "
	for _, d := range st.Details.SuspectDevices[:min(maxEventSamples, len(st.Details.SuspectDevices))] {
		example := before + suspectDevice(d)
		if len(note)+len(example)+len(advice) > maxNoteBytes {
			break
		}
		note, before = note+example, ", "
	}
	return warning(EventVersionSuspect, note+advice)
}

// suspectDevice names a device with its versions: "d1 (has 1.5, was to get 1.6)".
func suspectDevice(d v1alpha1.SuspectDevice) string {
	var parts []string
	if d.CurVersion != "" {
		parts = append(parts, "has "+result.ShortName(d.CurVersion))
	}
	if d.TargetVersion != "" {
		parts = append(parts, "was to get "+result.ShortName(d.TargetVersion))
	}
	return result.ShortName(d.DeviceID) + " (" + strings.Join(parts, ", ") + ")"
}

func devicesRecovered(recovered int64) v1alpha1.OutboxEvent {
	return normal(EventDevicesRecovered, devices(recovered)+" failed first and succeeded in the end")
}

// resultsRepaired tells how many results no push brought.
func resultsRepaired(n int64) v1alpha1.OutboxEvent {
	return normal(EventResultsRepaired, results(n)+" had to be asked for, as no push brought them; the counts equal the "+
		"platform's figures now")
}

// end tells an end: a Warning unless it is a good one.
func end(finished metav1.Condition, ready bool) v1alpha1.OutboxEvent {
	reason := EventFinished
	if finished.Reason == v1alpha1.ReasonDeadlineExceeded {
		reason = EventDeadlineExceeded
	}
	e := warning(reason, finished.Reason+": "+finished.Message)
	if ready {
		e.Type = corev1.EventTypeNormal
	}
	return e
}

// outcomeChanged tells that Ready turned around after the end.
func outcomeChanged(finished metav1.Condition, ready bool) v1alpha1.OutboxEvent {
	e := end(finished, ready)
	e.Reason = EventOutcomeChanged
	e.Note = result.Shorten("Ready is now "+map[bool]string{true: "True", false: "False"}[ready]+": "+e.Note, maxNoteBytes)
	return e
}

// isConfiguration says whether a reason of Stalled is told by an Event of its own.
func isConfiguration(reason string) bool {
	switch reason {
	case v1alpha1.ReasonDuplicateOperation, v1alpha1.ReasonAmbiguousOperation,
		v1alpha1.ReasonNotPermitted, v1alpha1.ReasonResultsIncomplete, v1alpha1.ReasonResultsArchived,
		v1alpha1.ReasonPurgeBlocked, v1alpha1.ReasonTaskUnknown, v1alpha1.ReasonDrift,
		v1alpha1.ReasonTaskRefused, v1alpha1.ReasonTaskExists, v1alpha1.ReasonCreationExpired,
		v1alpha1.ReasonCreationUncertain, v1alpha1.ReasonApplicationNotFound:
		return true
	}
	return false
}

// failures returns the Events about the failures from a position of the log on: an Event a device for few, digests for
// many. There are so many that were not announced.
func failures(log FailureLog, task result.Task, from, unannounced int64) []v1alpha1.OutboxEvent {
	var events []v1alpha1.OutboxEvent
	if unannounced <= maxSingleFailures {
		for _, f := range log.FailuresFrom(task, from, maxSingleFailures) {
			events = append(events, singleFailure(f))
		}
		return events
	}
	for _, g := range atMost(log.DigestFailures(task, from, maxEventSamples), maxDigests) {
		events = append(events, digest(g))
	}
	return events
}

func singleFailure(f tally.Failure) v1alpha1.OutboxEvent {
	version := ""
	if f.CurVersion != "" {
		version = " (version " + result.ShortName(f.CurVersion) + ")"
	}
	note := deviceFailed(f.DeviceID, cmp.Or(f.Text, f.Cause), version)
	if f.Recovered {
		note = "Device " + result.ShortName(f.DeviceID) + " failed and has succeeded since"
	}
	e := warning(EventDeviceFailed, note)
	e.Failures, e.Devices, e.Cause = 1, []string{f.DeviceID}, cmp.Or(f.Cause, tally.CauseRecovered)
	return e
}

// deviceFailed says what a device reported, as much of it as there is room for.
func deviceFailed(id, text, version string) string {
	note := "Device " + result.ShortName(id) + " failed: "
	return note + result.Shorten(text, maxNoteBytes-len(note)-len(version)) + version
}

// digest announces devices that failed for the same cause; one alone as if it were announced alone.
func digest(g tally.FailureGroup) v1alpha1.OutboxEvent {
	var e v1alpha1.OutboxEvent
	switch {
	case g.Count == 1 && len(g.Devices) == 1 && g.Cause != tally.CauseRecovered:
		e = warning(EventDeviceFailed, deviceFailed(g.Devices[0], cmp.Or(g.Example, g.Cause), ""))
	default:
		examples := "for example "
		if g.Count == int64(len(g.Devices)) {
			examples = "namely "
		}
		why := " failed: " + result.Shorten(g.Cause, maxCauseBytes)
		if g.Cause == tally.CauseRecovered {
			why = " failed, and succeeded since"
		}
		note := devices(g.Count) + why + "; " + examples + strings.Join(names(g.Devices), ", ")
		if g.Example != "" {
			note += "; the first one reported: " + result.Shorten(g.Example, maxExampleBytes)
		}
		e = warning(EventDevicesFailed, note)
	}
	e.Failures, e.Devices, e.Cause = g.Count, g.Devices, g.Cause
	return e
}

func results(n int64) string {
	if n == 1 {
		return "1 result"
	}
	return fmt.Sprintf("%d results", n)
}

func devices(n int64) string {
	if n == 1 {
		return "1 device"
	}
	return fmt.Sprintf("%d devices", n)
}

// atMost adds the groups beyond the limit up to one, so that no failure goes uncounted.
func atMost(groups []tally.FailureGroup, limit int) []tally.FailureGroup {
	if len(groups) <= limit {
		return groups
	}
	rest := tally.FailureGroup{Cause: tally.CauseOther}
	for _, g := range groups[limit:] {
		rest.Count += g.Count
		if len(rest.Devices) < maxEventSamples {
			rest.Devices = append(rest.Devices, g.Devices[:min(1, len(g.Devices))]...)
		}
	}
	return append(groups[:limit:limit], rest)
}
