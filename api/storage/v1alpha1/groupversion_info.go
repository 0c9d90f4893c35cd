// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is how the operator stores results, group storage.fwupgrade.io. It is no interface: the kinds may
// change with every version of the operator, and nobody else should write them.
//
// +kubebuilder:object:generate=true
// +groupName=storage.fwupgrade.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the group and version of every kind in this package.
	GroupVersion = schema.GroupVersion{Group: "storage.fwupgrade.io", Version: "v1alpha1"}

	// SchemeBuilder collects what AddToScheme registers.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the kinds of this package with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ResultSlice{}, &ResultSliceList{},
		&ResultStore{}, &ResultStoreList{},
		&FirmwareUpgradeTaskRecord{}, &FirmwareUpgradeTaskRecordList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
