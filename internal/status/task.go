// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
)

// Creation is how far the creation is of the task that a spec asks for.
type Creation struct {
	v1alpha1.TaskStatus
	// Reason is that of the condition TaskCreated.
	Reason string
	// OperationID is the task, once it was created.
	OperationID string
}

// setTask writes which task it is and, where the spec asks for one, how far its creation is. Without an observation
// what was known stands. Also an archived status has the operationId, so that it is found by the task.
func setTask(
	fwu *v1alpha1.FirmwareUpgrade, next *v1alpha1.FirmwareUpgradeStatus, prev v1alpha1.FirmwareUpgradeStatus,
	seen *Creation, now time.Time,
) {
	if fwu.Spec.Task == nil {
		next.OperationID, next.Task = cmp.Or(fwu.Spec.OperationID, prev.OperationID), nil
		removeCondition(next, v1alpha1.ConditionTaskCreated)
		return
	}
	next.OperationID, next.Task = prev.OperationID, prev.Task
	if seen == nil {
		return
	}
	next.OperationID, next.Task = cmp.Or(seen.OperationID, prev.OperationID), seen.DeepCopy()
	setCondition(next, fwu.Generation, now, v1alpha1.ConditionTaskCreated, createdStatus(seen.State), seen.Reason,
		seen.Message)
}

// isAwaited says whether a task is yet to be created.
func isAwaited(fwu *v1alpha1.FirmwareUpgrade, prev v1alpha1.FirmwareUpgradeStatus, seen *Creation) bool {
	return fwu.Spec.Task != nil && prev.OperationID == "" && (seen == nil || seen.OperationID == "")
}

func createdStatus(state v1alpha1.TaskState) metav1.ConditionStatus {
	switch state {
	case v1alpha1.TaskCreated:
		return metav1.ConditionTrue
	case v1alpha1.TaskUncertain:
		return metav1.ConditionUnknown
	}
	return metav1.ConditionFalse
}

// Uncreated says why a FirmwareUpgrade whose task was not created yet, or is not yet known by its operationId, counts
// nothing. seen is nil where nobody looked yet: then the status of before says it.
func Uncreated(prev v1alpha1.FirmwareUpgradeStatus, seen *Creation) claim.Claim {
	if seen != nil {
		return claim.Claim{Reason: seen.Reason, Message: seen.Message}
	}
	if c := condition(prev, v1alpha1.ConditionTaskCreated); c.Reason != "" {
		return claim.Claim{Reason: c.Reason, Message: c.Message}
	}
	return claim.Claim{Reason: v1alpha1.ReasonWaiting, Message: "the operator is about to look what of the task is there"}
}

// announceTask announces that the task is there.
func (b *outbox) announceTask(next v1alpha1.FirmwareUpgradeStatus) {
	c := condition(next, v1alpha1.ConditionTaskCreated)
	if c.Status != metav1.ConditionTrue || b.state.Announced.Task == next.OperationID {
		return
	}
	reason := EventTaskCreated
	if c.Reason == v1alpha1.ReasonAdopted {
		reason = EventTaskAdopted
	}
	if b.add(normal(reason, "Follows task "+next.OperationID+": "+c.Message)) {
		b.state.Announced.Task = next.OperationID
	}
}

// sameTask says whether nothing changed in how far the creation is.
func sameTask(a, b *v1alpha1.TaskStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.State == b.State && a.Attempt == b.Attempt && a.RequestHash == b.RequestHash
}

// begin is when the task of a FirmwareUpgrade begins: when it was declared or, where the operator creates it, when it
// was created or when its window opens. One that is not created yet is waited for until it may not be any more.
func begin(fwu *v1alpha1.FirmwareUpgrade, st v1alpha1.FirmwareUpgradeStatus) time.Time {
	begin, asked := fwu.CreationTimestamp.Time, fwu.Spec.Task
	if asked == nil {
		return begin
	}
	switch {
	case st.OperationID == "":
		begin = later(begin, asked.CreateBefore.Time)
	case st.Task != nil && st.Task.AttemptTime != nil:
		begin = later(begin, st.Task.AttemptTime.Time)
	}
	if asked.Window != nil {
		begin = later(begin, asked.Window.Start.Time)
	}
	return begin
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
