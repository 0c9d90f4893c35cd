// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	human "k8s.io/apimachinery/pkg/util/duration"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

const (
	// maxMessageNames is how many devices of a kind a message names.
	maxMessageNames = 3
	// maxCauseBytes is how much of the text of a cause a message shows.
	maxCauseBytes = 96
	// MaxUndeclared is up to which number undeclared tasks are counted in a message: it changes with each of them.
	MaxUndeclared = 10
)

// part is a part of a message. Where there is no room for all of them, the optional ones are left out first, then those
// that tell progress.
type part struct {
	text string
	rank rank
}

// rank is how much a part of a message is needed.
type rank int

const (
	needed rank = iota
	progress
	optional
)

// message is one sentence that a person on call can act on, the most important first: what went wrong and what the
// policy allows, how far it got, what it waits for and until when. It moves with the status, not with time.
func (v verdict) message(
	spec v1alpha1.FirmwareUpgradeSpec, st v1alpha1.FirmwareUpgradeStatus, seen Observation,
) string {
	nothing, deadline := v.judged.reported() == 0, v.deadline
	if ended := st.CompletionTime; ended != nil && ended.Time.Before(deadline) {
		deadline = ended.Time // a first result that came after the end would move it
	}
	overdue := v.finished && v.reason == v1alpha1.ReasonDeadlineExceeded
	unexpected := part{text: v.unexpected(spec, st.Devices)}
	var parts []part
	if v.isUnread() {
		parts = append(parts, part{text: "ResultSlice " + v.unreadable + " may have results of this task that this version " +
			"of the operator can't read: run the version that wrote them"})
	}
	if v.synced.drifts() || v.synced.repairs() || nothing && v.synced.reason == v1alpha1.ReasonTaskUnknown {
		parts = append(parts, part{text: v.synced.message})
	}
	switch {
	case overdue && nothing:
		parts = append(parts, part{text: "the deadline passed at " + utc(deadline)}, part{text: v.nothing(st, seen)})
	case overdue:
		parts = append(parts, part{text: "the deadline passed at " + utc(deadline) + ": " + v.judged.missing()})
	case nothing:
		parts = append(parts, part{text: v.nothing(st, seen)})
	case v.finished && v.reason == v1alpha1.ReasonUnexpectedDevices:
		parts, unexpected = append(parts, unexpected), part{}
	}
	parts = append(parts, v.trouble(spec, st)...)
	parts = append(parts, v.done(st, overdue), part{v.waits(), progress}, unexpected, part{text: seen.Claim.Message})
	if overdue {
		parts = append(parts, v.names(st.Details)...)
	}
	return join(parts)
}

// done says how far it got.
func (v verdict) done(st v1alpha1.FirmwareUpgradeStatus, overdue bool) part {
	switch {
	case v.judged.reported() == 0:
		return part{}
	case v.finished && v.judged.bad() == 0 && !overdue:
		return part{st.Progress + " devices succeeded", progress}
	default:
		return part{st.Progress + " devices done", progress}
	}
}

// policyMessage says what the failure policy allows, and how many devices count against it where it is broken.
func (v verdict) policyMessage(spec v1alpha1.FirmwareUpgradeSpec) string {
	switch v.policy {
	case policyNone:
		return ""
	case policyBroken:
		return v.count() + ", " + v.allowance(spec)
	default:
		return v.allowance(spec)
	}
}

// trouble says how many devices are bad, and what the policy allows; empty where nothing is wrong.
func (v verdict) trouble(spec v1alpha1.FirmwareUpgradeSpec, st v1alpha1.FirmwareUpgradeStatus) []part {
	if v.judged.bad() == 0 && v.policy != policyBroken {
		return nil
	}
	parts := []part{{text: v.count() + ", " + v.allowance(spec)}}
	if v.judged.retried > 0 && !v.finished {
		parts = append(parts, part{fmt.Sprintf("%d tried again by the platform", v.judged.retried), optional})
	}
	if v.judged.failed > 0 && st.TopCause != "" {
		parts = append(parts, part{"most often: " + result.Shorten(st.TopCause, maxCauseBytes), optional})
	}
	return parts
}

// count says how many devices are bad: "5 of 23 failed and 1 has another version than the target".
func (v verdict) count() string {
	j := v.judged
	failed := fmt.Sprintf("%d of %d failed", j.failed, j.decided())
	switch {
	case j.suspect == 0:
		return failed
	case j.failed == 0:
		return fmt.Sprintf("%d of %d succeeded with another version than the target", j.suspect, j.decided())
	default:
		return fmt.Sprintf("%s and %d succeeded with another version than the target", failed, j.suspect)
	}
}

// allowance says what the policy allows, and whether it was broken before.
func (v verdict) allowance(spec v1alpha1.FirmwareUpgradeSpec) string {
	text := allowance(spec.FailurePolicy, v.judged, v.finished)
	if v.policy == policyBroken && judgePolicy(spec.FailurePolicy, v.judged, v.finished) != policyBroken {
		text += ", but it was broken before and stays so until the spec changes"
	}
	return text
}

// nothing says that no result came, and what else did.
func (v verdict) nothing(st v1alpha1.FirmwareUpgradeStatus, seen Observation) string {
	const text = "no result of this operationId yet"
	switch {
	case st.Devices.Unexpected > 0:
		return "none of spec.devices has reported"
	case len(seen.OtherApplications) > 0:
		return text + " from the application of spec.appId, but from " +
			strings.Join(names(seen.OtherApplications), ", ")
	case seen.Undeclared == 1:
		return text + "; 1 undeclared task has results (kubectl get fwu -A: undeclared-…)"
	case seen.Undeclared > MaxUndeclared:
		return fmt.Sprintf("%s; more than %d undeclared tasks have results (kubectl get fwu -A: undeclared-…)",
			text, MaxUndeclared)
	case seen.Undeclared > 0:
		return fmt.Sprintf("%s; %d undeclared tasks have results (kubectl get fwu -A: undeclared-…)", text, seen.Undeclared)
	}
	return text
}

// waits says what an upgrade waits for and until when; empty where it has finished.
func (v verdict) waits() string {
	if v.finished {
		return ""
	}
	j := v.judged
	var text string
	known := j.expected > 0
	switch awaited := j.pending + j.inProgress; {
	case v.compares && v.synced.unfinished > 0 && v.synced.differ == 0:
		text = "waits for " + devices(v.synced.unfinished) + " that the platform still has to upgrade"
	case v.compares:
		text = "waits to be compared with the platform's figures"
	case v.wait > 0 && j.retried > 0:
		text = "waits for " + devices(j.retried) + " tried again, until nothing has come for " + span(v.wait)
	case v.wait > 0 && known:
		text = "waits for retries until nothing has come for " + span(v.wait)
	case v.wait > 0:
		text = "waits until nothing has come for " + span(v.wait)
	case awaited > 0:
		text = fmt.Sprintf("waits for %s (%d in progress)", devices(awaited), j.inProgress)
	default:
		text = "waits for the first result"
	}
	return text + ", at the latest until " + utc(v.deadline)
}

// unexpected says how many devices are not expected: where these are not judged, also what became of them, and where
// nobody knows which they are, what to do about that.
func (v verdict) unexpected(spec v1alpha1.FirmwareUpgradeSpec, c v1alpha1.DeviceCounts) string {
	if c.Unexpected == 0 {
		return ""
	}
	var states []string
	for _, s := range []struct {
		n    int64
		what string
	}{
		{c.Failed - v.judged.failed, "failed"},
		{c.Suspect - v.judged.suspect, "suspect"},
		{c.InProgress - v.judged.inProgress, "in progress"},
	} {
		if s.n > 0 && len(spec.ListedDevices()) > 0 {
			states = append(states, fmt.Sprintf("%d %s", s.n, s.what))
		}
	}
	text := devices(c.Unexpected) + " not expected"
	switch {
	case v.judged.unexpected > 0:
		text += ": correct spec.expectedDevices, or name the devices in spec.devices"
	case len(states) > 0:
		text += " (" + strings.Join(states, ", ") + ")"
	}
	return text
}

// names names devices that were awaited: of those in progress, which begin with them.
func (v verdict) names(d v1alpha1.Details) []part {
	var inProgress []string
	for _, p := range d.InProgressDevices[:min(int64(len(d.InProgressDevices)), v.judged.inProgress)] {
		inProgress = append(inProgress, p.DeviceID)
	}
	return []part{{some("missing", d.MissingDevices), optional}, {some("in progress", inProgress), optional}}
}

// some names the first few of some devices.
func some(what string, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	text := what + ": " + strings.Join(names(ids), ", ")
	if len(ids) > maxMessageNames {
		text += ", …"
	}
	return text
}

// names are the first few ids, as a message may show them.
func names(ids []string) []string {
	var shown []string
	for _, id := range ids[:min(maxMessageNames, len(ids))] {
		shown = append(shown, result.ShortName(id))
	}
	return shown
}

// join joins the parts that are not empty, and for which there is room: none is cut, and those that are needed go
// first.
func join(parts []part) string {
	const between = "; "
	left := maxMessageBytes + len(between)
	said := make([]string, len(parts))
	for of := needed; of <= optional; of++ {
		for i, p := range parts {
			if bytes := len(p.text) + len(between); p.text != "" && p.rank == of && bytes <= left {
				said[i], left = p.text, left-bytes
			}
		}
	}
	return strings.Join(slices.DeleteFunc(said, func(s string) bool { return s == "" }), between)
}

// utc writes a time as people and programs read it.
func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// span writes a duration shortly: "24h".
func span(d time.Duration) string { return human.HumanDuration(d) }
