// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Phase sums the conditions up in a word.
//
// +kubebuilder:validation:Enum=Pending;Running;Stalled;Succeeded;PartiallySucceeded;Failed
type Phase string

const (
	// PhasePending means that no device has reported yet, or that the task is about to be taken over.
	PhasePending Phase = "Pending"
	// PhaseRunning means that devices have reported and others are awaited.
	PhaseRunning Phase = "Running"
	// PhaseStalled means that it can't be counted until somebody acts; the condition Stalled says why.
	PhaseStalled Phase = "Stalled"
	// PhaseSucceeded means finished, and every device succeeded with the right version.
	PhaseSucceeded Phase = "Succeeded"
	// PhasePartiallySucceeded means finished, and some devices failed or are suspect; whether that is acceptable says the
	// condition Ready.
	PhasePartiallySucceeded Phase = "PartiallySucceeded"
	// PhaseFailed means finished, and no device succeeded with the right version, the failure policy is broken, devices
	// were missing at the deadline or more reported than are expected.
	PhaseFailed Phase = "Failed"
)

// FirmwareUpgradeStatus is what the devices reported so far. Where it would grow too large, details are left out,
// counts never.
type FirmwareUpgradeStatus struct {
	// observedGeneration is the metadata.generation this status was computed from; -1 before the operator has seen the
	// object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums the conditions up in a word, for people.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// progress is how many devices have succeeded or failed, of how many that are expected: "1163/1200", or "1163/?"
	// where that is unknown. Devices outside spec.devices are not in it.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Progress string `json:"progress,omitempty"`

	// reason is what a person has to know first: why the upgrade can't be counted or ended badly, as the conditions have
	// it ("DuplicateOperation", "DeadlineExceeded: 35 never reported", "UnexpectedDevices (8)"), else the most frequent
	// cause of failure and how often it was reported ("Invalid URI (14)"), else how many devices are suspect
	// ("VersionSuspect (3)"); empty where nothing is wrong. While devices still report, a broken failure policy stands
	// before that ("FailurePolicyBroken: Invalid URI (14)"). For programs there are the conditions and topCause. At most
	// 300 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Reason string `json:"reason,omitempty"`

	// topCause is the most frequent cause of failure, as in details.causes; empty where nothing failed. At most 256 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	TopCause string `json:"topCause,omitempty"`

	// operationId is the platform's id of the task: that of the spec, or of the task that the operator created or found
	// for spec.task; empty while there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	OperationID string `json:"operationId,omitempty"`

	// task is what became of spec.task.
	// +optional
	Task *TaskStatus `json:"task,omitempty"`

	// appId is the application of the task that is counted: before the first result that of the spec, and empty where
	// notifications name none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	AppID string `json:"appId,omitempty"`

	// startTime is when the first notification of the task arrived.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// lastResultTime is when the newest notification of the task arrived.
	// +optional
	LastResultTime *metav1.Time `json:"lastResultTime,omitempty"`

	// completionTime is when the upgrade finished.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// archiveTime is when retention froze this status to remove the stored results.
	// +optional
	ArchiveTime *metav1.Time `json:"archiveTime,omitempty"`

	// devices counts the devices of the task: expected + unexpected = succeeded + failed + inProgress + pending.
	// +optional
	Devices DeviceCounts `json:"devices,omitzero"`

	// platform is what the platform itself says of the task, where an IoTApplication connects its application.
	// +optional
	Platform *PlatformStatus `json:"platform,omitempty"`

	// details are samples of devices and causes, with deviceId, subOperationId, cause, curVersion and receiveTime for a
	// device that failed. They have no schema, because that would double what each write of the status costs the API
	// server; docs/firmwareupgrade.md describes them.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Details Details `json:"details,omitzero"`

	// operatorState is what the operator remembers of the Events that it has created about this upgrade. For its own use.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	OperatorState OperatorState `json:"operatorState,omitzero"`

	// conditions are Ready, Reconciling, Stalled, Finished and Degraded, Synced where an IoTApplication connects the
	// application, and TaskCreated where spec.task is set.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DeviceCounts counts devices: expected + unexpected = succeeded + failed + inProgress + pending. Every count is always
// written; none is required, so that an operator that knows fewer can be put back.
type DeviceCounts struct {
	// expected is how many devices the spec names, in devices, expectedDevices or task.devices. Where it names none, how
	// many the platform counts, as far as that is known, else how many have reported.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Expected int64 `json:"expected"`
	// unexpected is how many devices reported although the spec does not expect them: ids that are not in spec.devices,
	// or reports beyond spec.expectedDevices.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Unexpected int64 `json:"unexpected"`
	// succeeded is how many devices reported success.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Succeeded int64 `json:"succeeded"`
	// failed is how many devices reported a failure and no success, before or after.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failed int64 `json:"failed"`
	// inProgress is how many devices reported a step of the upgrade, but no result yet.
	// +optional
	// +kubebuilder:validation:Minimum=0
	InProgress int64 `json:"inProgress"`
	// pending is how many expected devices have reported nothing.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Pending int64 `json:"pending"`
	// suspect is how many of the succeeded devices run, or were to run, another version than the target.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Suspect int64 `json:"suspect"`
	// recovered is how many of the succeeded devices have also reported a failure.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Recovered int64 `json:"recovered"`
}

// PlatformStatus is what the platform itself says of a task.
type PlatformStatus struct {
	// observedTime is when the platform was asked. It moves with the next write that tells more.
	// +optional
	ObservedTime metav1.Time `json:"observedTime,omitzero"`
	// state is the platform's state of the task. Failed does not say that it is over: the platform may try failed devices
	// again.
	// +optional
	State PlatformState `json:"state,omitempty"`
	// total is how many devices the task has; failed includes those that timed out.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total int64 `json:"total"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	Waiting int64 `json:"waiting"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	Processing int64 `json:"processing"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	Succeeded int64 `json:"succeeded"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failed int64 `json:"failed"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	Stopped int64 `json:"stopped"`
	// repaired is how many results had to be asked for, because no push brought them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Repaired int64 `json:"repaired"`
}

// PlatformState is the platform's state of a task.
//
// +kubebuilder:validation:Enum=Waiting;Processing;Succeeded;Failed;Stopped;Unknown
type PlatformState string

const (
	// PlatformWaiting means that no device has begun.
	PlatformWaiting PlatformState = "Waiting"
	// PlatformProcessing means that devices are being upgraded.
	PlatformProcessing PlatformState = "Processing"
	// PlatformSucceeded means that every device succeeded.
	PlatformSucceeded PlatformState = "Succeeded"
	// PlatformFailed means that devices failed.
	PlatformFailed PlatformState = "Failed"
	// PlatformStopped means that somebody stopped the task.
	PlatformStopped PlatformState = "Stopped"
	// PlatformUnknown means that the platform says something that this version does not know.
	PlatformUnknown PlatformState = "Unknown"
)

// Details are samples of devices and causes. They are left out where the status would grow too large.
type Details struct {
	// causes group the failed devices by what they reported, the most frequent first; at most 10, then "Other". Their
	// counts add up to devices.failed. Ids and numbers that differ from device to device are replaced, codes stay.
	Causes []CauseCount `json:"causes,omitempty"`
	// failedDevices are the devices that failed most recently, the newest first, at most 20.
	FailedDevices []FailedDevice `json:"failedDevices,omitempty"`
	// missingDevices are those of spec.devices that have not reported anything, at most 20, in the order of spec.devices.
	MissingDevices []string `json:"missingDevices,omitempty"`
	// inProgressDevices are devices that have reported steps and no result, at most 20: those of spec.devices first, then
	// the one of which nothing came for the longest time.
	InProgressDevices []InProgressDevice `json:"inProgressDevices,omitempty"`
	// suspectDevices are devices that succeeded with, or towards, another version than the target, at most 20: those of
	// spec.devices first.
	SuspectDevices []SuspectDevice `json:"suspectDevices,omitempty"`
	// unexpectedDevices are devices that have reported and are not in spec.devices, at most 20. Where spec.devices is not
	// set, nobody can say which ones they are.
	UnexpectedDevices []string `json:"unexpectedDevices,omitempty"`
}

// CauseCount is a group of failed devices that reported the same cause.
type CauseCount struct {
	// cause is taken from the notification's statusDesc, with ids and numbers replaced that differ from device to device;
	// codes stay. "Unspecified" where it was empty, "Other" for all causes beyond the ten most frequent. At most 256
	// bytes.
	Cause string `json:"cause"`
	// example is what the newest of these devices reported, word for word but for characters that can't be seen; empty
	// where that is the cause itself, or nothing, and for "Other". At most 256 bytes.
	Example string `json:"example,omitempty"`
	// count is how many devices are in the group, at least 1.
	Count int64 `json:"count"`
	// devices are ids of devices of the group, the newest first, at most 3.
	Devices []string `json:"devices,omitempty"`
}

// FailedDevice is a device whose upgrade failed.
type FailedDevice struct {
	// deviceId is the platform's id of the device, at most 256 bytes.
	DeviceID string `json:"deviceId"`
	// subOperationId is the platform's id of the sub-task that failed, at most 256 bytes.
	SubOperationID string `json:"subOperationId,omitempty"`
	// cause is the group of details.causes the failure belongs to.
	Cause string `json:"cause,omitempty"`
	// curVersion is the firmware version the device reported with the failure, at most 256 bytes.
	CurVersion string `json:"curVersion,omitempty"`
	// receiveTime is when the notification arrived.
	ReceiveTime metav1.Time `json:"receiveTime"`
}

// InProgressDevice is a device that has reported steps and no result.
type InProgressDevice struct {
	// deviceId is the platform's id of the device, at most 256 bytes.
	DeviceID string `json:"deviceId"`
	// state is the farthest step that it reported: Idle, Downloading, Downloaded or Updating; Unknown where a newer
	// version of the operator stored it.
	State string `json:"state"`
	// receiveTime is when the device reported this step last.
	ReceiveTime metav1.Time `json:"receiveTime"`
}

// SuspectDevice is a device that succeeded with, or towards, another version than the target.
type SuspectDevice struct {
	// deviceId is the platform's id of the device, at most 256 bytes.
	DeviceID string `json:"deviceId"`
	// curVersion is the firmware version that the device reported with its success, at most 256 bytes; empty where it
	// reported none.
	CurVersion string `json:"curVersion,omitempty"`
	// targetVersion is the version to which its result says it was upgraded, at most 256 bytes; empty where it says none.
	TargetVersion string `json:"targetVersion,omitempty"`
}

// OperatorState is what the operator remembers between two status writes: what it has announced by Events, and the
// outbox of what it is about to announce. What is still to be announced follows from this record and the rest of the
// status, so that no Event depends on catching the moment at which something changed.
type OperatorState struct {
	// leader stands for the process that wrote this status, so that another leader's status is told from one that
	// somebody else changed.
	Leader string `json:"leader,omitempty"`
	// detailsDigest is that of the details which were written with it, so that what somebody else writes there is noticed
	// also where the details can't be computed again.
	DetailsDigest string `json:"detailsDigest,omitempty"`
	// announced says what has been put into the outbox, now or before.
	Announced Announced `json:"announced,omitzero"`
	// sequence is the number of the newest Event in the outbox; an Event's name is "<uid of this
	// object>.<number>-<planTime in microseconds, hexadecimal>".
	Sequence int64 `json:"sequence,omitempty"`
	// outbox are the Events that may not have been created yet, at most 32, the last of them numbered sequence.
	Outbox []OutboxEvent `json:"outbox,omitempty"`
}

// Announced says what has been announced by Events, or put into the outbox.
type Announced struct {
	// placeholder says that it was announced that the operator made this object.
	Placeholder bool `json:"placeholder,omitempty"`
	// task is the created task that was announced.
	Task string `json:"task,omitempty"`
	// started says that the first result was announced.
	Started bool `json:"started,omitempty"`
	// degradedGeneration is the last metadata.generation in which a broken failure policy was announced.
	DegradedGeneration int64 `json:"degradedGeneration,omitempty"`
	// finished says that the present end was announced; false again when the end was withdrawn.
	Finished bool `json:"finished,omitempty"`
	// ready is whether the end was announced as a good one.
	Ready bool `json:"ready,omitempty"`
	// suspect says that devices with another version than the target were announced.
	Suspect bool `json:"suspect,omitempty"`
	// repaired is how many results were announced that had to be asked for.
	Repaired int64 `json:"repaired,omitempty"`
	// problem is the reason of the configuration problem that was announced, such as DuplicateOperation; empty where
	// there is none at present.
	Problem string `json:"problem,omitempty"`
	// failures is how many devices' failures were announced, alone or in a digest: a position in the log of failures. In
	// the end it equals devices.failed + devices.recovered.
	Failures int64 `json:"failures,omitempty"`
	// failuresTime is when failures were last put into the outbox; digests keep a distance from it.
	FailuresTime *metav1.Time `json:"failuresTime,omitempty"`
}

// OutboxEvent is the content of an Event that may not have been created yet.
type OutboxEvent struct {
	// type is Normal or Warning.
	Type string `json:"type"`
	// reason is the Event's reason, a CamelCase word such as DeviceFailed.
	Reason string `json:"reason"`
	// note is the Event's text, at most 640 bytes.
	Note string `json:"note"`
	// failures is how many failed devices the Event announces.
	Failures int64 `json:"failures,omitempty"`
	// devices are ids of devices the Event is about, at most 3.
	Devices []string `json:"devices,omitempty"`
	// cause is the failures' group of details.causes.
	Cause string `json:"cause,omitempty"`
	// planTime is when the Event was put into the outbox.
	PlanTime metav1.MicroTime `json:"planTime"`
}
