// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Bounds of a slice. The webhook cuts what it received to them before it stores it.
const (
	// MaxSliceBytes is how large a slice may be, encoded as JSON.
	MaxSliceBytes = 256 << 10
	// MaxSliceTables is how many tables a slice may have: there are fewer states, and a table for each will do.
	MaxSliceTables = 16
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
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=.spec.tables[0].operationId
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
	// tables are the results.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Tables []ResultTable `json:"tables,omitempty"`

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

// ResultTable is results as a table. What all of them share stands once, as a field; the rest stands in the rows. A
// field that is neither here nor a column is empty in all of them.
type ResultTable struct {
	// appId is the application of the task; empty where the notifications named none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	AppID string `json:"appId,omitempty"`
	// operationId is the task, where all results are of one.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	OperationID string `json:"operationId,omitempty"`

	ResultFields `json:",inline"`

	// rows are the results as CSV (RFC 4180, with line feeds), a line each. The first line names the columns, which are
	// deviceId and receivedAt and, where they are not empty in all rows, operationId, appId, subOperationId, failedAt,
	// firstReceivedAt, lastReceivedAt, targetVersion, sourceVersion, curVersion, upgradeTime and statusDesc. Times are in
	// microseconds since 1970-01-01 UTC:
	//
	//   - receivedAt is when the notification arrived.
	//   - failedAt is when the device's earliest failure arrived, where that is another notification than this one.
	//   - firstReceivedAt and lastReceivedAt are when the device's first and last notification arrived, where these are
	//     others: compaction keeps one result a device.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Rows string `json:"rows"`
}

// ResultFields describe a result.
type ResultFields struct {
	// state is how far the device got.
	State State `json:"state"`
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
