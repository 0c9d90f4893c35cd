// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strconv"
	"strings"

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
func judgePolicy(p *v1alpha1.FailurePolicy, c v1alpha1.DeviceCounts, finished bool) policyState {
	if p == nil {
		return policyNone
	}
	limit, percent := maxFailed(p.MaxFailed)
	reported := c.Succeeded + c.Failed
	if !percent {
		if c.Failed > limit {
			return policyBroken
		}
		return policyKept
	}
	if p.MinReported != nil && reported < *p.MinReported && !finished {
		return policyKept
	}
	if c.Failed*100 > limit*reported {
		return policyBroken
	}
	return policyKept
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
