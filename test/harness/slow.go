// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
)

// envSlow asks for the tests that take minutes: see `make test-slow`.
const envSlow = "FWUPGRADE_SLOW_TESTS"

// SkipUnlessSlow ends a TestMain where nobody asked for tests that take minutes.
func SkipUnlessSlow(what string) {
	if os.Getenv(envSlow) == "" {
		fmt.Printf("SKIPPED: %s: make test-slow runs it\n", what)
		os.Exit(0)
	}
}
