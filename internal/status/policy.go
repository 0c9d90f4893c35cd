// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
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
	// policyKept means that no more devices are bad than the policy allows, or that it is too early to judge.
	policyKept
	// policyBroken means that more devices are bad than the policy allows.
	policyBroken
)

// judgePolicy compares the bad devices, those that failed and those that are suspect, with the policy, in integers. A
// percentage is of the devices that succeeded or failed, not of all: a catastrophe in a large fleet shows at once. It
// is of no more devices than there are to be, as others would hide failures. It is not judged before minReported
// devices, unless the upgrade has finished. Devices that ended by the platform's figures count as others do: results
// that are asked for come with the failures first.
func judgePolicy(p *v1alpha1.FailurePolicy, j judged, finished bool) policyState {
	switch {
	case p == nil:
		return policyNone
	case tooEarly(p, j, finished) || j.bad() <= allowed(p, j):
		return policyKept
	default:
		return policyBroken
	}
}

// tooEarly says whether a percentage is not judged yet.
func tooEarly(p *v1alpha1.FailurePolicy, j judged, finished bool) bool {
	_, percent := maxFailed(p.MaxFailed)
	return percent && !finished && (j.partly || p.MinReported != nil && max(j.decided(), j.ended) < *p.MinReported)
}

// allowed is how many devices may be bad: so many, or a percentage of those that succeeded or failed, by the results or
// by the platform's figures, and at most of those that are expected.
func allowed(p *v1alpha1.FailurePolicy, j judged) int64 {
	limit, percent := maxFailed(p.MaxFailed)
	if !percent {
		return limit
	}
	of := max(j.decided(), j.ended)
	if j.expected > 0 {
		of = min(of, j.expected)
	}
	return limit * of / 100
}

// allowance says what a policy allows: "the policy allows 5% (1)".
func allowance(p *v1alpha1.FailurePolicy, j judged, finished bool) string {
	switch {
	case p == nil:
		return "without a failurePolicy none may"
	case tooEarly(p, j, finished) && j.partly:
		return fmt.Sprintf("the policy allows %s, judged when no more results are asked for", p.MaxFailed.String())
	case tooEarly(p, j, finished):
		return fmt.Sprintf("the policy allows %s, judged from %d devices on", p.MaxFailed.String(), *p.MinReported)
	}
	if _, percent := maxFailed(p.MaxFailed); percent {
		return fmt.Sprintf("the policy allows %s (%d)", p.MaxFailed.String(), allowed(p, j))
	}
	return "the policy allows " + p.MaxFailed.String()
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
