// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
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
		return withOwnDetails(fwu.Status), false
	}
	order, err := resourceversion.CompareResourceVersion(fwu.ResourceVersion, own.resourceVersion)
	if err == nil && order < 0 {
		return own.status, true
	}
	if writer := fwu.Status.OperatorState.Leader; writer != "" && writer != w.leader {
		return withOwnDetails(fwu.Status), false
	}
	prev = own.status
	prev.Details = fwu.Status.Details
	if err == nil && order == 0 { // nobody has written since
		return prev, false
	}
	return withOwnDetails(prev), false
}

// digestPrefix tells which fields of the details a digest covers: another version may know others, and can't check it.
// Who changes the fields of v1alpha1.Details changes the prefix, too.
const digestPrefix = "1-"

// digest tells details from others.
func digest(d v1alpha1.Details) string {
	encoded, err := json.Marshal(d)
	if err != nil { // can't be: the types have nothing that could fail
		return ""
	}
	sum := sha256.Sum256(encoded)
	return digestPrefix + hex.EncodeToString(sum[:8])
}

// withOwnDetails is a status without its details, if these are not those that a leader wrote with it. They may be
// computed again; what is archived or can't be counted has none then, rather than somebody's.
func withOwnDetails(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.FirmwareUpgradeStatus {
	written := st.OperatorState.DetailsDigest
	if strings.HasPrefix(written, digestPrefix) && written != digest(st.Details) {
		st.Details = v1alpha1.Details{}
	}
	return st
}

// sign notes in a status that is about to be written who wrote it, and with which details.
func (w *writtenStatuses) sign(st *v1alpha1.FirmwareUpgradeStatus) {
	st.OperatorState.Leader, st.OperatorState.DetailsDigest = w.leader, digest(st.Details)
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
