// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd tests what the API server itself makes of our kinds: defaults, bounds, CEL rules, selectable fields.
package crd

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

var k8s client.Client

func TestMain(m *testing.M) {
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(cluster *local.Cluster, _ string) (err error) {
		k8s, err = harness.NewClient(cluster)
		return err
	})
}
