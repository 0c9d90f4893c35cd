// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/tally"
)

// Done is what Compute counted, and before that what the spec says.
func TestDoneIsWhatWasComputed(t *testing.T) {
	listed := tally.Summary{Succeeded: 7, Failed: 1, InProgress: 1}
	listed.Listed.Succeeded = 2
	listed.Listed.Failed = 1
	cases := map[string]struct {
		fwu            *v1alpha1.FirmwareUpgrade
		sum            tally.Summary
		done, expected int64
		known          bool
	}{
		"a number":          {made().Expected(10).Obj(), summary(5, 2, 1), 7, 10, true},
		"more than there":   {made().Expected(3).Obj(), summary(5, 0, 0), 5, 3, true},
		"a list":            {made().Devices("a", "b", "c", "d").Obj(), listed, 3, 4, true},
		"nobody knows":      {made().Obj(), summary(5, 2, 1), 7, 0, false},
		"nothing was heard": {made().Expected(10).Obj(), tally.Summary{}, 0, 10, true},
	}
	for name, c := range cases {
		check := func(when string, done int64) {
			if gotDone, expected, known := Done(c.fwu); gotDone != done || expected != c.expected || known != c.known {
				t.Errorf("%s, %s: want %d, %d, %t; got %d, %d, %t", name, when,
					done, c.expected, c.known, gotDone, expected, known)
			}
		}
		check("not yet counted", 0)
		c.fwu.Status, _ = Compute(c.fwu, v1alpha1.FirmwareUpgradeStatus{}, Observation{Summary: c.sum, Failures: tally.New()})
		check("counted", c.done)
	}
}
