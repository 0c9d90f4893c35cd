// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// entry is one push that is to be stored: a result or a rejected notification.
type entry struct {
	// result is what is stored unless rejected is set.
	result result.Result
	// rejected is what is stored instead of a result.
	rejected *storage.RejectedNotification
	// push is what the result was decoded from, should the API server refuse it.
	push original
	// arrived is when the push arrived; StoreDeadline later its sender is told to come again.
	arrived time.Time
	// done gets the one outcome. It never blocks the committer, whether somebody waits or not.
	done chan outcome
}

// newEntry makes the entry of a push. Either its result is set before it is submitted, or it is turned rejected.
func newEntry(arrived time.Time, push original) *entry {
	return &entry{push: push, arrived: arrived, done: make(chan outcome, 1)}
}

// turnRejected makes the entry a rejected notification: of a push that can't be used, or of a result that the API
// server refuses.
func (e *entry) turnRejected(reason string) {
	e.rejected = rejectedNotification(e.arrived, reason, e.push)
	e.result, e.push = result.Result{}, original{}
}

// stored is the outcome once the entry is stored.
func (e *entry) stored() outcome {
	if e.rejected != nil {
		return outcome{answer: answerRejected, reason: e.rejected.Reason}
	}
	return outcome{answer: answerRecorded}
}

// roughBytes is about what the entry takes in a slice that shares nothing.
func (e *entry) roughBytes() int {
	const names = 160 // the names of the fields and what surrounds them
	if r := e.rejected; r != nil {
		return names + len(r.Reason) + len(r.Body) + len(r.RawBody)*4/3 + len(r.ContentEncoding)
	}
	r := &e.result
	return names + len(r.AppID) + len(r.OperationID) + len(r.DeviceID) + len(r.SubOperationID) + len(r.TargetVersion) +
		len(r.SourceVersion) + len(r.CurVersion) + len(r.StatusDesc) + len(r.UpgradeTime)
}
