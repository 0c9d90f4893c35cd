// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// FirmwareUpgrade follows one firmware upgrade task of the IoT platform: it claims the task, counts what the devices
// report and says when and how the task ended. It does not upgrade devices: the platform does.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=firmwareupgrades,shortName=fwu,categories=fwupgrade
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=.spec.targetVersion
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=.status.phase
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=.status.conditions[?(@.type=="Ready")].status
// +kubebuilder:printcolumn:name="Progress",type=string,JSONPath=.status.progress
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=.status.devices.failed
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=.status.reason
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=.spec.operationId,priority=1
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=.status.appId,priority=1
// +kubebuilder:printcolumn:name="Succeeded",type=integer,JSONPath=.status.devices.succeeded,priority=1
// +kubebuilder:printcolumn:name="In-Progress",type=integer,JSONPath=.status.devices.inProgress,priority=1
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=.status.devices.pending,priority=1
// +kubebuilder:printcolumn:name="Suspect",type=integer,JSONPath=.status.devices.suspect,priority=1
// +kubebuilder:printcolumn:name="Recovered",type=integer,JSONPath=.status.devices.recovered,priority=1
// +kubebuilder:printcolumn:name="Last-Result",type=date,JSONPath=.status.lastResultTime,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=.status.conditions[?(@.type=="Ready")].message,priority=1
type FirmwareUpgrade struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which task is followed and what counts as finished and as good.
	// +required
	Spec FirmwareUpgradeSpec `json:"spec"`

	// status is what the devices reported so far. Written by the operator alone, and therefore one field to the managers
	// of fields: to tell every count apart would double what a write of it costs the API server.
	// +optional
	// +structType=atomic
	// +kubebuilder:default:={"observedGeneration":-1}
	Status FirmwareUpgradeStatus `json:"status,omitzero"`
}

// FirmwareUpgradeSpec says which task is followed and what counts as finished and as good.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.expectedDevices) && has(self.devices))",message="set expectedDevices or devices, not both"
// +kubebuilder:validation:XValidation:rule="has(self.appId) || !has(oldSelf.appId)",message="appId can't be removed: create another FirmwareUpgrade"
// +kubebuilder:validation:XValidation:rule="!has(self.placeholder) || !self.placeholder || has(oldSelf.placeholder) && oldSelf.placeholder",message="placeholder can't be set on a FirmwareUpgrade that is declared"
// +kubebuilder:validation:XValidation:rule="!has(self.placeholder) || !self.placeholder || !(has(self.targetVersion) || has(self.expectedDevices) || has(self.devices) || has(self.failurePolicy) || has(self.deletionPolicy) && self.deletionPolicy == 'Purge')",message="a placeholder is the operator's: set placeholder to false to declare the task yourself"
type FirmwareUpgradeSpec struct {
	// operationId is the platform's id of the upgrade task, as its task API returned it and as every notification
	// carries it. Opaque, at most 256 bytes. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="operationId is immutable: create another FirmwareUpgrade for another task"
	OperationID string `json:"operationId"`

	// appId is the northbound application whose task it is. Without it the task of any application with this
	// operationId is claimed; if several applications report the same operationId, set it. At most 256 bytes. It may be
	// set later, and is immutable from then on.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="appId is immutable: create another FirmwareUpgrade for another application"
	AppID string `json:"appId,omitempty"`

	// targetVersion is the firmware version the devices are upgraded to: a string, so quote it in YAML ("1.6").
	// Succeeded devices whose result names another target, or whose current version is another one, are counted as
	// suspect. Without it the target that each result names is taken. At most 256 bytes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	TargetVersion string `json:"targetVersion,omitempty"`

	// expectedDevices is how many devices the task has: when so many have succeeded or failed and none is in progress, the
	// upgrade is finished. 1 to 10,000,000. Not together with devices. Without both, the upgrade finishes after
	// quietSeconds.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	ExpectedDevices *int64 `json:"expectedDevices,omitempty"`

	// devices are the ids of the task's devices, at most 1,000 of at most 256 bytes, each once: then the status names
	// those that have not reported, and devices that are not listed are counted as unexpected and neither hold the
	// upgrade up nor decide how it ends. For larger tasks use expectedDevices.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Devices []string `json:"devices,omitempty"`

	// failurePolicy says how many failures are acceptable. Without it any failure makes the upgrade end not Ready.
	// +optional
	FailurePolicy *FailurePolicy `json:"failurePolicy,omitempty"`

	// deadlineSeconds is how long the upgrade may take, counted from the first result or, while there is none, from the
	// creation of this object. The platform alone may wait 25 h for a device to come online. 60 s to 1 year,
	// default 172800 (48 h).
	// +optional
	// +kubebuilder:default=172800
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=31536000
	DeadlineSeconds *int64 `json:"deadlineSeconds,omitempty"`

	// settleSeconds is how long to wait for retries, when all devices have reported and some failed, before the
	// upgrade is finished; counted from the last result. 0 to 1 week, default 0.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	SettleSeconds *int64 `json:"settleSeconds,omitempty"`

	// quietSeconds is, where the number of devices is not known, how long no result may have come for the upgrade to
	// be finished. 1 s to 1 year, default 86400 (24 h).
	// +optional
	// +kubebuilder:default=86400
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	QuietSeconds *int64 `json:"quietSeconds,omitempty"`

	// retainResultsSeconds is how long the stored results are kept after the upgrade finished. Then the status is
	// frozen (status.archiveTime) and the results are removed. 0 to 10 years, default 2592000 (30 days).
	// +optional
	// +kubebuilder:default=2592000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=315360000
	RetainResultsSeconds *int64 `json:"retainResultsSeconds,omitempty"`

	// deletionPolicy says what becomes of the stored results when this object is deleted. Retain keeps them until
	// retention, so that a FirmwareUpgrade that is declared anew counts them. Purge removes those received until the
	// deletion; a finalizer keeps the object until that is done, some 15 seconds. Default Retain.
	// +optional
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// placeholder says that the operator made this object for a task that nobody declared. It is removed when somebody
	// declares the task. To declare the task in place, set it to false; it can't be set again.
	// +optional
	Placeholder bool `json:"placeholder,omitempty"`
}

// DeletionPolicy says what becomes of the stored results when a FirmwareUpgrade is deleted.
//
// +kubebuilder:validation:Enum=Retain;Purge
type DeletionPolicy string

const (
	// DeletionPolicyRetain keeps the results until retention.
	DeletionPolicyRetain DeletionPolicy = "Retain"
	// DeletionPolicyPurge removes the results that were received until the deletion.
	DeletionPolicyPurge DeletionPolicy = "Purge"
)

// FailurePolicy says how many failed devices are acceptable.
type FailurePolicy struct {
	// maxFailed is how many devices may fail: a count ("20" or 20), or a percentage ("5%") of the devices that have
	// succeeded or failed so far. One more breaks the policy. Computed in integers, nothing is rounded.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 10000000 : self.matches('^([0-9]{1,7}|([0-9]|[1-9][0-9]|100)%)$')",message="maxFailed is a count from 0 to 10000000, or a percentage from 0% to 100%"
	MaxFailed intstr.IntOrString `json:"maxFailed"`

	// minReported is how many devices must have succeeded or failed before a percentage is judged. A count is judged
	// at once. When the upgrade has finished, a percentage is judged in any case. 0 to 10,000,000, default 0.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000000
	MinReported *int64 `json:"minReported,omitempty"`
}

// Phase sums the conditions up in a word.
//
// +kubebuilder:validation:Enum=Pending;Running;Succeeded;PartiallySucceeded;Failed
type Phase string

const (
	// PhasePending means that no device has reported yet.
	PhasePending Phase = "Pending"
	// PhaseRunning means that devices have reported and others are awaited.
	PhaseRunning Phase = "Running"
	// PhaseSucceeded means finished, and every device succeeded.
	PhaseSucceeded Phase = "Succeeded"
	// PhasePartiallySucceeded means finished, and some devices failed; whether that is acceptable says the condition
	// Ready.
	PhasePartiallySucceeded Phase = "PartiallySucceeded"
	// PhaseFailed means finished, and no device succeeded, the failure policy is broken or devices were missing at the
	// deadline.
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
	// it ("DuplicateOperation", "DeadlineExceeded: 35 never reported"), else the most frequent cause of failure and how
	// often it was reported ("Invalid URI (14)"); empty where nothing is wrong. For programs there are the conditions and
	// topCause. At most 300 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Reason string `json:"reason,omitempty"`

	// topCause is the most frequent cause of failure, as in details.causes; empty where nothing failed. At most 256 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	TopCause string `json:"topCause,omitempty"`

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

	// conditions are Ready, Reconciling, Stalled, Finished and Degraded.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DeviceCounts counts devices: expected + unexpected = succeeded + failed + inProgress + pending. Every count is always
// written; none is required, so that an operator that knows fewer can be put back.
type DeviceCounts struct {
	// expected is how many devices the spec names. Where it names none, how many have reported.
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

// Details are samples of devices and causes. They are left out where the status would grow too large.
type Details struct {
	// causes group the failed devices by what they reported, the most frequent first; at most 10, then "Other". Their
	// counts add up to devices.failed. Ids and numbers within a text are replaced so that one cause is one group.
	Causes []CauseCount `json:"causes,omitempty"`
	// failedDevices are the devices that failed most recently, the newest first, at most 20.
	FailedDevices []FailedDevice `json:"failedDevices,omitempty"`
	// missingDevices are those of spec.devices that have not reported anything, at most 20, in the order of spec.devices.
	MissingDevices []string `json:"missingDevices,omitempty"`
}

// CauseCount is a group of failed devices that reported the same cause.
type CauseCount struct {
	// cause is taken from the notification's statusDesc with ids and numbers replaced; "Unspecified" where it was empty,
	// "Other" for all causes beyond the ten most frequent. At most 256 bytes.
	Cause string `json:"cause"`
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

// OperatorState is what the operator remembers between two status writes: what it has announced by Events, and the
// outbox of what it is about to announce. What is still to be announced follows from this record and the rest of the
// status, so that no Event depends on catching the moment at which something changed.
type OperatorState struct {
	// leader stands for the process that wrote this status, so that another leader's status is told from one that
	// somebody else changed.
	Leader string `json:"leader,omitempty"`
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
	// note is the Event's text, at most 512 bytes.
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

// FirmwareUpgradeList is a list of FirmwareUpgrades.
//
// +kubebuilder:object:root=true
type FirmwareUpgradeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FirmwareUpgrade `json:"items"`
}
