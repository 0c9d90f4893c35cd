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
	// MaxEncodingBytes is what the Content-Encoding of a rejected notification is cut to.
	MaxEncodingBytes = 64
	// MaxRejectedReasonBytes is what the reason of a rejection is cut to.
	MaxRejectedReasonBytes = 256
)

// LabelTask is the hash of the one task a compacted slice holds results of. Slices with results of several tasks don't
// have it.
const LabelTask = "storage.fwupgrade.io/task-hash"

// ResultSlice is an immutable batch of results, rejected notifications and releases, as the webhook stored them or as
// compaction merged them. Slices are in the operator's namespace and are removed by compaction, retention and purges
// alone. Deleting one by hand loses results.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=resultslices,shortName=fwslice,categories=fwupgrade
// +kubebuilder:validation:XValidation:rule="has(self.tables) == has(oldSelf.tables) && (!has(self.tables) || self.tables == oldSelf.tables) && has(self.rejected) == has(oldSelf.rejected) && (!has(self.rejected) || self.rejected == oldSelf.rejected) && has(self.releases) == has(oldSelf.releases) && (!has(self.releases) || self.releases == oldSelf.releases)",message="a slice is immutable"
// +kubebuilder:printcolumn:name="Task",type=string,JSONPath=.metadata.labels.storage\.fwupgrade\.io/task-hash
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=.tables[0].operationId
// +kubebuilder:printcolumn:name="Rejected",type=string,JSONPath=.rejected[0].reason
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
type ResultSlice struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

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

	// releases are tasks whose FirmwareUpgrade was deleted: results received before that bring no placeholder back.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Releases []Release `json:"releases,omitempty"`
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
	// deviceId and receiveTime and, where they are not empty in all rows, operationId, appId, subOperationId, failTime,
	// firstReceiveTime, lastReceiveTime, targetVersion, sourceVersion, curVersion, upgradeTime and statusDesc. Times are
	// in microseconds since 1970-01-01 UTC:
	//
	//   - receiveTime is when the notification arrived.
	//   - failTime is when the device's earliest failure arrived, where that is another notification than this one.
	//   - firstReceiveTime and lastReceiveTime are when the device's first and last notification arrived, where these are
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
	// receiveTime is when it arrived.
	ReceiveTime metav1.MicroTime `json:"receiveTime"`
	// reason says why it could not be used.
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// body is what came, where that is UTF-8 without control and format characters, so that it can be printed: byte for
	// byte, at most 4 KiB. Either body or rawBody is set, unless the body was empty.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Body string `json:"body,omitempty"`
	// rawBody is what came, where body can't have it, for example because it is compressed: byte for byte, at most
	// 4 KiB, in base64.
	// +optional
	// +kubebuilder:validation:MaxLength=5464
	RawBody []byte `json:"rawBody,omitempty"`
	// contentEncoding is the Content-Encoding that came with it, if any.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ContentEncoding string `json:"contentEncoding,omitempty"`
	// bodyBytes is how many bytes the body had, where it had more than are kept: only its beginning is. Of a body
	// larger than 4 MiB it is how many were read.
	// +optional
	BodyBytes int64 `json:"bodyBytes,omitempty"`
}

// Release says that the FirmwareUpgrade of a task was deleted.
type Release struct {
	// appId is the application of the task.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	AppID string `json:"appId,omitempty"`
	// operationId is the task.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	OperationID string `json:"operationId"`
	// releaseTime is when the FirmwareUpgrade was deleted; with purge, until when results were received that are to be
	// removed.
	ReleaseTime metav1.MicroTime `json:"releaseTime"`
	// purge says that results of the task are to be removed, where nothing else remembers that. Such a record has a slice
	// of its own. Intended: once the FirmwareUpgrade is gone; until then the task is not released. Due: now.
	// +optional
	Purge PurgeState `json:"purge,omitempty"`
	// firmwareUpgrade is the one whose results are to be removed, where that is Intended.
	// +optional
	FirmwareUpgrade *ObjectReference `json:"firmwareUpgrade,omitempty"`
}

// ObjectReference names one object, and none that is created later under its name.
type ObjectReference struct {
	// namespace of the object.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the object.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the object.
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
}

// PurgeState says what is to be done about the results of a task.
//
// +kubebuilder:validation:Enum=Intended;Due
type PurgeState string

const (
	// PurgeIntended means that the results are to be removed with an object that was there when this was recorded.
	PurgeIntended PurgeState = "Intended"
	// PurgeDue means that the object is gone and the results are to be removed.
	PurgeDue PurgeState = "Due"
)

// ResultSliceList is a list of ResultSlices.
//
// +kubebuilder:object:root=true
type ResultSliceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ResultSlice `json:"items"`
}
