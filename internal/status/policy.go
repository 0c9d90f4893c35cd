// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fwupgrade.io/operator/api/v1alpha1"
)

// policyState is what became of a failure policy.
type policyState int

const (
	// policyNone means that there is no failure policy.
	policyNone policyState = iota
	// policyKept means that no more devices failed than the policy allows, or that it is too early to judge.
	policyKept
	// policyBroken means that more devices failed than the policy allows.
	policyBroken
)

// judgePolicy compares the failures with the policy, in integers. A percentage is of the devices that succeeded or
// failed, not of all: a catastrophe in a large fleet shows at once. It is not judged before minReported devices, unless
// the upgrade has finished.
func judgePolicy(p *v1alpha1.FailurePolicy, j judged, finished bool) policyState {
	if p == nil {
		return policyNone
	}
	limit, percent := maxFailed(p.MaxFailed)
	reported := j.succeeded + j.failed
	if !percent {
		if j.failed > limit {
			return policyBroken
		}
		return policyKept
	}
	if p.MinReported != nil && reported < *p.MinReported && !finished {
		return policyKept
	}
	if j.failed*100 > limit*reported {
		return policyBroken
	}
	return policyKept
}

// policyWasBroken says whether a policy broke before, in the present generation of the spec: then it stays broken, also
// where a percentage falls below the limit again.
func policyWasBroken(prev v1alpha1.FirmwareUpgradeStatus, generation int64) bool {
	c := meta.FindStatusCondition(prev.Conditions, v1alpha1.ConditionDegraded)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == generation
}

// maxFailed reads spec.failurePolicy.maxFailed, whose form the CRD validates; what could not be read allows nothing.
func maxFailed(v intstr.IntOrString) (limit int64, percent bool) {
	if v.Type == intstr.Int {
		return int64(v.IntVal), false
	}
	digits, percent := strings.CutSuffix(v.StrVal, "%")
	limit, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, percent
	}
	return limit, percent
}
