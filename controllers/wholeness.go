// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
)

// wholeness knows of which FirmwareUpgrades every failure that was announced is in the log. What was announced is kept
// as a number, a position in that log: where somebody deleted slices and others failed meanwhile, these would stand at
// the places of those that are missing, and be taken for announced. Safe for concurrent use.
type wholeness struct {
	store *store.Store

	mu     sync.Mutex
	looked map[types.NamespacedName]look
}

// look is when it was looked whether all is there, and whether it was.
type look struct {
	uid     types.UID
	shrinks int64
	lacked  bool
}

func newWholeness(s *store.Store) *wholeness {
	return &wholeness{store: s, looked: map[types.NamespacedName]look{}}
}

// lacking returns how many of the failures that were announced are missing: of those that are known, fewer came until
// the status was written. When they are back, the log is put into the order of a new leader's.
func (w *wholeness) lacking(fwu *v1alpha1.FirmwareUpgrade, task result.Task) int64 {
	announced, last := fwu.Status.OperatorState.Announced.Failures, fwu.Status.LastResultTime
	if announced == 0 || last == nil || fwu.Status.AppID != task.AppID { // the counts of another task begin anew
		return 0
	}
	key := client.ObjectKeyFromObject(fwu)
	w.mu.Lock()
	defer w.mu.Unlock()
	before, shrinks := w.looked[key], w.store.Shrinks()
	if before.uid == fwu.UID && before.shrinks == shrinks && !before.lacked {
		return 0
	}
	lacking := announced - w.store.FailuresUntil(task, last.Add(time.Second)) // the API keeps seconds
	if lacking <= 0 && before.uid == fwu.UID && before.lacked {
		w.store.SortFailures(task)
	}
	w.looked[key] = look{uid: fwu.UID, shrinks: shrinks, lacked: lacking > 0}
	return max(0, lacking)
}

// forget drops what is known of an object that is gone.
func (w *wholeness) forget(object types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.looked, object)
}
