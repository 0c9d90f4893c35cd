// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
)

// maxMessageBytes keeps five messages well below the bound of the status.
const maxMessageBytes = 512

// setConditions writes all conditions and the phase from the verdict. Reconciling and Stalled are never both true, and
// Reconciling is true exactly while it is right to wait.
func setConditions(
	fwu *v1alpha1.FirmwareUpgrade,
	st *v1alpha1.FirmwareUpgradeStatus,
	v verdict,
	seen Observation,
) {
	message := v.message(fwu.Spec, *st, seen)
	set := conditionSetter(st, fwu.Generation, seen.Now)
	degraded := v.policy == policyBroken
	repairs := v.repairs()
	switch {
	case repairs && !seen.Now.Before(v.deadline): // it is not right to wait for ever
		set(v1alpha1.ConditionReady, false, v.synced.reason, message)
		set(v1alpha1.ConditionReconciling, false, v.synced.reason, "")
		set(v1alpha1.ConditionStalled, true, v.synced.reason, message)
	case v.synced.drifts(), v.taskUnknown:
		set(v1alpha1.ConditionReady, false, v.synced.reason, message)
		set(v1alpha1.ConditionReconciling, false, v.synced.reason, "")
		set(v1alpha1.ConditionStalled, true, v.synced.reason, message)
	case repairs:
		set(v1alpha1.ConditionReady, false, v.synced.reason, message)
		set(v1alpha1.ConditionReconciling, true, v.synced.reason, message)
		set(v1alpha1.ConditionStalled, false, v.synced.reason, "")
	case v.ready():
		set(v1alpha1.ConditionReady, true, v.reason, message)
		set(v1alpha1.ConditionReconciling, false, v.reason, "")
		set(v1alpha1.ConditionStalled, false, v.reason, "")
	case v.isUnread():
		set(v1alpha1.ConditionReady, false, v1alpha1.ReasonResultsIncomplete, message)
		set(v1alpha1.ConditionReconciling, false, v1alpha1.ReasonResultsIncomplete, "")
		set(v1alpha1.ConditionStalled, true, v1alpha1.ReasonResultsIncomplete, message)
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
	set(v1alpha1.ConditionDegraded, degraded, v.policy.reason(), v.policyMessage(fwu.Spec))
	setSynced(fwu, st, v.synced, seen.Platform, seen.Now)
	st.Phase = phaseOf(*st)
}

// setUncounted says that the FirmwareUpgrade can't be counted and why. The counts stand as they were, and so does the
// end, unless the spec of one that is not archived changed. Its deadline runs, so that whoever waits for the end does
// not wait for ever. It returns when that is to be looked at again: at the deadline, or when a rival that may be about
// to go has had its time; zero if never.
func setUncounted(
	fwu *v1alpha1.FirmwareUpgrade,
	st *v1alpha1.FirmwareUpgradeStatus,
	why claim.Claim,
	now time.Time,
) time.Time {
	set := conditionSetter(st, fwu.Generation, now)
	finished := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionFinished)
	deadline := Deadline(fwu, *st)
	again := time.Time{}
	if now.Before(why.Until) {
		again = why.Until
	}
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
		again = earliest(again, deadline)
	}
	if !policyWasBroken(*st, fwu.Generation) {
		set(v1alpha1.ConditionDegraded, false, why.Reason, "")
	}
	setUnsynced(st, fwu.Generation, why, now)
	set(v1alpha1.ConditionReady, false, why.Reason, why.Message)
	waits := why.Waits() && st.CompletionTime == nil // nobody has to act
	set(v1alpha1.ConditionReconciling, waits, why.Reason, "")
	set(v1alpha1.ConditionStalled, !waits, why.Reason, why.Message)
	st.Reason = why.Reason
	st.Phase = phaseOf(*st)
	return again
}

// phaseOf sums the conditions up. It is the only place that knows how.
func phaseOf(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.Phase {
	finished, stalled := condition(st, v1alpha1.ConditionFinished), condition(st, v1alpha1.ConditionStalled)
	switch {
	case stalled.Reason == v1alpha1.ReasonDrift,
		stalled.Reason == v1alpha1.ReasonRepairing && stalled.Status == metav1.ConditionTrue:
		return v1alpha1.PhaseStalled // by its counts it may have succeeded, and these are wrong
	case stalled.Reason == v1alpha1.ReasonRepairing: // the same, and that is being mended
		return v1alpha1.PhaseRunning
	case finished.Status == metav1.ConditionTrue:
		return endPhase(finished.Reason)
	case isConfiguration(stalled.Reason):
		return v1alpha1.PhaseStalled
	case st.StartTime == nil:
		return v1alpha1.PhasePending
	default:
		return v1alpha1.PhaseRunning
	}
}

// endPhase is the phase of an upgrade that finished for a reason.
func endPhase(reason string) v1alpha1.Phase {
	switch reason {
	case v1alpha1.ReasonSucceeded:
		return v1alpha1.PhaseSucceeded
	case v1alpha1.ReasonPartiallySucceeded:
		return v1alpha1.PhasePartiallySucceeded
	default:
		return v1alpha1.PhaseFailed
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
		setCondition(st, generation, now, kind, status, reason, message)
	}
}

func setCondition(
	st *v1alpha1.FirmwareUpgradeStatus, generation int64, now time.Time,
	kind string, status metav1.ConditionStatus, reason, message string,
) {
	meta.SetStatusCondition(&st.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, ObservedGeneration: generation,
		Message:            result.Shorten(message, maxMessageBytes),
		LastTransitionTime: metav1.Time{Time: now},
	})
}

func removeCondition(st *v1alpha1.FirmwareUpgradeStatus, kind string) {
	meta.RemoveStatusCondition(&st.Conditions, kind)
}

// condition returns a condition of a status, zero where there is none.
func condition(st v1alpha1.FirmwareUpgradeStatus, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(st.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
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
