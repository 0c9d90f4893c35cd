// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// cluster is the control plane of this package's tests. Each test has a namespace of its own.
var cluster *local.Cluster

func TestMain(m *testing.M) {
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(c *local.Cluster, _ string) error {
		cluster = c
		return nil
	})
}
