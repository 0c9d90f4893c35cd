// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// operatorNamespace is where the operator stores its slices.
const operatorNamespace = "fwupgrade-system"

// What the tests share: a control plane with the CRDs, and its administrator.
var (
	cluster *local.Cluster
	k8s     client.Client
)

func TestMain(m *testing.M) {
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(c *local.Cluster, _ string) (err error) {
		cluster = c
		if k8s, err = harness.NewClient(c); err != nil {
			return err
		}
		return c.EnsureNamespace(context.Background(), operatorNamespace)
	})
}
