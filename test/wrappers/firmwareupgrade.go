// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wrappers makes API objects for tests, in a line each.
package wrappers

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fwupgrade.io/operator/api/v1alpha1"
)

// FirmwareUpgrade wraps a FirmwareUpgrade that is being made.
type FirmwareUpgrade struct{ v1alpha1.FirmwareUpgrade }

// MakeFirmwareUpgrade begins with a name, a namespace and the operationId "op".
func MakeFirmwareUpgrade(name, namespace string) *FirmwareUpgrade {
	return &FirmwareUpgrade{v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       v1alpha1.FirmwareUpgradeSpec{OperationID: "op"},
	}}
}

// Obj returns a copy of the object.
func (w *FirmwareUpgrade) Obj() *v1alpha1.FirmwareUpgrade { return w.DeepCopy() }

// Operation sets spec.operationId.
func (w *FirmwareUpgrade) Operation(id string) *FirmwareUpgrade {
	w.Spec.OperationID = id
	return w
}

// Task sets spec.task in place of spec.operationId: an upgrade of these devices that is to be created.
func (w *FirmwareUpgrade) Task(devices ...string) *FirmwareUpgrade {
	w.Spec.OperationID = ""
	w.Spec.Task = &v1alpha1.TaskRequest{
		PackageID: "package", Devices: devices,
		CreateBefore: metav1.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC),
	}
	return w
}

// App sets spec.appId.
func (w *FirmwareUpgrade) App(id string) *FirmwareUpgrade {
	w.Spec.AppID = id
	return w
}

// Target sets spec.targetVersion.
func (w *FirmwareUpgrade) Target(version string) *FirmwareUpgrade {
	w.Spec.TargetVersion = version
	return w
}

// Expected sets spec.expectedDevices.
func (w *FirmwareUpgrade) Expected(n int64) *FirmwareUpgrade {
	w.Spec.ExpectedDevices = &n
	return w
}

// Devices sets spec.devices.
func (w *FirmwareUpgrade) Devices(ids ...string) *FirmwareUpgrade {
	w.Spec.Devices = ids
	return w
}

// MaxFailed sets spec.failurePolicy: a count or a percentage, and how many must have reported.
func (w *FirmwareUpgrade) MaxFailed(limit string, minReported int64) *FirmwareUpgrade {
	w.Spec.FailurePolicy = &v1alpha1.FailurePolicy{MaxFailed: intstr.Parse(limit), MinReported: &minReported}
	return w
}

// Deadline sets spec.deadlineSeconds.
func (w *FirmwareUpgrade) Deadline(d time.Duration) *FirmwareUpgrade {
	w.Spec.DeadlineSeconds = new(int64(d.Seconds()))
	return w
}

// Settle sets spec.settleSeconds.
func (w *FirmwareUpgrade) Settle(d time.Duration) *FirmwareUpgrade {
	w.Spec.SettleSeconds = new(int64(d.Seconds()))
	return w
}

// Quiet sets spec.quietSeconds.
func (w *FirmwareUpgrade) Quiet(d time.Duration) *FirmwareUpgrade {
	w.Spec.QuietSeconds = new(int64(d.Seconds()))
	return w
}

// Retain sets spec.retainResultsSeconds.
func (w *FirmwareUpgrade) Retain(d time.Duration) *FirmwareUpgrade {
	w.Spec.RetainResultsSeconds = new(int64(d.Seconds()))
	return w
}

// UID sets metadata.uid.
func (w *FirmwareUpgrade) UID(uid string) *FirmwareUpgrade {
	w.ObjectMeta.UID = types.UID(uid)
	return w
}

// Created sets metadata.creationTimestamp.
func (w *FirmwareUpgrade) Created(at time.Time) *FirmwareUpgrade {
	w.CreationTimestamp = metav1.Time{Time: at}
	return w
}

// Generation sets metadata.generation.
func (w *FirmwareUpgrade) Generation(n int64) *FirmwareUpgrade {
	w.ObjectMeta.Generation = n
	return w
}

// Placeholder sets spec.placeholder: it is one that the operator made.
func (w *FirmwareUpgrade) Placeholder() *FirmwareUpgrade {
	w.Spec.Placeholder = true
	return w
}

// DeletionPolicy sets spec.deletionPolicy.
func (w *FirmwareUpgrade) DeletionPolicy(p v1alpha1.DeletionPolicy) *FirmwareUpgrade {
	w.Spec.DeletionPolicy = p
	return w
}

// Finalizers sets metadata.finalizers.
func (w *FirmwareUpgrade) Finalizers(names ...string) *FirmwareUpgrade {
	w.ObjectMeta.Finalizers = names
	return w
}

// Deleted sets metadata.deletionTimestamp.
func (w *FirmwareUpgrade) Deleted(at time.Time) *FirmwareUpgrade {
	w.DeletionTimestamp = &metav1.Time{Time: at}
	return w
}

// Annotation sets an annotation.
func (w *FirmwareUpgrade) Annotation(key, value string) *FirmwareUpgrade {
	metav1.SetMetaDataAnnotation(&w.ObjectMeta, key, value)
	return w
}

// Status sets the status.
func (w *FirmwareUpgrade) Status(st v1alpha1.FirmwareUpgradeStatus) *FirmwareUpgrade {
	w.FirmwareUpgrade.Status = st
	return w
}
