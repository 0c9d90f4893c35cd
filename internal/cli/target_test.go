// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Where the spec names no version, the devices of the rarer target are suspect, as in the status.
func TestTargetIsThatOfMostDevices(t *testing.T) {
	succeeded := func(device, target string) result.Result {
		r := result.Result{DeviceID: device, ReceivedAt: 1}
		r.State, r.TargetVersion, r.CurVersion = storage.StateSucceeded, target, target
		return r
	}
	gathered := &sorter[result.Result]{
		compare: func(a, b result.Result) int { return strings.Compare(a.DeviceID, b.DeviceID) },
		join:    result.Join, limit: 2, parent: t.TempDir(),
	}
	rare := succeeded("c", "1.5")
	for _, r := range []result.Result{succeeded("a", "1.6"), succeeded("b", "1.6"), rare} {
		if err := gathered.add(r); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		spec v1alpha1.FirmwareUpgradeSpec
		want string
	}{
		"of all":        {v1alpha1.FirmwareUpgradeSpec{}, "1.6"},
		"of the listed": {v1alpha1.FirmwareUpgradeSpec{Devices: []string{"c"}}, "1.5"},
		"of the spec":   {v1alpha1.FirmwareUpgradeSpec{TargetVersion: "1.7"}, "1.7"},
	}
	for name, c := range cases {
		got, err := targetOf(&v1alpha1.FirmwareUpgrade{Spec: c.spec}, gathered)
		if err != nil || got != c.want {
			t.Errorf("%s: want %s, got %s, %v", name, c.want, got, err)
		}
		if suspect, want := newSuspects(got).has(&rare), c.want != "1.5"; suspect != want {
			t.Errorf("%s: want the rare one to be suspect: %t, got %t", name, want, suspect)
		}
	}
}
