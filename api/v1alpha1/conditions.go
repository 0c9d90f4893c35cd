// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of a FirmwareUpgrade. Ready, Reconciling and Stalled follow kstatus, so that Flux, Argo CD and
// kubectl understand them; never are Reconciling and Stalled true at once.
const (
	// ConditionReady is true when the upgrade finished without failed or suspect devices, or with so few that the failure
	// policy allows them.
	ConditionReady = "Ready"
	// ConditionReconciling is true while results are awaited.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is true when somebody has to act: the upgrade went wrong or can't be counted.
	ConditionStalled = "Stalled"
	// ConditionFinished is true once the upgrade came to an end, either way.
	ConditionFinished = "Finished"
	// ConditionDegraded is true as soon as the failure policy is broken.
	ConditionDegraded = "Degraded"
)

// Reasons of the conditions above.
const (
	// ReasonPending means that no device has reported yet.
	ReasonPending = "Pending"
	// ReasonRunning means that devices have reported and others are awaited.
	ReasonRunning = "Running"
	// ReasonSucceeded means that every device that reported succeeded, with the right version.
	ReasonSucceeded = "Succeeded"
	// ReasonPartiallySucceeded means that some devices succeeded and some failed or are suspect.
	ReasonPartiallySucceeded = "PartiallySucceeded"
	// ReasonFailed means that no device succeeded with the right version, or that the failure policy is broken.
	ReasonFailed = "Failed"
	// ReasonDeadlineExceeded means that the deadline passed while devices were pending or in progress, or while they still
	// reported and nobody knows how many there are.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonUnexpectedDevices means that more devices reported than spec.expectedDevices says, so that nobody knows which
	// of them are meant.
	ReasonUnexpectedDevices = "UnexpectedDevices"
	// ReasonFailurePolicyBroken means that more devices failed or are suspect than spec.failurePolicy allows.
	ReasonFailurePolicyBroken = "FailurePolicyBroken"
	// ReasonWithinPolicy means that no more devices failed or are suspect than spec.failurePolicy allows.
	ReasonWithinPolicy = "WithinPolicy"
	// ReasonNoFailurePolicy means that spec.failurePolicy is not set, so that it can't be broken.
	ReasonNoFailurePolicy = "NoFailurePolicy"
	// ReasonDuplicateOperation means that another FirmwareUpgrade has the task.
	ReasonDuplicateOperation = "DuplicateOperation"
	// ReasonAwaitingTask means that another FirmwareUpgrade has the task, and may be about to go, as when one is renamed.
	ReasonAwaitingTask = "AwaitingTask"
	// ReasonAmbiguousOperation means that spec.appId is not set and several applications report this operationId.
	ReasonAmbiguousOperation = "AmbiguousOperation"
	// ReasonNotPermitted means that the application is not one of this namespace's.
	ReasonNotPermitted = "NotPermitted"
	// ReasonPurging means that the FirmwareUpgrade that has the task is being deleted, and its results with it.
	ReasonPurging = "Purging"
	// ReasonReleased means that the FirmwareUpgrade is being deleted and has no task any more, while a finalizer that is
	// not the operator's keeps it.
	ReasonReleased = "Released"
	// ReasonResultsArchived means that the spec was changed after retention removed the results.
	ReasonResultsArchived = "ResultsArchived"
	// ReasonPurgeBlocked means that the results of one that was deleted before have to be removed first, and can't be.
	ReasonPurgeBlocked = "PurgeBlocked"
	// ReasonResultsIncomplete means that results are not stored any more that the status has already counted, or can't
	// be read.
	ReasonResultsIncomplete = "ResultsIncomplete"
)

// FinalizerPurge keeps a FirmwareUpgrade with the deletion policy Purge until its results are removed.
const FinalizerPurge = "fwupgrade.io/purge"
