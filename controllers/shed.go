// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"

	"fwupgrade.io/operator/api/v1alpha1"
)

// maxStatusBytes is how large a status may be, encoded as JSON, the outbox not counted in (it has bounds of its own).
// A status too large to be stored would fail every later write too.
const maxStatusBytes = 16 << 10

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

func statusBytes(st v1alpha1.FirmwareUpgradeStatus) int {
	st.Events = v1alpha1.EventsStatus{}
	b, err := json.Marshal(st)
	if err != nil { // can't be: the type has nothing that could fail
		return 0
	}
	return len(b)
}
