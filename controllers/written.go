// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// writtenStatuses are the statuses that this process wrote last. The operator is their only writer, so that the next
// status follows from these, and what somebody else wrote over them is put right. Safe for concurrent use.
type writtenStatuses struct {
	mu     sync.Mutex
	latest map[types.NamespacedName]writtenStatus
}

// writtenStatus is a status without its details, which nothing follows from, and the version of its object.
type writtenStatus struct {
	uid             types.UID
	status          v1alpha1.FirmwareUpgradeStatus
	resourceVersion string
}

func newWrittenStatuses() *writtenStatuses {
	return &writtenStatuses{latest: map[types.NamespacedName]writtenStatus{}}
}

// previous returns the status that the next one follows from. It says stale where the object, which comes from a cache,
// is older than what this process wrote.
func (w *writtenStatuses) previous(fwu *v1alpha1.FirmwareUpgrade) (prev v1alpha1.FirmwareUpgradeStatus, stale bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	own := w.latest[client.ObjectKeyFromObject(fwu)]
	if own.uid != fwu.UID {
		return fwu.Status, false
	}
	order, err := resourceversion.CompareResourceVersion(fwu.ResourceVersion, own.resourceVersion)
	return own.status, err == nil && order < 0
}

// note takes a status that was written.
func (w *writtenStatuses) note(fwu *v1alpha1.FirmwareUpgrade) {
	status := *fwu.Status.DeepCopy()
	status.Details = v1alpha1.Details{}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest[client.ObjectKeyFromObject(fwu)] = writtenStatus{
		uid:             fwu.UID,
		status:          status,
		resourceVersion: fwu.ResourceVersion,
	}
}

// forget drops the status of an object that is gone.
func (w *writtenStatuses) forget(object types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.latest, object)
}
