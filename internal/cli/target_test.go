// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/wrappers"
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
	}
	for name, c := range cases {
		got, err := commonTarget(t.Context(), &v1alpha1.FirmwareUpgrade{Spec: c.spec}, gathered)
		if err != nil || got != c.want {
			t.Errorf("%s: want %s, got %s, %v", name, c.want, got, err)
		}
		if suspect, want := newSuspects(got).has(&rare), c.want != "1.5"; suspect != want {
			t.Errorf("%s: want the rare one to be suspect: %t, got %t", name, want, suspect)
		}
	}
}

// One device does not tell what most devices were to get: what it reported is suspect by its own target only.
func TestOneDeviceIsNotMost(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).App("app"))
	towards := func(ago time.Duration, target, current string) result.Result {
		r := reported(f.task(), "d", ago, succeeded, "")
		r.TargetVersion, r.CurVersion = target, current
		return r
	}
	f.storeSlices(3,
		towards(3*time.Hour, "1.5", "1.5"), towards(2*time.Hour, "1.5", "1.5"), towards(time.Hour, "1.6", "1.6"))
	if code, out, errOut := f.run("reader", "results", "meters", "--device", "d"); code != exitGood ||
		strings.Contains(out, "suspect") || strings.Count(out, "Succeeded") != 3 {
		t.Errorf("code %d: %s%s", code, out, errOut)
	}
	f.storeSlices(1, towards(time.Minute, "1.6", "1.4"))
	_, out, _ := f.run("reader", "results", "meters", "--device", "d")
	if strings.Count(out, "suspect: 1.4, not 1.6") != 1 {
		t.Errorf("%s", out)
	}
	_, _, errOut := f.run("reader", "results", "meters", "--failed")
	if errOut != "None of the 1 devices that reported matches --failed.\n" {
		t.Errorf("%s", errOut)
	}
}
