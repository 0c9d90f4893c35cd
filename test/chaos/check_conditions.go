// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// checkConditions compares the conditions of a FirmwareUpgrade at rest with its counts, which are right, and its spec.
func checkConditions(
	l *life, fwu *v1alpha1.FirmwareUpgrade, devices map[string]known, have map[string]result.Result,
) []string {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	st := fwu.Status
	is := func(kind string) bool { return meta.IsStatusConditionTrue(st.Conditions, kind) }
	ready, finished := is(v1alpha1.ConditionReady), is(v1alpha1.ConditionFinished)
	degraded, stalled := is(v1alpha1.ConditionDegraded), is(v1alpha1.ConditionStalled)

	j := judge(fwu, devices, have)
	ended := j.complete || l.kind == kindOverdue && st.StartTime != nil
	if l.kind == kindArchived && st.ArchiveTime != nil {
		ended = true
	}
	if ended != finished {
		say("Finished is %v, want %v (%s)", finished, ended, st.Progress)
	}
	if degraded && j.worst <= j.limit || !degraded && j.bad > j.limit {
		say("Degraded is %v with %d bad devices, at most %d at any time, limit %d", degraded, j.bad, j.worst, j.limit)
	}
	good := j.complete && !degraded && j.unexpected == 0 && j.bad <= max(0, j.allowed) && (j.bad == 0 || j.good > 0)
	if ready != good {
		say("Ready is %v, want %v (%d bad, %d allowed, counts %+v)", ready, good, j.bad, j.allowed, st.Devices)
	}
	if want := finished && !ready || degraded; stalled != want {
		say("Stalled is %v, want %v: %s", stalled, want, reasonOf(st.Conditions, v1alpha1.ConditionStalled))
	}
	if want := !ready && !stalled; is(v1alpha1.ConditionReconciling) != want {
		say("Reconciling is %v, want %v", !want, want)
	}
	if l.kind == kindArchived && j.complete && st.ArchiveTime == nil {
		say("it is not archived")
	}
	return problems
}

// judged is what the counts and the policy come to.
type judged struct {
	complete              bool
	bad, good, unexpected int64
	worst                 int64 // how many may have been bad at most, at any time
	limit                 int64 // more break the policy; none does where there is no policy
	allowed               int64 // more keep it from being Ready
}

// noLimit is more devices than there are.
const noLimit = 1 << 40

func judge(fwu *v1alpha1.FirmwareUpgrade, devices map[string]known, have map[string]result.Result) judged {
	st := fwu.Status
	c := st.Devices
	j := judged{
		bad: c.Failed + c.Suspect, good: c.Succeeded - c.Suspect, unexpected: c.Unexpected, limit: noLimit,
	}
	j.complete = c.Succeeded+c.Failed > 0 && c.Pending == 0 && c.InProgress == 0
	listed := map[string]bool{}
	for _, id := range fwu.Spec.Devices {
		listed[id] = true
	}
	for id, k := range devices {
		may := k.certain | k.possible
		if len(listed) > 0 == listed[id] && (may.has(reportFailure) || may.has(reportSuspect)) {
			j.worst++
		}
	}
	if len(listed) > 0 {
		j.judgeListed(fwu.Spec, have)
	}
	switch {
	case fwu.Spec.Placeholder:
		j.complete = false // it waits for a day
	case len(listed) == 0 && fwu.Spec.ExpectedDevices == nil && st.CompletionTime != nil:
		j.complete = true // where nobody says how many there are, one may begin after the end
	}
	if p := fwu.Spec.FailurePolicy; p != nil {
		j.limit = int64(p.MaxFailed.IntVal)
		j.allowed = j.limit
	}
	return j
}

// judgeListed counts the devices that decide where the spec lists them: what others report decides nothing.
func (j *judged) judgeListed(spec v1alpha1.FirmwareUpgradeSpec, have map[string]result.Result) {
	listed := map[string]result.Result{}
	for _, id := range spec.Devices {
		if r, reported := have[id]; reported {
			listed[id] = r
		}
	}
	c := count(spec, listed)
	j.bad, j.good, j.unexpected = c.Failed+c.Suspect, c.Succeeded-c.Suspect, 0
	j.complete = c.Pending == 0 && c.InProgress == 0
}

func reasonOf(conditions []metav1.Condition, kind string) string {
	if c := meta.FindStatusCondition(conditions, kind); c != nil {
		return c.Reason + ": " + c.Message
	}
	return ""
}
