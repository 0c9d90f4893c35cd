// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
)

// Deleting returns the status of a FirmwareUpgrade that is being deleted, while a finalizer keeps it: that it is not
// Ready, so that no gate opens by what may count another's task by now, and why. What it counted and how it ended
// stands, and nothing more is announced of it.
func Deleting(
	fwu *v1alpha1.FirmwareUpgrade,
	prev v1alpha1.FirmwareUpgradeStatus,
	seen Observation,
) v1alpha1.FirmwareUpgradeStatus {
	next, why := *prev.DeepCopy(), claim.Deletion(fwu)
	next.ObservedGeneration = fwu.Generation
	setTask(fwu, &next, prev, nil, seen.Now)
	set := conditionSetter(&next, fwu.Generation, seen.Now)
	set(v1alpha1.ConditionReady, false, why.Reason, why.Message)
	set(v1alpha1.ConditionReconciling, why.Waits(), why.Reason, "")
	set(v1alpha1.ConditionStalled, !why.Waits(), why.Reason, why.Message)
	if ended := condition(prev, v1alpha1.ConditionFinished); ended.Status == metav1.ConditionTrue {
		set(v1alpha1.ConditionFinished, true, ended.Reason, ended.Message)
	} else {
		set(v1alpha1.ConditionFinished, false, why.Reason, "")
		if !why.Waits() {
			next.Phase = v1alpha1.PhaseStalled
		}
	}
	next.Reason = why.Reason
	box := outbox{state: next.OperatorState}
	box.dropDelivered(seen.Delivered)
	next.OperatorState = box.state
	return next
}
