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
	// body is the beginning of what the result was decoded from, should the API server refuse it.
	body string
	// arrived is when the push arrived; StoreDeadline later its sender is told to come again.
	arrived time.Time
	// done gets the one outcome. It never blocks the committer, whether somebody waits or not.
	done chan outcome
}

func newResultEntry(arrived time.Time, result result.Result, body []byte) *entry {
	return &entry{result: result, body: beginning(body), arrived: arrived, done: make(chan outcome, 1)}
}

func newRejectedEntry(arrived time.Time, reason string, body []byte) *entry {
	return &entry{rejected: rejectedNotification(arrived, reason, body), arrived: arrived, done: make(chan outcome, 1)}
}

// turnRejected makes a rejected notification of a result that the API server refuses.
func (e *entry) turnRejected(reason string) {
	e.rejected = rejectedNotification(e.arrived, reason, []byte(e.body))
	e.result, e.body = result.Result{}, ""
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
	if e.rejected != nil {
		return names + len(e.rejected.Reason) + len(e.rejected.Body)
	}
	r := &e.result
	return names + len(r.AppID) + len(r.OperationID) + len(r.DeviceID) + len(r.SubOperationID) + len(r.TargetVersion) +
		len(r.SourceVersion) + len(r.CurVersion) + len(r.StatusDesc) + len(r.UpgradeTime)
}
