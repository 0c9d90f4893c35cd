// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OperationID is the platform's id of the task: the one that the spec names, else the one that the operator created or
// found for spec.task. It is empty while there is none; nothing matches that.
func (f *FirmwareUpgrade) OperationID() string {
	return cmp.Or(f.Spec.OperationID, f.Status.OperationID)
}

// TaskRequest is an upgrade task that the operator creates on the platform, once, whatever crashes. The same request is
// the same task, whatever FirmwareUpgrade asks for it: application, packageId, devices or deviceGroups, window, retries
// and run make its identity; createBefore does not.
//
// +kubebuilder:validation:XValidation:rule="has(self.devices) != has(self.deviceGroups)",message="set either devices or deviceGroups: a task is for devices or for groups of them"
type TaskRequest struct {
	// packageId is the platform's id of the firmware package, which somebody uploaded there. 1 to 256 bytes.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="packageId is longer than 256 bytes: the platform has none of that length"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="packageId has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="packageId holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	PackageID string `json:"packageId"`

	// devices are the ids of the devices to upgrade, 1 to 256. Their order and repetition mean nothing. For more devices
	// use deviceGroups.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="bytes(self).size() <= 256",message="a device id is longer than 256 bytes: the platform has none of that length"
	// +kubebuilder:validation:items:XValidation:rule="self.trim() == self",message="a device id has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:items:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="a device id holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	Devices []string `json:"devices,omitempty"`

	// deviceGroups are groups of devices on the platform, which somebody made there.
	// +optional
	DeviceGroups *DeviceGroups `json:"deviceGroups,omitempty"`

	// window is when the platform may upgrade. It refuses one that has begun. Without it, at once.
	// +optional
	Window *Window `json:"window,omitempty"`

	// retries is how often the platform tries failed devices again by itself, once the task has been through. 0 to 5,
	// default 0.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	Retries int32 `json:"retries,omitempty"`

	// run tells the same request made again on purpose from the one before: 2 creates another task where 1 has created
	// one. 1 to 1,000,000, default 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Run int32 `json:"run,omitempty"`

	// createBefore is until when the task may be created. After that nothing is created any more, so that an old wave in
	// Git does not run again where everything else was lost. It may be changed at any time.
	// +required
	CreateBefore metav1.Time `json:"createBefore"`
}

// ListedDevices are the ids of the devices that the spec lists, each once: in devices, or in the task that is created;
// nil where it lists none.
func (s *FirmwareUpgradeSpec) ListedDevices() []string {
	if len(s.Devices) > 0 || s.Task == nil || len(s.Task.Devices) == 0 {
		return s.Devices
	}
	seen := make(map[string]struct{}, len(s.Task.Devices))
	return slices.DeleteFunc(slices.Clone(s.Task.Devices), func(id string) bool {
		_, repeated := seen[id]
		seen[id] = struct{}{}
		return repeated
	})
}

// DeviceGroups are groups of devices on the platform, of one model.
type DeviceGroups struct {
	// names of the groups, 1 to 256. Their order and repetition mean nothing.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="bytes(self).size() <= 256",message="a name of a group is longer than 256 bytes: the platform has none of that length"
	// +kubebuilder:validation:items:XValidation:rule="self.trim() == self",message="a name of a group has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:items:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="a name of a group holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	Names []string `json:"names"`

	// deviceType of the devices, as the platform has it. 1 to 256 bytes.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="deviceType is longer than 256 bytes: the platform has none of that length"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="deviceType has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="deviceType holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	DeviceType string `json:"deviceType"`

	// model of the devices, as the platform has it. 1 to 256 bytes.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="model is longer than 256 bytes: the platform has none of that length"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="model has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="model holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	Model string `json:"model"`

	// manufacturerName of the devices, as the platform has it. 1 to 256 bytes.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="manufacturerName is longer than 256 bytes: the platform has none of that length"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="manufacturerName has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="manufacturerName holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	ManufacturerName string `json:"manufacturerName"`
}

// Window is when the platform may upgrade.
//
// +kubebuilder:validation:XValidation:rule="self.start < self.end",message="window.start is not before window.end: swap them, or correct one of them"
type Window struct {
	// start is when the platform begins.
	// +required
	Start metav1.Time `json:"start"`
	// end is when the platform begins no more upgrades.
	// +required
	End metav1.Time `json:"end"`
}

// TaskStatus is what became of spec.task.
type TaskStatus struct {
	// state says how far the creation is. While it is Creating or Created, spec.task can't be changed, but for
	// createBefore.
	// +optional
	State TaskState `json:"state,omitempty"`
	// requestHash stands for the request: FirmwareUpgrades with the same one have the same task. 32 hexadecimal digits.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{32}$`
	RequestHash string `json:"requestHash,omitempty"`
	// attempt is the number of the newest attempt to create it; 0 before the first.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt,omitempty"`
	// attemptTime is when that attempt began.
	// +optional
	AttemptTime *metav1.Time `json:"attemptTime,omitempty"`
	// message says what the state means for this request and what to do, where something is to be done. At most 512
	// bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// TaskState says how far the creation of a task is.
//
// +kubebuilder:validation:Enum=Waiting;Creating;Created;Refused;Exists;Uncertain;Expired
type TaskState string

const (
	// TaskWaiting means that nothing was asked of the platform yet, or that it is asked again later.
	TaskWaiting TaskState = "Waiting"
	// TaskCreating means that the platform is being asked to create the task.
	TaskCreating TaskState = "Creating"
	// TaskCreated means that the task is there: status.operationId is its id.
	TaskCreated TaskState = "Created"
	// TaskRefused means that the platform does not create it, however often it is asked.
	TaskRefused TaskState = "Refused"
	// TaskExists means that the platform had such a task, of which nobody knows whether it is this one.
	TaskExists TaskState = "Exists"
	// TaskUncertain means that the platform may have created it, and that the operator is looking for it.
	TaskUncertain TaskState = "Uncertain"
	// TaskExpired means that createBefore passed before it was created.
	TaskExpired TaskState = "Expired"
)
