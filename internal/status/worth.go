// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// Worth is what it is worth to write a status.
type Worth int

const (
	// Nothing means that the status tells nothing new.
	Nothing Worth = iota
	// Tidying means that only Events which were created leave the outbox.
	Tidying
	// Progress means that counts or details changed.
	Progress
	// News means that something changed that somebody waits for: a condition, the first failure, a spec that was read.
	News
)

// Compare says what it is worth to write the next status over the stored one. Times alone, such as those of a repeated
// notification, are not worth a write: they come with the next one.
func Compare(stored, next v1alpha1.FirmwareUpgradeStatus) Worth {
	a, b := withoutTimes(stored), withoutTimes(next)
	switch {
	case equality.Semantic.DeepEqual(a, b):
		return Nothing
	case stored.ObservedGeneration != next.ObservedGeneration ||
		(stored.Devices.Failed == 0) != (next.Devices.Failed == 0) || !sameTask(stored.Task, next.Task) ||
		!sameConditions(stored.Conditions, next.Conditions):
		return News
	}
	b.OperatorState.Outbox = a.OperatorState.Outbox
	if equality.Semantic.DeepEqual(a, b) {
		return Tidying
	}
	return Progress
}

// sameConditions says whether conditions say the same but for their messages. That the first result came is progress,
// and so is what Synced says while no difference is known: it goes to and fro with every push.
func sameConditions(a, b []metav1.Condition) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		began := a[i].Reason == v1alpha1.ReasonPending && b[i].Reason == v1alpha1.ReasonRunning
		if a[i].Type == v1alpha1.ConditionSynced && b[i].Type == a[i].Type &&
			a[i].Status != metav1.ConditionFalse && b[i].Status != metav1.ConditionFalse {
			continue
		}
		if a[i].Type != b[i].Type || a[i].Status != b[i].Status || a[i].Reason != b[i].Reason && !began {
			return false
		}
	}
	return true
}

// withoutTimes drops the times that a repeated notification moves, and who wrote the status. StartTime is kept in so
// far as it is set, and an end is always news.
func withoutTimes(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.FirmwareUpgradeStatus {
	out := *st.DeepCopy()
	if out.StartTime != nil {
		out.StartTime = &metav1.Time{}
	}
	out.LastResultTime = nil
	if out.Platform != nil {
		out.Platform.ObservedTime = metav1.Time{}
	}
	out.OperatorState.Announced.FailuresTime = nil
	out.OperatorState.Leader = ""
	for i := range out.Details.FailedDevices {
		out.Details.FailedDevices[i].ReceiveTime = metav1.Time{}
	}
	for i := range out.Details.InProgressDevices {
		out.Details.InProgressDevices[i].ReceiveTime = metav1.Time{}
	}
	slices.SortFunc(out.Details.InProgressDevices, func(a, b v1alpha1.InProgressDevice) int { // they are sorted by time
		return strings.Compare(a.DeviceID, b.DeviceID)
	})
	for i := range out.Conditions {
		out.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	return out
}
