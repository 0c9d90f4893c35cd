// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"os"
	"testing"

	"fwupgrade.io/operator/test/harness"
)

func TestMain(m *testing.M) {
	harness.SkipUnlessSlow("the runbook")
	os.Exit(m.Run())
}
