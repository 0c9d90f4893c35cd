// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"slices"
	"testing"
)

// A task is found by the id that the spec names, else by the one that was created.
func TestOperationID(t *testing.T) {
	for want, f := range map[string]FirmwareUpgrade{
		"":        {Spec: FirmwareUpgradeSpec{Task: &TaskRequest{}}},
		"named":   {Spec: FirmwareUpgradeSpec{OperationID: "named"}},
		"created": {Spec: FirmwareUpgradeSpec{Task: &TaskRequest{}}, Status: FirmwareUpgradeStatus{OperationID: "created"}},
		"pinned":  {Spec: FirmwareUpgradeSpec{OperationID: "pinned"}, Status: FirmwareUpgradeStatus{OperationID: "older"}},
	} {
		if got := f.OperationID(); got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

// Devices are listed by the spec or by the task that is created, where they may be repeated.
func TestListedDevices(t *testing.T) {
	for what, c := range map[string]struct {
		spec FirmwareUpgradeSpec
		want []string
	}{
		"nothing":              {},
		"a list":               {FirmwareUpgradeSpec{Devices: []string{"b", "a"}}, []string{"b", "a"}},
		"groups":               {FirmwareUpgradeSpec{Task: &TaskRequest{DeviceGroups: &DeviceGroups{}}}, nil},
		"a list beside groups": {FirmwareUpgradeSpec{Devices: []string{"a"}, Task: &TaskRequest{}}, []string{"a"}},
		"the list of a task":   {FirmwareUpgradeSpec{Task: &TaskRequest{Devices: []string{"c", "a", "c", "b", "a"}}}, []string{"c", "a", "b"}},
	} {
		before := slices.Clone(c.spec.Devices)
		if got := c.spec.ListedDevices(); !slices.Equal(got, c.want) {
			t.Errorf("%s: want %q, got %q", what, c.want, got)
		}
		if !slices.Equal(before, c.spec.Devices) {
			t.Errorf("%s: the spec was changed", what)
		}
	}
}
