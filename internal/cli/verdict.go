// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// codeOf says how far a FirmwareUpgrade is, as an exit code: good, bad, or not finished. A status of another generation
// of the spec says nothing.
func codeOf(fwu *v1alpha1.FirmwareUpgrade) int {
	is := func(kind string) bool { return meta.IsStatusConditionTrue(fwu.Status.Conditions, kind) }
	switch {
	case fwu.Status.ObservedGeneration != fwu.Generation:
		return exitUnfinished
	case is(v1alpha1.ConditionReady):
		return exitGood
	case is(v1alpha1.ConditionStalled), is(v1alpha1.ConditionFinished):
		return exitBad
	default:
		return exitUnfinished
	}
}

// messageOf is what the operator says of a FirmwareUpgrade.
func messageOf(fwu *v1alpha1.FirmwareUpgrade) string {
	ready := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case fwu.Status.ObservedGeneration != fwu.Generation || ready == nil:
		return "the operator has not seen the present spec yet"
	case ready.Message == "":
		return ready.Reason
	}
	return ready.Message
}

// phaseOf is the phase in a word, also before there is one.
func phaseOf(fwu *v1alpha1.FirmwareUpgrade) v1alpha1.Phase {
	if fwu.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return fwu.Status.Phase
}

// sentence is how far a FirmwareUpgrade is, in a line.
func sentence(fwu *v1alpha1.FirmwareUpgrade) string {
	return fmt.Sprintf("%s/%s %s: %s", fwu.Namespace, fwu.Name, phaseOf(fwu), messageOf(fwu))
}

// slim drops what no command shows, as many FirmwareUpgrades may be followed at once.
func slim(fwu *v1alpha1.FirmwareUpgrade) *v1alpha1.FirmwareUpgrade {
	fwu.ManagedFields, fwu.Annotations = nil, nil
	fwu.Status.OperatorState = v1alpha1.OperatorState{}
	return fwu
}

// condition returns the status of a condition as a word; Unknown where there is none.
func condition(fwu *v1alpha1.FirmwareUpgrade, kind string) metav1.ConditionStatus {
	if c := meta.FindStatusCondition(fwu.Status.Conditions, kind); c != nil {
		return c.Status
	}
	return metav1.ConditionUnknown
}
