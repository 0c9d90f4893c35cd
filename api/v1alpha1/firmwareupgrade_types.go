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
// +kubebuilder:selectablefield:JSONPath=.spec.operationId
// +kubebuilder:selectablefield:JSONPath=.status.phase
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=.spec.operationId
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=.spec.targetVersion
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=.status.phase
// +kubebuilder:printcolumn:name="Progress",type=string,JSONPath=.status.progress
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=.status.devices.failed
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=.status.reason
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=.spec.appId,priority=1
// +kubebuilder:printcolumn:name="Succeeded",type=integer,JSONPath=.status.devices.succeeded,priority=1
// +kubebuilder:printcolumn:name="In Progress",type=integer,JSONPath=.status.devices.inProgress,priority=1
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=.status.devices.pending,priority=1
// +kubebuilder:printcolumn:name="Suspect",type=integer,JSONPath=.status.devices.suspect,priority=1
// +kubebuilder:printcolumn:name="Recovered",type=integer,JSONPath=.status.devices.recovered,priority=1
// +kubebuilder:printcolumn:name="Last Result",type=date,JSONPath=.status.lastResultTime,priority=1
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=.status.conditions[?(@.type=="Ready")].status,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=.status.conditions[?(@.type=="Ready")].message,priority=1
type FirmwareUpgrade struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which task is followed and what counts as finished and as good.
	// +required
	Spec FirmwareUpgradeSpec `json:"spec"`

	// status is what the devices reported so far. Written by the operator alone.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status FirmwareUpgradeStatus `json:"status,omitzero"`
}

// FirmwareUpgradeSpec says which task is followed and what counts as finished and as good.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.expectedDevices) && has(self.devices))",message="set expectedDevices or devices, not both"
// +kubebuilder:validation:XValidation:rule="has(self.appId) == has(oldSelf.appId)",message="appId is immutable, also when it is not set: create another FirmwareUpgrade"
type FirmwareUpgradeSpec struct {
	// operationId is the platform's id of the upgrade task, as its task API returned it and as every notification
	// carries it. Opaque, at most 256 bytes. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="operationId is immutable: create another FirmwareUpgrade for another task"
	OperationID string `json:"operationId"`

	// appId is the northbound application whose task it is. Without it the task of any application with this
	// operationId is claimed; if several applications report the same operationId, set it. At most 256 bytes.
	// Immutable, also when it is not set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="appId is immutable: create another FirmwareUpgrade for another application"
	AppID string `json:"appId,omitempty"`

	// targetVersion is the firmware version the devices are upgraded to: a string, so quote it in YAML ("1.6"). Succeeded devices whose result names another
	// target, or whose current version is another one, are counted as suspect. Without it the target that each result
	// names is taken. At most 256 bytes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	TargetVersion string `json:"targetVersion,omitempty"`

	// expectedDevices is how many devices the task has: when so many have succeeded or failed, the upgrade is
	// finished. 1 to 10,000,000. Not together with devices. Without both, the upgrade finishes after quietSeconds.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	ExpectedDevices *int64 `json:"expectedDevices,omitempty"`

	// devices are the ids of the task's devices, at most 1,000 of at most 256 bytes: then status.missingDevices names
	// those that have not reported. An id that stands twice counts once. For larger tasks use expectedDevices.
	// +optional
	// +listType=atomic
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
	// frozen (status.archivedAt) and the results are removed. 0 to 10 years, default 2592000 (30 days).
	// +optional
	// +kubebuilder:default=2592000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=315360000
	RetainResultsSeconds *int64 `json:"retainResultsSeconds,omitempty"`
}

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
	// PhasePartiallySucceeded means finished, and some devices failed; whether that is acceptable says the condition Ready.
	PhasePartiallySucceeded Phase = "PartiallySucceeded"
	// PhaseFailed means finished, and no device succeeded, the failure policy is broken or devices were missing at the deadline.
	PhaseFailed Phase = "Failed"
)

// FirmwareUpgradeStatus is what the devices reported so far, at most 32 KiB: where it would grow larger, samples are
// shed, counts never.
type FirmwareUpgradeStatus struct {
	// observedGeneration is the metadata.generation this status was computed from; -1 before the operator has seen the
	// object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums the conditions up in a word, for people.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// progress is how many devices have succeeded or failed, unexpected ones included, of how many that are expected:
	// "1163/1200", or "1163/?" where that is unknown.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Progress string `json:"progress,omitempty"`

	// reason is what to know first: why the FirmwareUpgrade can't be counted (a reason of the condition Stalled, such as
	// DuplicateOperation), else the most frequent cause of failure; empty where nothing failed. At most 256 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`

	// startTime is when the first notification of the task arrived.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// lastResultTime is when the newest notification of the task arrived.
	// +optional
	LastResultTime *metav1.Time `json:"lastResultTime,omitempty"`

	// completionTime is when the upgrade finished.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// archivedAt is when retention froze this status to remove the stored results.
	// +optional
	ArchivedAt *metav1.Time `json:"archivedAt,omitempty"`

	// devices counts the devices of the task: expected + unexpected = succeeded + failed + inProgress + pending.
	// +optional
	Devices DeviceCounts `json:"devices,omitzero"`

	// reasons group the failed devices by what they reported, the most frequent first; at most 10, then "Other". Their
	// counts add up to devices.failed. Ids and numbers within a text are replaced so that one cause is one group.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=11
	Reasons []ReasonCount `json:"reasons,omitempty"`

	// failedDevices are the devices that failed most recently, the newest first, at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	FailedDevices []FailedDevice `json:"failedDevices,omitempty"`

	// missingDevices are those of spec.devices that have not reported anything, at most 20, in the order of spec.devices.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=256
	MissingDevices []string `json:"missingDevices,omitempty"`

	// events is the outbox of the Kubernetes Events about this upgrade. For the operator's own use.
	// +optional
	Events EventsStatus `json:"events,omitzero"`

	// conditions are Ready, Reconciling, Stalled, Finished and Degraded.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DeviceCounts counts devices: expected + unexpected = succeeded + failed + inProgress + pending.
type DeviceCounts struct {
	// expected is how many devices the spec names. Where it names none, how many have reported.
	// +kubebuilder:validation:Minimum=0
	Expected int64 `json:"expected"`
	// unexpected is how many devices reported although the spec does not expect them: ids that are not in spec.devices,
	// or reports beyond spec.expectedDevices.
	// +kubebuilder:validation:Minimum=0
	Unexpected int64 `json:"unexpected"`
	// succeeded is how many devices reported success.
	// +kubebuilder:validation:Minimum=0
	Succeeded int64 `json:"succeeded"`
	// failed is how many devices reported a failure and no success, before or after.
	// +kubebuilder:validation:Minimum=0
	Failed int64 `json:"failed"`
	// inProgress is how many devices reported a step of the upgrade, but no result yet.
	// +kubebuilder:validation:Minimum=0
	InProgress int64 `json:"inProgress"`
	// pending is how many expected devices have reported nothing.
	// +kubebuilder:validation:Minimum=0
	Pending int64 `json:"pending"`
	// suspect is how many of the succeeded devices run, or were to run, another version than the target.
	// +kubebuilder:validation:Minimum=0
	Suspect int64 `json:"suspect"`
	// recovered is how many of the succeeded devices have also reported a failure.
	// +kubebuilder:validation:Minimum=0
	Recovered int64 `json:"recovered"`
}

// ReasonCount is a group of failed devices that reported the same cause.
type ReasonCount struct {
	// reason is the cause, taken from the notification's statusDesc with ids and numbers replaced; "Unspecified" where
	// it was empty, "Other" for all causes beyond the ten most frequent. At most 256 bytes.
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// count is how many devices are in the group.
	// +kubebuilder:validation:Minimum=1
	Count int64 `json:"count"`
	// devices are ids of devices of the group, the newest first, at most 3.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:MaxLength=256
	Devices []string `json:"devices,omitempty"`
}

// FailedDevice is a device whose upgrade failed.
type FailedDevice struct {
	// deviceId is the platform's id of the device.
	// +kubebuilder:validation:MaxLength=256
	DeviceID string `json:"deviceId"`
	// subOperationId is the platform's id of the sub-task that failed.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	SubOperationID string `json:"subOperationId,omitempty"`
	// reason is the group of status.reasons the failure belongs to.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
	// curVersion is the firmware version the device reported with the failure.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	CurVersion string `json:"curVersion,omitempty"`
	// receivedAt is when the notification arrived.
	ReceivedAt metav1.Time `json:"receivedAt"`
}

// EventsStatus is the outbox of Kubernetes Events: what is to be announced is written here first, and leaves the list
// after the Event was created, so that a crash neither loses nor repeats it.
type EventsStatus struct {
	// announced is how many devices' failures have been announced, alone or in a digest; in the end it equals
	// devices.failed + devices.recovered.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Announced int64 `json:"announced,omitempty"`
	// sequence is the number of the newest Event; an Event's name is "<uid of this object>.<sequence>".
	// +optional
	// +kubebuilder:validation:Minimum=0
	Sequence int64 `json:"sequence,omitempty"`
	// lastFailuresTime is when failures were last put into the outbox; digests keep a distance from it.
	// +optional
	LastFailuresTime *metav1.Time `json:"lastFailuresTime,omitempty"`
	// pending are the Events that may not have been created yet, the last of them numbered sequence.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=24
	Pending []PendingEvent `json:"pending,omitempty"`
}

// PendingEvent is the content of an Event that may not have been created yet.
type PendingEvent struct {
	// type is Normal or Warning.
	// +kubebuilder:validation:Enum=Normal;Warning
	Type string `json:"type"`
	// reason is the Event's reason, a CamelCase word such as DeviceFailed.
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// note is the Event's text, at most 1,024 bytes.
	// +kubebuilder:validation:MaxLength=1024
	Note string `json:"note"`
	// failures is how many failed devices the Event announces.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failures int64 `json:"failures,omitempty"`
	// devices are ids of devices the Event is about, at most 3.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:MaxLength=256
	Devices []string `json:"devices,omitempty"`
	// cause is the failures' group of status.reasons.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Cause string `json:"cause,omitempty"`
	// time is when the Event was put into the outbox.
	Time metav1.MicroTime `json:"time"`
}

// FirmwareUpgradeList is a list of FirmwareUpgrades.
//
// +kubebuilder:object:root=true
type FirmwareUpgradeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FirmwareUpgrade `json:"items"`
}
