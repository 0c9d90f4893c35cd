// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// maxConditionMessageBytes keeps five messages well below the bound of the status.
const maxConditionMessageBytes = 512

// setConditions writes all conditions and the phase from the verdict. Reconciling and Stalled are never both true.
func setConditions(st *v1alpha1.FirmwareUpgradeStatus, generation int64, v verdict, now time.Time) {
	message := v.message(st.Progress)
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
		set(v1alpha1.ConditionReady, false, v.progressReason(), message)
		set(v1alpha1.ConditionReconciling, true, v.progressReason(), message)
		set(v1alpha1.ConditionStalled, false, v.progressReason(), "")
	}
	if v.finished {
		set(v1alpha1.ConditionFinished, true, v.reason, message)
	} else {
		set(v1alpha1.ConditionFinished, false, v.progressReason(), "")
	}
	set(v1alpha1.ConditionDegraded, degraded, v.policy.reason(), "")
	st.Phase = v.phase()
}

// setUncounted says that the FirmwareUpgrade can't be counted and why. Counts and phase stand as they were, and so does
// the end, unless the spec changed.
func setUncounted(st *v1alpha1.FirmwareUpgradeStatus, generation int64, reason, message string, now time.Time) {
	set := conditionSetter(st, generation, now)
	finished := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionFinished)
	if finished == nil || finished.ObservedGeneration != generation {
		st.CompletionTime = nil
		set(v1alpha1.ConditionFinished, false, reason, "")
		set(v1alpha1.ConditionDegraded, false, reason, "")
	}
	set(v1alpha1.ConditionReady, false, reason, message)
	set(v1alpha1.ConditionReconciling, false, reason, "")
	set(v1alpha1.ConditionStalled, true, reason, message)
	st.Reason = reason
	if st.Phase == "" {
		st.Phase = v1alpha1.PhasePending
	}
}

func conditionSetter(st *v1alpha1.FirmwareUpgradeStatus, generation int64, now time.Time) func(kind string, is bool, reason, message string) {
	return func(kind string, is bool, reason, message string) {
		status := metav1.ConditionFalse
		if is {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&st.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, ObservedGeneration: generation,
			Message:            upgrade.CutString(message, maxConditionMessageBytes),
			LastTransitionTime: metav1.Time{Time: now},
		})
	}
}

// message is what a person reads first: how far, what went wrong most often, what is missing.
func (v verdict) message(progress string) string {
	c := v.counts
	text := progress + " devices done"
	if c.Failed > 0 {
		text += fmt.Sprintf(", %d failed, most often: %s", c.Failed, v.topReason)
	}
	if c.InProgress > 0 {
		text += fmt.Sprintf("; %d in progress", c.InProgress)
	}
	if c.Pending > 0 && v.finished {
		text += fmt.Sprintf("; %d never reported", c.Pending)
	}
	if c.Suspect > 0 {
		text += fmt.Sprintf("; %d succeeded with another version than the target", c.Suspect)
	}
	if v.finished && c.Succeeded+c.Failed+c.InProgress == 0 {
		text = "no device has reported before the deadline"
	}
	return text
}

func (v verdict) progressReason() string {
	if v.counts.Succeeded+v.counts.Failed+v.counts.InProgress == 0 {
		return v1alpha1.ReasonPending
	}
	return v1alpha1.ReasonRunning
}

func (v verdict) phase() v1alpha1.Phase {
	if !v.finished {
		return v1alpha1.Phase(v.progressReason())
	}
	if v.reason == v1alpha1.ReasonDeadlineExceeded {
		return v1alpha1.PhaseFailed
	}
	return v1alpha1.Phase(v.reason)
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
