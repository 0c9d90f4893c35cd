// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// worthWriting says whether the next status tells anything that the previous one does not. Times alone, such as those
// of a repeated notification, are not worth a write: they come with the next one.
func worthWriting(prev, next v1alpha1.FirmwareUpgradeStatus) bool {
	return !equality.Semantic.DeepEqual(withoutTimes(prev), withoutTimes(next))
}

// withoutTimes drops the times that a repeated notification moves. StartTime is kept in so far as it is set, and an end
// is always news.
func withoutTimes(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.FirmwareUpgradeStatus {
	out := *st.DeepCopy()
	if out.StartTime != nil {
		out.StartTime = &metav1.Time{}
	}
	out.LastResultTime = nil
	out.Events.LastFailuresTime = nil
	for i := range out.FailedDevices {
		out.FailedDevices[i].ReceivedAt = metav1.Time{}
	}
	for i := range out.Conditions {
		out.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	return out
}
