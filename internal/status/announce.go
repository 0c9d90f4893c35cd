// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

const (
	// maxOutbox is how many Events may wait to be created. What finds no room is announced when there is some.
	maxOutbox = 32
	// maxSingleFailures is how many new failures are announced by an Event a device; more become digests.
	maxSingleFailures = 5
	// digestDistance is how far apart announcements of failures are, unless the upgrade has finished.
	digestDistance = 30 * time.Second
	// promptFailures is how many failures of an upgrade are announced without that distance.
	promptFailures = 10
	// maxDigests is how many causes get a digest of their own; the rest share one.
	maxDigests = 10
)

// announce returns what the operator remembers next: what was delivered leaves the outbox, and what is to be announced
// and is not yet, by the record, is put into it. It also returns when failures that have to keep their distance are
// due; zero if none are.
//
// It compares the record with the present status and nothing else, so that a moment that was missed is made up for
// whenever the status is computed next. Without counted, the counts stand as they were and only a problem is announced.
func announce(
	fwu *v1alpha1.FirmwareUpgrade,
	prev v1alpha1.OperatorState,
	next v1alpha1.FirmwareUpgradeStatus,
	counted bool,
	seen Observation,
) (v1alpha1.OperatorState, time.Time) {
	b := outbox{state: *prev.DeepCopy(), now: seen.Now}
	b.dropDelivered(seen.Delivered)
	record := &b.state.Announced
	if fwu.Spec.Placeholder && !record.Placeholder {
		record.Placeholder = b.add(placeholderCreated(fwu))
	}
	b.announceTask(next)
	if next.StartTime != nil && !record.Started {
		record.Started = b.add(started())
	}
	var due time.Time
	if counted {
		due = b.announceFailures(next, seen)
	}
	b.announceConditions(fwu, next, counted)
	b.state.Outbox = fitOutbox(b.state.Outbox)
	return b.state, due
}

// outbox is an operator's state that is being planned.
type outbox struct {
	state v1alpha1.OperatorState
	now   time.Time
}

// dropDelivered removes the Events up to a number from the outbox.
func (b *outbox) dropDelivered(number int64) {
	first := FirstNumber(b.state)
	if n := min(number-first+1, int64(len(b.state.Outbox))); n > 0 {
		b.state.Outbox = slices.Delete(b.state.Outbox, 0, int(n))
	}
	if len(b.state.Outbox) == 0 {
		b.state.Outbox = nil
	}
}

// add puts an Event into the outbox, and says whether there was room.
func (b *outbox) add(e v1alpha1.OutboxEvent) bool {
	if len(b.state.Outbox) >= maxOutbox {
		return false
	}
	e.PlanTime = metav1.NewMicroTime(b.now.Truncate(time.Microsecond))
	b.state.Outbox = append(b.state.Outbox, e)
	b.state.Sequence++
	return true
}

// announceFailures announces the failures beyond the recorded position in the log, when those announced before are
// delivered, and all that are left at once when the upgrade has finished.
func (b *outbox) announceFailures(next v1alpha1.FirmwareUpgradeStatus, seen Observation) (due time.Time) {
	record := &b.state.Announced
	unannounced := seen.Summary.Failures - record.Failures
	waiting := slices.ContainsFunc(b.state.Outbox, func(e v1alpha1.OutboxEvent) bool { return e.Failures > 0 })
	if unannounced <= 0 || waiting || len(b.state.Outbox)+maxDigests+1 > maxOutbox {
		return time.Time{}
	}
	finished := condition(next, v1alpha1.ConditionFinished).Status == metav1.ConditionTrue
	if record.Failures >= promptFailures && record.FailuresTime != nil && (!finished || record.Finished) {
		if due := record.FailuresTime.Add(digestDistance); b.now.Before(due) {
			return due
		}
	}
	record.FailuresTime = &metav1.Time{Time: b.now}
	for _, e := range failures(seen.Failures, seen.Task, record.Failures, unannounced) {
		b.add(e)
		record.Failures += e.Failures
	}
	return time.Time{}
}

// announceConditions announces what the conditions say and the record does not.
func (b *outbox) announceConditions(fwu *v1alpha1.FirmwareUpgrade, next v1alpha1.FirmwareUpgradeStatus, counted bool) {
	record := &b.state.Announced
	if condition(next, v1alpha1.ConditionDegraded).Status == metav1.ConditionTrue &&
		record.DegradedGeneration != fwu.Generation &&
		counted {
		if b.add(degraded(next)) {
			record.DegradedGeneration = fwu.Generation
		}
	}
	if next.Devices.Suspect > 0 && !record.Suspect && counted {
		record.Suspect = b.add(versionSuspect(fwu.Spec, next))
	}
	b.announceRepair(next)
	b.announceEnd(next, counted)
	switch problem := condition(next, v1alpha1.ConditionStalled); {
	case problem.Status != metav1.ConditionTrue || !isConfiguration(problem.Reason),
		fwu.Spec.Placeholder && problem.Reason == v1alpha1.ReasonDuplicateOperation: // it goes by itself
		record.Problem = ""
	case record.Problem != problem.Reason:
		if b.add(warning(problem.Reason, problem.Message)) {
			record.Problem = problem.Reason
		}
	}
}

// announceRepair announces results that had to be asked for, once the platform has nothing more to upgrade and the
// counts equal its figures.
func (b *outbox) announceRepair(next v1alpha1.FirmwareUpgradeStatus) {
	record := &b.state.Announced
	if next.Platform == nil || next.Platform.Repaired < record.Repaired { // it was connected anew
		record.Repaired = 0
	}
	if condition(next, v1alpha1.ConditionSynced).Status != metav1.ConditionTrue ||
		next.Platform == nil || next.Platform.Waiting+next.Platform.Processing > 0 {
		return
	}
	if n := next.Platform.Repaired - record.Repaired; n > 0 && b.add(resultsRepaired(n)) {
		record.Repaired = next.Platform.Repaired
	}
}

// announceEnd announces the end, or that a good end became a bad one or the other way around.
func (b *outbox) announceEnd(next v1alpha1.FirmwareUpgradeStatus, counted bool) {
	record := &b.state.Announced
	ready := condition(next, v1alpha1.ConditionReady).Status == metav1.ConditionTrue
	switch finished := condition(next, v1alpha1.ConditionFinished); {
	case finished.Status != metav1.ConditionTrue:
		record.Finished, record.Ready = false, false
	case !record.Finished:
		if len(b.state.Outbox)+2 > maxOutbox { // both or none
			return
		}
		if counted && next.Devices.Recovered > 0 {
			b.add(devicesRecovered(next.Devices.Recovered))
		}
		b.add(end(finished, ready))
		record.Finished, record.Ready = true, ready
	case record.Ready != ready && counted:
		if b.add(outcomeChanged(finished, ready)) {
			record.Ready = ready
		}
	}
}

// allAnnounced says whether every failure that a status counts is announced, and every Event created.
func allAnnounced(st v1alpha1.FirmwareUpgradeStatus) bool {
	return len(st.OperatorState.Outbox) == 0 &&
		st.OperatorState.Announced.Failures >= st.Devices.Failed+st.Devices.Recovered
}

// Awaited says whether somebody waits for an Event: Warnings, and ends, good or bad. The others tell of progress.
func Awaited(e v1alpha1.OutboxEvent) bool {
	return e.Type == corev1.EventTypeWarning || e.Reason == EventFinished || e.Reason == EventOutcomeChanged
}

// FirstNumber returns the number of the first Event in the outbox.
func FirstNumber(state v1alpha1.OperatorState) int64 {
	return state.Sequence - int64(len(state.Outbox)) + 1
}
