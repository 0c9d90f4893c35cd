// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strconv"
	"strings"

	"fwupgrade.io/operator/api/v1alpha1"
)

// Done is how many devices that decide have succeeded or failed, and how many there are to be; known is false where
// nobody says. It reads back what Compute wrote as status.progress: of listed devices nothing else in the status tells.
func Done(fwu *v1alpha1.FirmwareUpgrade) (done, expected int64, known bool) {
	before, after, _ := strings.Cut(fwu.Status.Progress, "/")
	done, _ = strconv.ParseInt(before, 10, 64) // 0 where there is no status yet
	if written, err := strconv.ParseInt(after, 10, 64); err == nil {
		return done, written, true
	}
	expected, known = expectedDevices(fwu.Spec, fwu.Status.Platform, 0)
	return done, expected, known
}
