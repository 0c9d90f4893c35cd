// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ConditionTaskCreated is true when the task of spec.task is there. A FirmwareUpgrade with an operationId in its spec
// does not have this condition.
const ConditionTaskCreated = "TaskCreated"

// Reasons of the condition TaskCreated. There is ReasonNotPermitted, too.
const (
	// ReasonCreated means that the operator created the task.
	ReasonCreated = "Created"
	// ReasonAdopted means that the platform had this task already, and that it is followed.
	ReasonAdopted = "Adopted"
	// ReasonWaiting means that the task is to be created, and why not yet.
	ReasonWaiting = "Waiting"
	// ReasonTaskRefused means that the platform does not create the task, however often it is asked.
	ReasonTaskRefused = "TaskRefused"
	// ReasonTaskExists means that the platform had such a task, of which nobody knows whether it is this one: a person
	// decides.
	ReasonTaskExists = "TaskExists"
	// ReasonCreationExpired means that createBefore passed before the task was created.
	ReasonCreationExpired = "CreationExpired"
	// ReasonApplicationNotFound means that no IoTApplication has the application.
	ReasonApplicationNotFound = "ApplicationNotFound"
	// ReasonResolving means that the platform may have created the task, and that the operator is looking for it.
	ReasonResolving = "Resolving"
	// ReasonCreationUncertain means that looking does not tell whether the platform created the task: a person decides.
	ReasonCreationUncertain = "CreationUncertain"
)
