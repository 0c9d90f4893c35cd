// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"fwupgrade.io/operator/api/v1alpha1"
)

const (
	// defaultSettle is what the CRD defaults spec.settleSeconds to.
	defaultSettle = time.Minute
	// retryPatience is how long a device that is tried again may be silent: the platform waits 60 min for the download
	// and 30 min for the result.
	retryPatience = 2 * time.Hour
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
	// judged are the devices the verdict is about.
	judged judged
	// deadline is when the upgrade ends in any case.
	deadline time.Time
	// unreadable names a slice that may have results which can't be read; empty where none has.
	unreadable string
	// wait is how long nothing may have come before the upgrade is finished, where that is all that it waits for.
	wait time.Duration
	// synced is whether the counts agree with the platform's figures.
	synced agreement
	// compares says that the upgrade came to its end by the counts, at ended, and waits for the platform.
	compares bool
	ended    time.Time
	// taskUnknown says that the platform does not know the task, and that it can't come any more.
	taskUnknown bool
}

// judged counts the devices that decide how an upgrade ends: those of spec.devices where it lists them, else all.
// Suspect ones are a part of succeeded, retried ones of failed.
type judged struct {
	succeeded, failed, inProgress, pending, suspect, retried int64
	// expected is how many the spec says that there are; 0 where it says nothing.
	expected int64
	// unexpected is how many more have reported, of which nobody knows which they are.
	unexpected int64
	// ended is how many devices have succeeded or failed by the platform's figures; 0 where it says nothing. It says
	// nothing of listed devices: partly is that results are being asked for then, the failures first.
	ended  int64
	partly bool
}

func (j judged) reported() int64 { return j.succeeded + j.failed + j.inProgress }

// decided is how many devices have succeeded or failed.
func (j judged) decided() int64 { return j.succeeded + j.failed }

// bad is how many devices count against the failure policy.
func (j judged) bad() int64 { return j.failed + j.suspect }

// missing says which devices were still awaited when the deadline passed.
func (j judged) missing() string {
	var parts []string
	if j.pending > 0 {
		parts = append(parts, fmt.Sprintf("%d never reported", j.pending))
	}
	if j.inProgress > 0 {
		parts = append(parts, fmt.Sprintf("%d still in progress", j.inProgress))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, ", ")
	case j.reported() == 0:
		return "no device has reported"
	default:
		return "devices still report, and how many there are is not known"
	}
}

func judgedDevices(spec v1alpha1.FirmwareUpgradeSpec, st v1alpha1.FirmwareUpgradeStatus, seen Observation) judged {
	expected, _ := expectedDevices(spec, seen.figures(), seen.Summary.Reported())
	c := st.Devices
	if len(spec.ListedDevices()) > 0 {
		asked := seen.Platform != nil && seen.Platform.Judgement == Repairing
		l := seen.Summary.Listed
		return judged{l.Succeeded, l.Failed, l.InProgress, c.Pending, l.Suspect, l.Retried, expected, 0, 0, asked}
	}
	var ended int64
	if f := seen.figures(); addUp(f) {
		ended = f.Succeeded + f.Failed + f.Stopped
	}
	return judged{
		c.Succeeded, c.Failed, c.InProgress, c.Pending, c.Suspect, seen.Summary.Retried, expected, c.Unexpected, ended, false,
	}
}

// repairs says that results are being asked for, and that these decide: the policy is not broken already, and the
// upgrade has not come to a bad end.
func (v verdict) repairs() bool {
	return v.synced.repairs() && v.policy != policyBroken && (v.ready() || !v.finished)
}

// judge decides whether the upgrade has finished, and how. Once finished it stays so until the spec changes; how it
// ended follows the counts, so that late results still tell. Devices outside spec.devices decide nothing.
//
// It has finished when
//   - the number of devices is known: nothing is pending or in progress, and nothing failed or nothing came for
//     settleSeconds;
//   - it is unknown: something was reported, nothing is in progress and nothing came for quietSeconds;
//   - the deadline passed.
//
// While the platform tries a failed device again, that is a matter of hours. Where the deadline passed before nothing
// came for quietSeconds, the outcome is looked at again once that is so.
func judge(
	fwu *v1alpha1.FirmwareUpgrade,
	prev, st v1alpha1.FirmwareUpgradeStatus,
	seen Observation,
	specChanged bool,
) verdict {
	v := verdict{
		judged: judgedDevices(fwu.Spec, st, seen), unreadable: seen.Unreadable,
		synced: compare(seen.Platform, seen.Summary),
	}
	complete, again := v.complete(fwu, seen)
	v.deadline = deadline(fwu, st, seen.Platform != nil && !seen.Platform.NotConnected)
	if v.synced.reason == v1alpha1.ReasonTaskUnknown && !seen.Platform.Guessed && v.judged.reported() == 0 {
		after := begin(fwu, prev).Add(unknownPatience)
		if v.taskUnknown = !seen.Now.Before(after); !v.taskUnknown {
			again = earliest(again, after)
		}
	}
	overdue := !seen.Now.Before(v.deadline)
	wasFinished := !specChanged && meta.IsStatusConditionTrue(prev.Conditions, v1alpha1.ConditionFinished)
	v.finished = complete || overdue || wasFinished
	v.policy = judgePolicy(fwu.Spec.FailurePolicy, v.judged, v.finished)
	if policyWasBroken(prev, fwu.Generation) && v.policy != policyNone {
		v.policy = policyBroken
	}
	if v.finished {
		wasComplete := wasFinished &&
			meta.FindStatusCondition(prev.Conditions, v1alpha1.ConditionFinished).Reason != v1alpha1.ReasonDeadlineExceeded
		v.reason = outcome(v.judged, v.policy, complete || wasComplete)
		if v.reason == v1alpha1.ReasonDeadlineExceeded {
			v.again = again
		}
		return v
	}
	v.again = earliest(again, v.deadline)
	return v
}

// complete says whether nothing more is awaited, and if it is only a matter of time, until when.
func (v *verdict) complete(fwu *v1alpha1.FirmwareUpgrade, seen Observation) (bool, time.Time) {
	j, spec := v.judged, fwu.Spec
	if j.reported() == 0 || j.inProgress > 0 || j.pending > 0 {
		return false, time.Time{}
	}
	settle := duration(spec.SettleSeconds, defaultSettle)
	if _, known := expectedDevices(spec, seen.figures(), seen.Summary.Reported()); !known {
		v.wait = duration(spec.QuietSeconds, defaultQuiet)
	} else if j.failed > 0 {
		v.wait = settle
	}
	if j.retried > 0 && settle > 0 {
		v.wait = max(v.wait, retryPatience)
	}
	last := seen.Summary.LastReceivedAt
	if len(spec.ListedDevices()) > 0 {
		last = seen.Summary.Listed.LastReceivedAt
	}
	until := time.UnixMicro(last).Add(v.wait)
	if v.wait > 0 && seen.Now.Before(until) {
		return false, until
	}
	v.ended = until
	if v.synced.since.Before(fwu.CreationTimestamp.Time) { // declared late: nobody asked before
		v.synced.since = fwu.CreationTimestamp.Time
	}
	v.compares, until = v.synced.withholds(spec, until, seen.Now)
	return !v.compares, until
}

// Deadline is when a FirmwareUpgrade ends at the latest: counted from the first result, or while there is none from the
// creation of the object. It is not before that where results may be asked for: those of an upgrade that was declared
// when it was long over come a page at a time.
func Deadline(fwu *v1alpha1.FirmwareUpgrade, st v1alpha1.FirmwareUpgradeStatus) time.Time {
	reason := condition(st, v1alpha1.ConditionSynced).Reason
	return deadline(fwu, st, reason != "" && reason != v1alpha1.ReasonNoApplication)
}

func deadline(fwu *v1alpha1.FirmwareUpgrade, st v1alpha1.FirmwareUpgradeStatus, connected bool) time.Time {
	from := fwu.CreationTimestamp.Time
	switch {
	case st.StartTime != nil && (!connected || from.Before(st.StartTime.Time)):
		from = st.StartTime.Time
	default:
		from = begin(fwu, st)
	}
	return from.Add(duration(fwu.Spec.DeadlineSeconds, defaultDeadline))
}

// outcome is how a finished upgrade ended. complete says that no device was awaited any more, now or when it came to
// its end before its deadline: one that begins anew afterwards does not make it miss the deadline. Where it is not
// complete although every device reported, only retries were awaited; but where nobody knows how many there are,
// devices may be.
func outcome(j judged, policy policyState, complete bool) string {
	switch {
	case !complete && (j.expected == 0 || j.pending > 0 || j.inProgress > 0 || j.reported() == 0):
		return v1alpha1.ReasonDeadlineExceeded
	case j.unexpected > 0:
		return v1alpha1.ReasonUnexpectedDevices
	case j.bad() == 0 && policy != policyBroken:
		return v1alpha1.ReasonSucceeded
	case policy == policyBroken || j.succeeded == j.suspect:
		return v1alpha1.ReasonFailed
	default:
		return v1alpha1.ReasonPartiallySucceeded
	}
}

// ready says whether a gate may open. It fails closed: without a policy any failed or suspect device counts; that
// devices are missing or unexpected, or that none succeeded with the right version, is within no policy. What can't be
// read may be a failure.
func (v verdict) ready() bool { return v.isGood() && v.unreadable == "" }

// isUnread says that a gate stays closed only because results can't be read.
func (v verdict) isUnread() bool { return v.isGood() && v.unreadable != "" }

// isGood says whether the upgrade ended well by what was counted.
func (v verdict) isGood() bool {
	switch v.reason {
	case v1alpha1.ReasonSucceeded:
		return v.finished
	case v1alpha1.ReasonPartiallySucceeded:
		return v.finished && v.policy == policyKept
	}
	return false
}
