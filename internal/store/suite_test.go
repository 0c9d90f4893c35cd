// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// k8s is the administrator of the API server that the tests of this package share.
var k8s client.WithWatch

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(cluster *local.Cluster, _ string) (err error) {
		k8s, err = harness.NewClient(cluster)
		return err
	})
}
