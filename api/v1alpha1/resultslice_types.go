// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Bounds of a slice. The webhook cuts what it received to them before it stores it.
const (
	// MaxSliceBytes is how large a slice may be, encoded as JSON.
	MaxSliceBytes = 256 << 10
	// MaxSliceTasks is how many entries spec.tasks may have.
	MaxSliceTasks = 2048
	// MaxTaskResults is how many results an entry of spec.tasks may have.
	MaxTaskResults = 4096
	// MaxIDBytes is how long a platform id may be. Longer ones can't be used: cutting them could make two devices one.
	MaxIDBytes = 256
	// MaxVersionBytes is what firmware versions are cut to.
	MaxVersionBytes = 256
	// MaxStatusDescBytes is what the description of a result is cut to.
	MaxStatusDescBytes = 1024
	// MaxUpgradeTimeBytes is what upgradeTime is cut to.
	MaxUpgradeTimeBytes = 64
	// MaxRejectedBodyBytes is what the body of a rejected notification is cut to.
	MaxRejectedBodyBytes = 4096
	// MaxRejectedReasonBytes is what the reason of a rejection is cut to.
	MaxRejectedReasonBytes = 256
)

// FirmwareUpgradeResultSlice is an immutable batch of results, as the webhook stored them or as compaction merged
// them. Slices are the operator's storage, in its own namespace; they are removed by compaction and retention alone.
// Deleting one by hand loses results.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=firmwareupgraderesultslices,shortName=fwslice,categories=fwupgrade
// +kubebuilder:printcolumn:name="Task",type=string,JSONPath=.metadata.labels.fwupgrade\.io/task-hash
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=.spec.tasks[0].operationId
// +kubebuilder:printcolumn:name="Rejected",type=string,JSONPath=.spec.rejected[0].reason
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
type FirmwareUpgradeResultSlice struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the batch. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a slice is immutable"
	Spec FirmwareUpgradeResultSliceSpec `json:"spec"`
}

// FirmwareUpgradeResultSliceSpec is a batch of results, rejected notifications and released tasks.
type FirmwareUpgradeResultSliceSpec struct {
	// tasks are the results, by task. A task may have several entries.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2048
	Tasks []TaskResults `json:"tasks,omitempty"`

	// rejected are authentic notifications that could not be used.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Rejected []RejectedNotification `json:"rejected,omitempty"`

	// released are tasks whose FirmwareUpgrade was deleted: results received before that bring no placeholder back.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Released []ReleasedTask `json:"released,omitempty"`
}

// ResultFields are the fields of a result that the results of an entry often share. A field stands either in the entry,
// where it holds for all its results, or in each result.
type ResultFields struct {
	// state is how far the device got.
	// +optional
	State State `json:"state,omitempty"`
	// targetVersion is the version the device was to be upgraded to.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	TargetVersion string `json:"targetVersion,omitempty"`
	// sourceVersion is the version the device had before.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	SourceVersion string `json:"sourceVersion,omitempty"`
	// curVersion is the version the device reported.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	CurVersion string `json:"curVersion,omitempty"`
	// statusDesc is the platform's description of the result.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	StatusDesc string `json:"statusDesc,omitempty"`
	// upgradeTime is the duration of the upgrade as it came; its unit is not documented by the platform.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UpgradeTime string `json:"upgradeTime,omitempty"`
}

// TaskResults are results of one task, with what they share.
type TaskResults struct {
	// appId is the application of the task; empty where the notification named none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	AppID string `json:"appId,omitempty"`
	// operationId is the task.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	OperationID string `json:"operationId"`

	ResultFields `json:",inline"`

	// firstReceivedAt is when the first notification that went into this entry arrived, in microseconds since
	// 1970-01-01 UTC, where that is before every result's receivedAt: compaction keeps one result a device.
	// +optional
	FirstReceivedAt int64 `json:"firstReceivedAt,omitempty"`
	// lastReceivedAt is when the last one arrived, where that is after every result's receivedAt.
	// +optional
	LastReceivedAt int64 `json:"lastReceivedAt,omitempty"`

	// results are the results, one a device or several.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4096
	Results []DeviceResult `json:"results"`
}

// DeviceResult is what one device reported.
type DeviceResult struct {
	// deviceId is the device.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	DeviceID string `json:"deviceId"`
	// subOperationId is the platform's sub-task.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	SubOperationID string `json:"subOperationId,omitempty"`

	ResultFields `json:",inline"`

	// receivedAt is when the notification arrived, in microseconds since 1970-01-01 UTC.
	ReceivedAt int64 `json:"receivedAt"`
	// failedAt is when the device's earliest failure arrived, in microseconds since 1970-01-01 UTC, where that is another
	// notification than this one.
	// +optional
	FailedAt int64 `json:"failedAt,omitempty"`
}

// RejectedNotification is an authentic notification that could not be used.
type RejectedNotification struct {
	// receivedAt is when it arrived.
	ReceivedAt metav1.MicroTime `json:"receivedAt"`
	// reason says why it could not be used.
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// body is its beginning, at most 4 KiB; bytes that are not UTF-8 are replaced.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Body string `json:"body,omitempty"`
}

// ReleasedTask is a task whose FirmwareUpgrade was deleted.
type ReleasedTask struct {
	// appId is the application of the task.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	AppID string `json:"appId,omitempty"`
	// operationId is the task.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	OperationID string `json:"operationId"`
	// releasedAt is when the FirmwareUpgrade was deleted.
	ReleasedAt metav1.MicroTime `json:"releasedAt"`
}

// FirmwareUpgradeResultSliceList is a list of FirmwareUpgradeResultSlices.
//
// +kubebuilder:object:root=true
type FirmwareUpgradeResultSliceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FirmwareUpgradeResultSlice `json:"items"`
}
