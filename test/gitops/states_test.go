// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"fwupgrade.io/operator/api/v1alpha1"
)

// state is one in which a FirmwareUpgrade may be, and what tools make of it.
type state struct {
	// name is that of its recorded object, and of its file of test data.
	name string
	// when says in the manual when it is in this state.
	when string
	// phase and reason, that of Ready, are what the status says.
	phase  v1alpha1.Phase
	reason string
	// kstatus is what Flux, and whoever asks kstatus, makes of it.
	kstatus status.Status
	// health is what Argo CD makes of it.
	health string
}

const (
	healthy     = "Healthy"
	progressing = "Progressing"
	degraded    = "Degraded"
)

// states are all of them, in the order of the manual.
var states = []state{
	{"never-seen", "the operator has not seen it yet",
		"", "", status.InProgressStatus, progressing},
	{"pending", "no device has reported",
		v1alpha1.PhasePending, v1alpha1.ReasonPending, status.InProgressStatus, progressing},
	{"running", "devices report",
		v1alpha1.PhaseRunning, v1alpha1.ReasonRunning, status.InProgressStatus, progressing},
	{"policy-broken", "the failure policy is broken, devices still report",
		v1alpha1.PhaseRunning, v1alpha1.ReasonFailurePolicyBroken, status.FailedStatus, degraded},
	{"succeeded", "every device succeeded",
		v1alpha1.PhaseSucceeded, v1alpha1.ReasonSucceeded, status.CurrentStatus, healthy},
	{"within-policy", "some failed, within the policy",
		v1alpha1.PhasePartiallySucceeded, v1alpha1.ReasonPartiallySucceeded, status.CurrentStatus, healthy},
	{"without-policy", "some failed, without a policy",
		v1alpha1.PhasePartiallySucceeded, v1alpha1.ReasonPartiallySucceeded, status.FailedStatus, degraded},
	{"policy-broken-finished", "finished, the failure policy is broken",
		v1alpha1.PhaseFailed, v1alpha1.ReasonFailed, status.FailedStatus, degraded},
	{"failed", "every device failed",
		v1alpha1.PhaseFailed, v1alpha1.ReasonFailed, status.FailedStatus, degraded},
	{"wrong-version", "every device has another version than the target",
		v1alpha1.PhaseFailed, v1alpha1.ReasonFailed, status.FailedStatus, degraded},
	{"unexpected", "every device succeeded, and more than are expected",
		v1alpha1.PhaseFailed, v1alpha1.ReasonUnexpectedDevices, status.FailedStatus, degraded},
	{"deadline", "the deadline passed, devices are missing",
		v1alpha1.PhaseFailed, v1alpha1.ReasonDeadlineExceeded, status.FailedStatus, degraded},
	{"deadline-pending", "the deadline passed, no device has reported",
		v1alpha1.PhaseFailed, v1alpha1.ReasonDeadlineExceeded, status.FailedStatus, degraded},
	{"awaiting", "another one has the task, and may be about to go",
		v1alpha1.PhasePending, v1alpha1.ReasonAwaitingTask, status.InProgressStatus, progressing},
	{"duplicate", "another one has the task, and stays",
		v1alpha1.PhaseStalled, v1alpha1.ReasonDuplicateOperation, status.FailedStatus, degraded},
	{"ambiguous", "several applications report the id",
		v1alpha1.PhaseStalled, v1alpha1.ReasonAmbiguousOperation, status.FailedStatus, degraded},
	{"not-permitted", "the application is another namespace's",
		v1alpha1.PhaseStalled, v1alpha1.ReasonNotPermitted, status.FailedStatus, degraded},
	{"task-resolving", "the platform may have created its task, which is being found out",
		v1alpha1.PhasePending, v1alpha1.ReasonResolving, status.InProgressStatus, progressing},
	{"task-created", "the operator had its task created, no device has reported",
		v1alpha1.PhasePending, v1alpha1.ReasonPending, status.InProgressStatus, progressing},
	{"task-adopted", "the platform had such a task, which is followed; no device has reported",
		v1alpha1.PhasePending, v1alpha1.ReasonPending, status.InProgressStatus, progressing},
	{"task-uncertain", "whether the platform created its task can't be found out",
		v1alpha1.PhaseStalled, v1alpha1.ReasonCreationUncertain, status.FailedStatus, degraded},
	{"task-refused", "the platform refuses its task",
		v1alpha1.PhaseStalled, v1alpha1.ReasonTaskRefused, status.FailedStatus, degraded},
	{"task-expired", "its task was not created in time",
		v1alpha1.PhaseStalled, v1alpha1.ReasonCreationExpired, status.FailedStatus, degraded},
	{"task-without-application", "nobody declared the application that is to create its task",
		v1alpha1.PhaseStalled, v1alpha1.ReasonApplicationNotFound, status.FailedStatus, degraded},
	{"incomplete", "stored results are gone",
		v1alpha1.PhaseStalled, v1alpha1.ReasonResultsIncomplete, status.FailedStatus, degraded},
	{"purging", "waits until another one's results are purged",
		v1alpha1.PhasePending, v1alpha1.ReasonPurging, status.InProgressStatus, progressing},
	{"purge-blocked", "these can't be removed: a newer version wrote some",
		v1alpha1.PhaseStalled, v1alpha1.ReasonPurgeBlocked, status.FailedStatus, degraded},
	{"archived", "its results were removed by retention, it had succeeded",
		v1alpha1.PhaseSucceeded, v1alpha1.ReasonSucceeded, status.CurrentStatus, healthy},
	{"archived-changed", "the spec was changed after that",
		v1alpha1.PhaseSucceeded, v1alpha1.ReasonResultsArchived, status.FailedStatus, degraded},
	{"spec-changed", "the spec was changed, the operator has not seen that",
		v1alpha1.PhaseSucceeded, v1alpha1.ReasonSucceeded, status.InProgressStatus, progressing},
	{"deleted", "it is being deleted with its results",
		v1alpha1.PhaseSucceeded, v1alpha1.ReasonPurging, status.TerminatingStatus, progressing},
	{"released", "it is being deleted, and a finalizer of somebody else's keeps it",
		v1alpha1.PhaseSucceeded, v1alpha1.ReasonReleased, status.TerminatingStatus, progressing},
}
