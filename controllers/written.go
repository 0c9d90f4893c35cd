// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// writtenStatuses are the statuses that this process wrote last. Leaders are their only writers, so that the next
// status follows from these, and what somebody else wrote over them is put right. Safe for concurrent use.
type writtenStatuses struct {
	// leader stands for this process in the statuses that it writes.
	leader string
	clock  clock.PassiveClock

	mu     sync.Mutex
	latest map[types.NamespacedName]writtenStatus
}

// writtenStatus is a status without its details, which no count or condition follows from, the version of its object,
// and when it was written.
type writtenStatus struct {
	uid             types.UID
	at              time.Time
	status          v1alpha1.FirmwareUpgradeStatus
	resourceVersion string
}

func newWrittenStatuses(clk clock.PassiveClock) *writtenStatuses {
	return &writtenStatuses{
		leader: string(uuid.NewUUID()), clock: clk, latest: map[types.NamespacedName]writtenStatus{},
	}
}

// previous returns the status that the next one follows from. It says stale where the object, which comes from a cache,
// is older than what this process wrote. What another leader wrote since goes before what this process remembers.
func (w *writtenStatuses) previous(fwu *v1alpha1.FirmwareUpgrade) (prev v1alpha1.FirmwareUpgradeStatus, stale bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	own := w.latest[client.ObjectKeyFromObject(fwu)]
	if own.uid != fwu.UID {
		return fwu.Status, false
	}
	order, err := resourceversion.CompareResourceVersion(fwu.ResourceVersion, own.resourceVersion)
	if err == nil && order < 0 {
		return own.status, true
	}
	if writer := fwu.Status.OperatorState.Leader; writer != "" && writer != w.leader {
		return fwu.Status, false
	}
	prev = own.status
	prev.Details = fwu.Status.Details
	return prev, false
}

// note takes a status that was written.
func (w *writtenStatuses) note(fwu *v1alpha1.FirmwareUpgrade) {
	status := *fwu.Status.DeepCopy()
	status.Details = v1alpha1.Details{}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest[client.ObjectKeyFromObject(fwu)] = writtenStatus{
		uid:             fwu.UID,
		at:              w.clock.Now(),
		status:          status,
		resourceVersion: fwu.ResourceVersion,
	}
}

// since returns how long ago the status of an object was written; long ago if that is not known.
func (w *writtenStatuses) since(object types.NamespacedName) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock.Since(w.latest[object].at)
}

// forget drops the status of an object that is gone.
func (w *writtenStatuses) forget(object types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.latest, object)
}
