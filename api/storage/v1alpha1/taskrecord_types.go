// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FirmwareUpgradeTaskRecord says, of one attempt to create an upgrade task on the platform, either that it was about to
// be made (an intent) or what came of it (an outcome). The names follow from the request and the number of the attempt,
// so that each is created once, whoever tries: whoever created the intent, and nobody else, asks the platform, once.
// Records are in the operator's namespace, immutable, and owned by nothing. Deleting one by hand may have a second task
// created: devices would be upgraded twice.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=firmwareupgradetaskrecords,shortName=fwrec,categories=fwupgrade
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[0-9a-f]{32}-[1-9][0-9]*(-outcome)?$') && self.metadata.name.startsWith(self.spec.requestHash) && int(self.metadata.name.split('-')[1]) == self.spec.attempt && self.metadata.name.endsWith('-outcome') == has(self.spec.outcome)",message="a record's name is its requestHash, a hyphen and its attempt, and -outcome after that where it is an outcome"
// +kubebuilder:printcolumn:name="Attempt",type=integer,JSONPath=.spec.attempt
// +kubebuilder:printcolumn:name="Result",type=string,JSONPath=.spec.outcome.result
// +kubebuilder:printcolumn:name="How",type=string,JSONPath=.spec.outcome.how
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=.spec.outcome.operationId
// +kubebuilder:printcolumn:name="For",type=string,JSONPath=.spec.intent.for.name
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=.spec.appId,priority=1
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=.spec.intent.for.namespace,priority=1
// +kubebuilder:printcolumn:name="Holder",type=string,JSONPath=.spec.intent.holder,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=.spec.outcome.message,priority=1
type FirmwareUpgradeTaskRecord struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is recorded.
	// +required
	Spec FirmwareUpgradeTaskRecordSpec `json:"spec"`
}

// IntentName is the name of the intent of an attempt.
func IntentName(requestHash string, attempt int32) string {
	return fmt.Sprintf("%s-%d", requestHash, attempt)
}

// OutcomeName is the name of the outcome of an attempt: one name, whatever the result, so that there is one result.
func OutcomeName(requestHash string, attempt int32) string {
	return IntentName(requestHash, attempt) + "-outcome"
}

// FirmwareUpgradeTaskRecordSpec is either an intent or an outcome.
//
// +kubebuilder:validation:XValidation:rule="has(self.intent) != has(self.outcome)",message="a record is either an intent or an outcome"
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a record is immutable"
type FirmwareUpgradeTaskRecordSpec struct {
	// requestHash stands for the request, as in status.task of a FirmwareUpgrade. 32 hexadecimal digits.
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{32}$`
	RequestHash string `json:"requestHash"`
	// attempt is its number, from 1 on.
	// +required
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt"`
	// appId is the application of the task.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	AppID string `json:"appId"`
	// intent is what the platform was about to be asked, with all that is needed to find the task if it was created.
	// +optional
	Intent *TaskIntent `json:"intent,omitempty"`
	// outcome is what came of the attempt.
	// +optional
	Outcome *TaskOutcome `json:"outcome,omitempty"`
}

// TaskIntent is what the platform was about to be asked.
type TaskIntent struct {
	// time is when the attempt began.
	Time metav1.MicroTime `json:"time"`
	// deadline is spec.task.createBefore.
	Deadline metav1.Time `json:"deadline"`
	// nonce is of the one process, and the one try of it, that may ask the platform.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Nonce string `json:"nonce"`
	// holder names that process, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Holder string `json:"holder,omitempty"`
	// for is the FirmwareUpgrade that asked for it. It may be gone.
	For ObjectReference `json:"for"`
	// packageId is the platform's id of the firmware package.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	PackageID string `json:"packageId"`
	// targetsHash stands for all devices, or groups, of the task. 32 hexadecimal digits.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{32}$`
	TargetsHash string `json:"targetsHash"`
	// probeDevices are devices of the task by which the platform is searched, at most 3; none where it is for groups.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	ProbeDevices []string `json:"probeDevices,omitempty"`
	// groups are those that the task is for.
	// +optional
	Groups *TaskGroups `json:"groups,omitempty"`
	// window is when the platform may upgrade; none: at once.
	// +optional
	Window *TaskWindow `json:"window,omitempty"`
	// retries is how often the platform tries failed devices again.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	Retries int32 `json:"retries,omitempty"`
	// run is spec.task.run.
	// +kubebuilder:validation:Minimum=1
	Run int32 `json:"run"`
	// fileVersion is spec.targetVersion, by which the task is told from others; may be empty.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	FileVersion string `json:"fileVersion,omitempty"`
}

// TaskGroups are groups of devices on the platform.
type TaskGroups struct {
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	Names []string `json:"names,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=256
	DeviceType string `json:"deviceType,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Model string `json:"model,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ManufacturerName string `json:"manufacturerName,omitempty"`
}

// TaskWindow is when the platform may upgrade.
type TaskWindow struct {
	Start metav1.Time `json:"start"`
	End   metav1.Time `json:"end"`
}

// TaskOutcome is what came of an attempt.
//
// +kubebuilder:validation:XValidation:rule="has(self.operationId) == (self.result == 'Created')",message="operationId is set where the task was created, and only there"
type TaskOutcome struct {
	// time is when that became known.
	Time metav1.MicroTime `json:"time"`
	// result says whether there is a task.
	Result TaskResult `json:"result"`
	// operationId is the platform's id of the task that was created.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	OperationID string `json:"operationId,omitempty"`
	// how says how that became known.
	How TaskEvidence `json:"how"`
	// code is the platform's code of a refusal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Code string `json:"code,omitempty"`
	// message is the platform's text, or why nothing was asked, without secrets. At most 512 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// TaskResult says whether there is a task.
//
// +kubebuilder:validation:Enum=Created;Refused;Absent;Exists
type TaskResult string

const (
	// TaskResultCreated means that the attempt has, or finds, its task.
	TaskResultCreated TaskResult = "Created"
	// TaskResultRefused means that the platform did not create a task, or was not reached.
	TaskResultRefused TaskResult = "Refused"
	// TaskResultAbsent means that no task was found, for so long that there is none.
	TaskResultAbsent TaskResult = "Absent"
	// TaskResultExists means that nothing was asked, as the platform has such a task, of which nobody knows whether it is
	// the one: a person decides, whatever becomes of that task.
	TaskResultExists TaskResult = "Exists"
)

// TaskEvidence says how the outcome of an attempt became known.
//
// +kubebuilder:validation:Enum=Answered;Found;Witnessed;Declared
type TaskEvidence string

const (
	// TaskAnswered means that the platform said so.
	TaskAnswered TaskEvidence = "Answered"
	// TaskFound means that the platform's list of tasks shows it, or does not show it.
	TaskFound TaskEvidence = "Found"
	// TaskWitnessed means that results of the task came.
	TaskWitnessed TaskEvidence = "Witnessed"
	// TaskDeclared means that a person said so.
	TaskDeclared TaskEvidence = "Declared"
)

// FirmwareUpgradeTaskRecordList is a list of FirmwareUpgradeTaskRecords.
//
// +kubebuilder:object:root=true
type FirmwareUpgradeTaskRecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FirmwareUpgradeTaskRecord `json:"items"`
}
