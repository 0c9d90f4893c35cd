// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// maxStatusBytes is how large a status may be, encoded as JSON, without the outbox, and maxOutboxBytes, how large the
// outbox: 32 KiB together. A status too large to be stored would fail every later write too.
const (
	maxStatusBytes = 16 << 10
	maxOutboxBytes = 16 << 10
)

// fit sheds samples until the status is small enough: first half of the failed devices, then the missing ones, then
// all failed devices, then the samples of the reasons. Counts are never shed.
func fit(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.FirmwareUpgradeStatus {
	shed := []func(){
		func() { st.FailedDevices = st.FailedDevices[:len(st.FailedDevices)/2] },
		func() { st.MissingDevices = nil },
		func() { st.FailedDevices = nil },
		func() {
			for i := range st.Reasons {
				st.Reasons[i].Devices = nil
			}
		},
	}
	for _, s := range shed {
		if statusBytes(st) <= maxStatusBytes {
			break
		}
		s()
	}
	return st
}

// fitOutbox sheds the devices that Events name as examples, and cuts their texts, until the outbox is small enough.
// Counts are never shed.
func fitOutbox(box v1alpha1.EventsStatus) v1alpha1.EventsStatus {
	for _, noteBytes := range []int{maxNoteBytes / 2, maxNoteBytes / 8} {
		if jsonBytes(box) <= maxOutboxBytes {
			break
		}
		for i := range box.Pending {
			p := &box.Pending[i]
			p.Devices, p.Note = nil, upgrade.CutString(p.Note, noteBytes)
		}
	}
	return box
}

func statusBytes(st v1alpha1.FirmwareUpgradeStatus) int {
	st.Events = v1alpha1.EventsStatus{}
	return jsonBytes(st)
}

func jsonBytes(v any) int {
	b, err := json.Marshal(v)
	if err != nil { // can't be: the types have nothing that could fail
		return 0
	}
	return len(b)
}
