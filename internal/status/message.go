// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
	"time"

	human "k8s.io/apimachinery/pkg/util/duration"

	"fwupgrade.io/operator/api/v1alpha1"
)

const (
	// maxMessageNames is how many devices of a kind a message names.
	maxMessageNames = 3
	// MaxUndeclared is up to which number undeclared tasks are counted in a message: it changes with each of them.
	MaxUndeclared = 10
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
	var parts []string
	switch {
	case overdue && nothing:
		parts = append(parts, "the deadline passed at "+utc(deadline), v.nothing(st, seen))
	case overdue:
		parts = append(parts, "the deadline passed at "+utc(deadline)+": "+v.judged.missing())
	case nothing:
		parts = append(parts, v.nothing(st, seen))
	}
	parts = append(parts, v.trouble(spec, st))
	switch {
	case nothing:
	case v.finished && v.judged.bad() == 0 && !overdue:
		parts = append(parts, st.Progress+" devices succeeded")
	default:
		parts = append(parts, st.Progress+" devices done")
	}
	parts = append(parts, v.waits(spec))
	parts = append(parts, v.unexpected(spec, st.Devices))
	if overdue {
		parts = append(parts, v.names(st.Details))
	}
	return join(parts)
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
func (v verdict) trouble(spec v1alpha1.FirmwareUpgradeSpec, st v1alpha1.FirmwareUpgradeStatus) string {
	if v.judged.bad() == 0 && v.policy != policyBroken {
		return ""
	}
	text := v.count() + ", " + v.allowance(spec)
	if v.judged.retried > 0 && !v.finished {
		text += fmt.Sprintf("; %d tried again by the platform", v.judged.retried)
	}
	if v.judged.failed > 0 && st.TopCause != "" {
		text += "; most often: " + st.TopCause
	}
	return text
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
			strings.Join(seen.OtherApplications[:min(maxMessageNames, len(seen.OtherApplications))], ", ")
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
func (v verdict) waits(spec v1alpha1.FirmwareUpgradeSpec) string {
	if v.finished {
		return ""
	}
	j := v.judged
	var text string
	_, known := expectedDevices(spec)
	switch awaited := j.pending + j.inProgress; {
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

// unexpected says how many devices are not expected; where these are not judged, also what became of them.
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
		if s.n > 0 && len(spec.Devices) > 0 {
			states = append(states, fmt.Sprintf("%d %s", s.n, s.what))
		}
	}
	text := devices(c.Unexpected) + " not expected"
	if len(states) > 0 {
		text += " (" + strings.Join(states, ", ") + ")"
	}
	return text
}

// names names devices that were awaited: of those in progress, which begin with them.
func (v verdict) names(d v1alpha1.Details) string {
	var inProgress []string
	for _, p := range d.InProgressDevices[:min(int64(len(d.InProgressDevices)), v.judged.inProgress)] {
		inProgress = append(inProgress, p.DeviceID)
	}
	return join([]string{some("missing", d.MissingDevices), some("in progress", inProgress)})
}

// some names the first few of some devices.
func some(what string, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	text := what + ": " + strings.Join(ids[:min(maxMessageNames, len(ids))], ", ")
	if len(ids) > maxMessageNames {
		text += ", …"
	}
	return text
}

// join joins the parts that are not empty.
func join(parts []string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, "; ")
}

// utc writes a time as people and programs read it.
func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// span writes a duration shortly: "24h".
func span(d time.Duration) string { return human.HumanDuration(d) }
