// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// FirmwareUpgrade follows one firmware upgrade task of the IoT platform: it claims the task, counts what the devices
// report and says when and how the task ended. It names a task that is there (spec.operationId), or has one created
// (spec.task). It does not upgrade devices: the platform does.
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
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=.status.operationId,priority=1
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=.status.appId,priority=1
// +kubebuilder:printcolumn:name="Succeeded",type=integer,JSONPath=.status.devices.succeeded,priority=1
// +kubebuilder:printcolumn:name="In-Progress",type=integer,JSONPath=.status.devices.inProgress,priority=1
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=.status.devices.pending,priority=1
// +kubebuilder:printcolumn:name="Suspect",type=integer,JSONPath=.status.devices.suspect,priority=1
// +kubebuilder:printcolumn:name="Recovered",type=integer,JSONPath=.status.devices.recovered,priority=1
// +kubebuilder:printcolumn:name="Last-Result",type=date,JSONPath=.status.lastResultTime,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=.status.conditions[?(@.type=="Ready")].message,priority=1
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.status) && has(oldSelf.status.task) && has(oldSelf.status.task.state) && oldSelf.status.task.state in ['Creating', 'Created'] && has(oldSelf.spec.task) && has(self.spec.task)) || self.spec.task.packageId == oldSelf.spec.task.packageId && has(self.spec.task.devices) == has(oldSelf.spec.task.devices) && (!has(self.spec.task.devices) || self.spec.task.devices == oldSelf.spec.task.devices) && has(self.spec.task.deviceGroups) == has(oldSelf.spec.task.deviceGroups) && (!has(self.spec.task.deviceGroups) || self.spec.task.deviceGroups == oldSelf.spec.task.deviceGroups) && has(self.spec.task.window) == has(oldSelf.spec.task.window) && (!has(self.spec.task.window) || self.spec.task.window == oldSelf.spec.task.window) && has(self.spec.task.retries) == has(oldSelf.spec.task.retries) && (!has(self.spec.task.retries) || self.spec.task.retries == oldSelf.spec.task.retries) && has(self.spec.task.run) == has(oldSelf.spec.task.run) && (!has(self.spec.task.run) || self.spec.task.run == oldSelf.spec.task.run)",message="spec.task can't be changed, but for createBefore, as the platform has been asked to create this task: for another task create a FirmwareUpgrade with another name, or take this one away and create it anew"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.status) && has(oldSelf.status.task) && has(oldSelf.status.task.state) && oldSelf.status.task.state in ['Creating', 'Created'] && has(oldSelf.spec.task) && !has(self.spec.task)) || has(self.spec.operationId) && has(oldSelf.status.operationId) && self.spec.operationId == oldSelf.status.operationId",message="spec.task can be replaced by operationId with the value of status.operationId alone, as the platform has been asked to create this task: while that is empty, wait"
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
// +kubebuilder:validation:XValidation:rule="has(self.operationId) != has(self.task)",message="set either operationId, to follow a task that is there, or task, to have one created",fieldPath=".operationId"
// +kubebuilder:validation:XValidation:rule="has(self.operationId) || !has(oldSelf.operationId)",message="operationId can't be removed, nor replaced by task: to have a task created, create a FirmwareUpgrade with another name",fieldPath=".operationId"
// +kubebuilder:validation:XValidation:rule="!has(self.task) || has(self.appId)",message="task needs appId: the application on the platform that creates it",fieldPath=".appId"
// +kubebuilder:validation:XValidation:rule="!has(self.task) || !has(self.task.devices) || !(has(self.devices) || has(self.expectedDevices))",message="task.devices says which devices there are: remove devices and expectedDevices"
// +kubebuilder:validation:XValidation:rule="!(has(self.expectedDevices) && has(self.devices))",message="set expectedDevices or devices, not both"
// +kubebuilder:validation:XValidation:rule="has(self.appId) || !has(oldSelf.appId)",message="appId can't be removed: create another FirmwareUpgrade"
// +kubebuilder:validation:XValidation:rule="!has(self.placeholder) || !self.placeholder || has(oldSelf.placeholder) && oldSelf.placeholder",message="placeholder can't be set on a FirmwareUpgrade that is declared"
// +kubebuilder:validation:XValidation:rule="!has(self.placeholder) || !self.placeholder || !(has(self.task) || has(self.targetVersion) || has(self.expectedDevices) || has(self.devices) || has(self.failurePolicy) || has(self.deletionPolicy) && self.deletionPolicy == 'Purge')",message="a placeholder is the operator's: set placeholder to false to declare the task yourself"
// +kubebuilder:validation:XValidation:rule="!has(self.failurePolicy) || !has(self.failurePolicy.minReported) || self.failurePolicy.minReported <= (has(self.expectedDevices) ? self.expectedDevices : has(self.devices) ? self.devices.size() : has(self.task) && has(self.task.devices) ? self.task.devices.size() : 10000000)",message="failurePolicy.minReported is above the number of devices, so that the percentage would never be judged before the end: lower it to expectedDevices, or to the number of devices, or below"
// +kubebuilder:validation:XValidation:rule="!has(self.failurePolicy) || (type(self.failurePolicy.maxFailed) == int ? self.failurePolicy.maxFailed <= (has(self.expectedDevices) ? self.expectedDevices : has(self.devices) ? self.devices.size() : has(self.task) && has(self.task.devices) ? self.task.devices.size() : 10000000) : !self.failurePolicy.maxFailed.matches('^[0-9]{1,7}$') || int(self.failurePolicy.maxFailed) <= (has(self.expectedDevices) ? self.expectedDevices : has(self.devices) ? self.devices.size() : has(self.task) && has(self.task.devices) ? self.task.devices.size() : 10000000))",message="failurePolicy.maxFailed is above the number of devices, so that nothing could break the policy: lower it to expectedDevices, or to the number of devices, or below"
// +kubebuilder:validation:XValidation:rule="!has(self.settleSeconds) || !has(self.deadlineSeconds) || self.settleSeconds <= self.deadlineSeconds",message="settleSeconds is above deadlineSeconds, so that the deadline would pass first: lower settleSeconds, or raise deadlineSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.settleSeconds) || self.settleSeconds in [0, 60] || has(self.expectedDevices) || has(self.devices) || has(self.task)",message="settleSeconds has no effect without expectedDevices or devices: set one of them, or remove settleSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.quietSeconds) || !has(self.deadlineSeconds) || self.quietSeconds == 86400 || self.quietSeconds <= self.deadlineSeconds",message="quietSeconds is above deadlineSeconds, so that the deadline would pass first: lower quietSeconds, or raise deadlineSeconds"
// +kubebuilder:validation:XValidation:rule="!has(self.quietSeconds) || self.quietSeconds == 86400 || !(has(self.expectedDevices) || has(self.devices) || has(self.task) && has(self.task.devices))",message="quietSeconds has no effect where expectedDevices, devices or task.devices is set: remove it, or the other one"
type FirmwareUpgradeSpec struct {
	// operationId is the platform's id of the upgrade task, as its task API returned it and as every notification
	// carries it. Opaque, 1 to 256 bytes without control or invisible characters, without U+FFFD, and without blanks at
	// the ends. Immutable. Exactly one of operationId and task is set. In place of a task that was created, it may be set
	// to the value of status.operationId; in place of one that the platform was not asked for, or of which nobody knows
	// whether it was created, to any.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="operationId is longer than 256 bytes: no notification can carry it"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="operationId has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="operationId holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="operationId is immutable: for another task create a FirmwareUpgrade with another name, such as one with the version in it (meters-1.7). To keep the name, have the object replaced, which loses no result (kubectl: delete and create it; Flux: annotation kustomize.toolkit.fluxcd.io/force: enabled; Argo CD: annotation argocd.argoproj.io/sync-options: Replace=true,Force=true)"
	OperationID string `json:"operationId,omitempty"`

	// task is an upgrade task that the operator creates on the platform, once; status.operationId is its id then. Needs
	// appId, and an IoTApplication that lets this namespace create tasks. Who writes it needs the verb upgrade for
	// firmwareupgrades. While the platform is being asked, and once the task is created, it can't be changed, but for
	// createBefore.
	// +optional
	Task *TaskRequest `json:"task,omitempty"`

	// appId is the northbound application whose task it is. Without it the task of any application with this
	// operationId is claimed; if several applications report the same operationId, set it. An upgrade that has finished
	// keeps the application that it counted. Bounded as operationId is. It may be set later, and is immutable from then
	// on. A task needs it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="appId is longer than 256 bytes: no notification can carry it"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="appId has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="appId holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="appId is immutable: for another application create a FirmwareUpgrade with another name"
	AppID string `json:"appId,omitempty"`

	// targetVersion is the firmware version the devices are upgraded to: a string, so quote it in YAML ("1.6").
	// Succeeded devices whose result names another target, or whose current version is another one, are counted as
	// suspect. Without it the target is taken that most of the devices which succeeded name, of those in devices where
	// that is set; of equally frequent ones the greater text. Bounded as operationId is.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="targetVersion is longer than 256 bytes: no notification can carry it"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="targetVersion has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="targetVersion holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	TargetVersion string `json:"targetVersion,omitempty"`

	// expectedDevices is how many devices the task has: when so many have succeeded or failed and none is in progress, the
	// upgrade is finished. It is not Ready while more have reported, as nobody knows which of them are meant. 1 to
	// 10,000,000. Not together with devices, or task.devices. Without any of them, as many as the platform counts, where
	// an IoTApplication connects the application, else the upgrade finishes after quietSeconds.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	ExpectedDevices *int64 `json:"expectedDevices,omitempty"`

	// devices are the ids of the task's devices, 1 to 1,000, each once and bounded as operationId is: then the status
	// names those that have not reported, and devices that are not listed are counted as unexpected and neither hold the
	// upgrade up nor decide how it ends. For larger tasks use expectedDevices.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="bytes(self).size() <= 256",message="a device id is longer than 256 bytes: no notification can carry it"
	// +kubebuilder:validation:items:XValidation:rule="self.trim() == self",message="a device id has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:items:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="a device id holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	Devices []string `json:"devices,omitempty"`

	// failurePolicy says how many failures are acceptable. Without it any failure makes the upgrade end not Ready.
	// +optional
	FailurePolicy *FailurePolicy `json:"failurePolicy,omitempty"`

	// deadlineSeconds is how long the upgrade may take, counted from the first result or, while there is none, from the
	// creation of this object. Of a task that is created it is counted from that, or from when its window begins, and
	// before from its createBefore. The platform alone may wait 25 h for a device to come online. 60 s to 1 year, default
	// 172800 (48 h).
	// +optional
	// +kubebuilder:default=172800
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=31536000
	DeadlineSeconds *int64 `json:"deadlineSeconds,omitempty"`

	// settleSeconds is how long to wait for retries, when all devices have reported and some failed, before the
	// upgrade is finished; counted from the last result. The platform retries a failed sub-task by itself, up to 5
	// times, if the task says so. Needs expectedDevices, devices or task, and is at most deadlineSeconds. 0 to 1 week,
	// default 60 (a minute).
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	SettleSeconds *int64 `json:"settleSeconds,omitempty"`

	// quietSeconds is, where the number of devices is not known, how long no result may have come for the upgrade to
	// be finished. Not together with expectedDevices, devices or task.devices, and at most deadlineSeconds. 1 s to 1
	// year, default 86400 (24 h).
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
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReported) || self.minReported == 0 || type(self.maxFailed) == string && !self.maxFailed.matches('^[0-9]+$')",message="minReported has no effect where maxFailed is a count: remove it, or write maxFailed as a percentage"
type FailurePolicy struct {
	// maxFailed is how many devices may fail: a count ("20" or 20), at most the number of devices, or a whole percentage
	// ("5%") of the devices that have succeeded or failed so far, at most of expectedDevices. One more breaks the policy.
	// Computed in integers, nothing is rounded.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 10000000 : self.matches('^([0-9]{1,7}|([0-9]|[1-9][0-9]|100)%)$')",message="maxFailed is a count from 0 to 10000000, or a percentage from 0% to 100%"
	MaxFailed intstr.IntOrString `json:"maxFailed"`

	// minReported is how many devices must have succeeded or failed before a percentage is judged. A count is judged
	// at once, so it is not set beside one. When the upgrade has finished, a percentage is judged in any case. 0 to the
	// number of devices, or to 10,000,000 where that is not known; default 0.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000000
	MinReported *int64 `json:"minReported,omitempty"`
}

// FirmwareUpgradeList is a list of FirmwareUpgrades.
//
// +kubebuilder:object:root=true
type FirmwareUpgradeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FirmwareUpgrade `json:"items"`
}
