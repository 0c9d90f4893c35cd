// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"fwupgrade.io/operator/api/v1alpha1"
)

// verdict is whether and how an upgrade ended, or what it waits for.
type verdict struct {
	// finished says that the upgrade came to an end.
	finished bool
	// reason is the reason of the condition Finished.
	reason string
	// policy is what became of the failure policy.
	policy policyState
	// again is when time alone may change the verdict; zero if never.
	again time.Time
	// counts are the devices the verdict is about.
	counts v1alpha1.DeviceCounts
	// topReason is the most frequent cause of failure; empty without failures.
	topReason string
}

// judge decides whether the upgrade has finished, and how. Once finished it stays so until the spec changes; how it
// ended follows the counts, so that late results still tell.
//
// Finished is, when
//   - the number of devices is known: nothing is pending or in progress, and nothing failed or no result came for
//     settleSeconds;
//   - it is unknown: something was reported, nothing is in progress and no result came for quietSeconds;
//   - the deadline passed.
func judge(fwu *v1alpha1.FirmwareUpgrade, st v1alpha1.FirmwareUpgradeStatus, seen observation, specChanged bool) verdict {
	v := verdict{counts: st.Devices, topReason: st.Reason}
	complete, again := complete(fwu.Spec, st, seen)
	deadline := deadline(fwu, seen)
	overdue := !seen.now.Before(deadline)
	v.finished = complete || overdue || wasFinished(fwu.Status) && !specChanged
	v.policy = judgePolicy(fwu.Spec.FailurePolicy, st.Devices, v.finished)
	if v.finished {
		v.reason = outcome(st.Devices, v.policy)
		return v
	}
	v.again = deadline
	if !again.IsZero() && again.Before(deadline) {
		v.again = again
	}
	return v
}

// complete says whether nothing more is awaited, and if it is only a matter of time, until when.
func complete(spec v1alpha1.FirmwareUpgradeSpec, st v1alpha1.FirmwareUpgradeStatus, seen observation) (bool, time.Time) {
	c := st.Devices
	if seen.summary.Reported() == 0 || c.InProgress > 0 || c.Pending > 0 {
		return false, time.Time{}
	}
	var wait time.Duration
	if _, known := expectedDevices(spec); !known {
		wait = seconds(spec.QuietSeconds, defaultQuiet)
	} else if c.Failed > 0 {
		wait = seconds(spec.SettleSeconds, 0)
	}
	until := time.UnixMicro(seen.summary.LastReceivedAt).Add(wait)
	return wait == 0 || !seen.now.Before(until), until
}

// deadline is counted from the first result, or while there is none from the creation of the object.
func deadline(fwu *v1alpha1.FirmwareUpgrade, seen observation) time.Time {
	from := fwu.CreationTimestamp.Time
	if first := seen.summary.FirstReceivedAt; first != 0 {
		from = time.UnixMicro(first)
	}
	return from.Add(seconds(fwu.Spec.DeadlineSeconds, defaultDeadline))
}

// outcome is how a finished upgrade ended. An upgrade of which nothing was ever reported missed its deadline.
func outcome(c v1alpha1.DeviceCounts, policy policyState) string {
	switch {
	case c.Pending > 0 || c.InProgress > 0 || c.Succeeded+c.Failed == 0:
		return v1alpha1.ReasonDeadlineExceeded
	case c.Failed == 0:
		return v1alpha1.ReasonSucceeded
	case policy == policyBroken || c.Succeeded == 0:
		return v1alpha1.ReasonFailed
	default:
		return v1alpha1.ReasonPartiallySucceeded
	}
}

// ready says whether a gate may open. It fails closed: without a policy any failure counts; that devices are missing, or
// that none succeeded, is within no policy.
func (v verdict) ready() bool {
	switch v.reason {
	case v1alpha1.ReasonSucceeded:
		return v.finished
	case v1alpha1.ReasonPartiallySucceeded:
		return v.finished && v.policy == policyKept
	}
	return false
}

func wasFinished(st v1alpha1.FirmwareUpgradeStatus) bool {
	return meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionFinished)
}
