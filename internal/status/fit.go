// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"encoding/json"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// maxStatusBytes is how large a status may be, encoded as JSON, without the outbox, and maxOutboxBytes how large the
// outbox. A status too large to be stored would fail every later write too.
const (
	maxStatusBytes = 16 << 10
	maxOutboxBytes = 16 << 10
	// maxSamples is how many devices a sample has at most.
	maxSamples = 20
	// minCauseBytes is how much of the text of a cause is left at least.
	minCauseBytes = 64
)

// fit leaves samples out until the status is small enough: first half of each sample of devices, then all but one, then
// the unexpected devices, the suspect ones, those in progress, the missing and the failed ones, then the samples of the
// causes, then most of their texts. Counts always stay.
func fit(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.FirmwareUpgradeStatus {
	d := &st.Details
	leaveOut := []func(){
		func() { shorten(d, maxSamples/2) },
		func() { shorten(d, 1) },
		func() { d.UnexpectedDevices, d.SuspectDevices = nil, nil },
		func() { d.InProgressDevices, d.MissingDevices = nil, nil },
		func() { d.FailedDevices = nil },
		func() {
			for i := range d.Causes {
				d.Causes[i].Devices, d.Causes[i].Example = nil, ""
			}
		},
		func() {
			for i := range d.Causes {
				d.Causes[i].Cause = result.CutString(d.Causes[i].Cause, minCauseBytes)
			}
		},
	}
	for _, f := range leaveOut {
		if statusBytes(st) <= maxStatusBytes {
			break
		}
		f()
	}
	return st
}

// shorten leaves so many devices in each sample.
func shorten(d *v1alpha1.Details, n int) {
	d.FailedDevices = d.FailedDevices[:min(n, len(d.FailedDevices))]
	d.MissingDevices = d.MissingDevices[:min(n, len(d.MissingDevices))]
	d.InProgressDevices = d.InProgressDevices[:min(n, len(d.InProgressDevices))]
	d.SuspectDevices = d.SuspectDevices[:min(n, len(d.SuspectDevices))]
	d.UnexpectedDevices = d.UnexpectedDevices[:min(n, len(d.UnexpectedDevices))]
}

// fitOutbox leaves out the devices that Events name as examples, and cuts their texts, until the outbox is small
// enough. Counts always stay.
func fitOutbox(outbox []v1alpha1.OutboxEvent) []v1alpha1.OutboxEvent {
	for _, noteBytes := range []int{maxNoteBytes / 2, maxNoteBytes / 8} {
		if jsonBytes(outbox) <= maxOutboxBytes {
			break
		}
		for i := range outbox {
			outbox[i].Devices, outbox[i].Note = nil, result.Shorten(outbox[i].Note, noteBytes)
		}
	}
	return outbox
}

func statusBytes(st v1alpha1.FirmwareUpgradeStatus) int {
	st.OperatorState = v1alpha1.OperatorState{}
	return jsonBytes(st)
}

func jsonBytes(v any) int {
	b, err := json.Marshal(v)
	if err != nil { // can't be: the types have nothing that could fail
		return 0
	}
	return len(b)
}
