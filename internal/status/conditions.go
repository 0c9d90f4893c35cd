// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
)

// maxMessageBytes keeps five messages well below the bound of the status.
const maxMessageBytes = 512

// setConditions writes all conditions and the phase from the verdict. Reconciling and Stalled are never both true.
func setConditions(st *v1alpha1.FirmwareUpgradeStatus, generation int64, v verdict, now time.Time) {
	message := v.message(*st)
	set := conditionSetter(st, generation, now)
	degraded := v.policy == policyBroken
	switch {
	case v.ready():
		set(v1alpha1.ConditionReady, true, v.reason, message)
		set(v1alpha1.ConditionReconciling, false, v.reason, "")
		set(v1alpha1.ConditionStalled, false, v.reason, "")
	case v.finished:
		set(v1alpha1.ConditionReady, false, v.reason, message)
		set(v1alpha1.ConditionReconciling, false, v.reason, "")
		set(v1alpha1.ConditionStalled, true, v.reason, message)
	case degraded:
		set(v1alpha1.ConditionReady, false, v1alpha1.ReasonFailurePolicyBroken, message)
		set(v1alpha1.ConditionReconciling, false, v1alpha1.ReasonFailurePolicyBroken, "")
		set(v1alpha1.ConditionStalled, true, v1alpha1.ReasonFailurePolicyBroken, message)
	default:
		set(v1alpha1.ConditionReady, false, progressReason(*st), message)
		set(v1alpha1.ConditionReconciling, true, progressReason(*st), message)
		set(v1alpha1.ConditionStalled, false, progressReason(*st), "")
	}
	if v.finished {
		set(v1alpha1.ConditionFinished, true, v.reason, message)
	} else {
		set(v1alpha1.ConditionFinished, false, progressReason(*st), "")
	}
	set(v1alpha1.ConditionDegraded, degraded, v.policy.reason(), "")
	st.Phase = phaseOf(*st)
}

// setUncounted says that the FirmwareUpgrade can't be counted and why. The counts stand as they were, and so does the
// end, unless the spec of one that is not archived changed. Its deadline runs, so that whoever waits for the end does
// not wait for ever. It returns when the deadline passes; zero if that is no matter any more.
func setUncounted(
	fwu *v1alpha1.FirmwareUpgrade,
	st *v1alpha1.FirmwareUpgradeStatus,
	why claim.Claim,
	now time.Time,
) time.Time {
	set := conditionSetter(st, fwu.Generation, now)
	finished := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionFinished)
	deadline := deadline(fwu, *st)
	var again time.Time
	switch {
	case st.ArchiveTime != nil && finished != nil: // it has ended; what the changed spec would say of that can't be known
		set(v1alpha1.ConditionFinished, true, finished.Reason, finished.Message)
	case finished != nil && finished.Status == metav1.ConditionTrue && finished.ObservedGeneration == fwu.Generation:
	case !now.Before(deadline):
		setEnd(st, true, now)
		set(
			v1alpha1.ConditionFinished,
			true,
			v1alpha1.ReasonDeadlineExceeded,
			"the deadline passed while the upgrade could not be counted: "+why.Message,
		)
	default:
		setEnd(st, false, now)
		set(v1alpha1.ConditionFinished, false, why.Reason, "")
		again = deadline
	}
	if !policyWasBroken(*st, fwu.Generation) {
		set(v1alpha1.ConditionDegraded, false, why.Reason, "")
	}
	set(v1alpha1.ConditionReady, false, why.Reason, why.Message)
	waits := why.Reason == v1alpha1.ReasonPurging // nobody has to act
	set(v1alpha1.ConditionReconciling, waits, why.Reason, "")
	set(v1alpha1.ConditionStalled, !waits, why.Reason, why.Message)
	st.Reason = why.Reason
	st.Phase = phaseOf(*st)
	return again
}

// phaseOf sums the conditions up. It is the only place that knows how.
func phaseOf(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.Phase {
	finished := condition(st, v1alpha1.ConditionFinished)
	switch {
	case finished.Status == metav1.ConditionTrue && finished.Reason == v1alpha1.ReasonDeadlineExceeded:
		return v1alpha1.PhaseFailed
	case finished.Status == metav1.ConditionTrue:
		return v1alpha1.Phase(finished.Reason)
	case st.StartTime == nil:
		return v1alpha1.PhasePending
	default:
		return v1alpha1.PhaseRunning
	}
}

func conditionSetter(
	st *v1alpha1.FirmwareUpgradeStatus,
	generation int64,
	now time.Time,
) func(kind string, is bool, reason, message string) {
	return func(kind string, is bool, reason, message string) {
		status := metav1.ConditionFalse
		if is {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&st.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, ObservedGeneration: generation,
			Message:            result.CutString(message, maxMessageBytes),
			LastTransitionTime: metav1.Time{Time: now},
		})
	}
}

// condition returns a condition of a status, zero where there is none.
func condition(st v1alpha1.FirmwareUpgradeStatus, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(st.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// message is what a person reads first: how far, what went wrong most often, what is missing.
func (v verdict) message(st v1alpha1.FirmwareUpgradeStatus) string {
	c := st.Devices
	text := st.Progress + " devices done"
	if v.finished && v.judged.reported() == 0 {
		text = "no device that is expected has reported before the deadline"
	}
	if c.Failed > 0 {
		text += fmt.Sprintf(", %d failed, most often: %s", c.Failed, st.TopCause)
	}
	if c.InProgress > 0 {
		text += fmt.Sprintf("; %d in progress", c.InProgress)
	}
	switch {
	case c.Pending > 0 && v.finished:
		text += fmt.Sprintf("; %d never reported", c.Pending)
	case c.Pending > 0:
		text += fmt.Sprintf("; %d not yet reported", c.Pending)
	}
	if c.Unexpected > 0 {
		text += fmt.Sprintf("; %d not expected", c.Unexpected)
	}
	if c.Suspect > 0 {
		text += fmt.Sprintf("; %d succeeded with another version than the target", c.Suspect)
	}
	return text
}

// progressReason is why an upgrade has not finished: nothing was reported yet, or something is awaited.
func progressReason(st v1alpha1.FirmwareUpgradeStatus) string {
	if st.StartTime == nil {
		return v1alpha1.ReasonPending
	}
	return v1alpha1.ReasonRunning
}

func (p policyState) reason() string {
	switch p {
	case policyKept:
		return v1alpha1.ReasonWithinPolicy
	case policyBroken:
		return v1alpha1.ReasonFailurePolicyBroken
	default:
		return v1alpha1.ReasonNoFailurePolicy
	}
}
