// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the installed operator as a platform and as users meet it: the manager's binary runs under the
// service accounts of config/default against a real control plane, and the simulator pushes over HTTP.
package e2e

import (
	"context"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// operatorNamespace is the one of config/default.
const operatorNamespace = "fwupgrade-system"

// What the tests share: a control plane with config/default applied, and its administrator.
var (
	cluster    *local.Cluster
	k8s        client.Client
	kubeconfig string
)

func TestMain(m *testing.M) {
	harness.Main(m, local.Options{}, func(c *local.Cluster, dir string) (err error) {
		cluster, kubeconfig = c, filepath.Join(dir, "kubeconfig")
		if k8s, err = harness.NewClient(c); err != nil {
			return err
		}
		if err := c.WriteKubeconfig(kubeconfig); err != nil {
			return err
		}
		return harness.Install(context.Background(), kubeconfig)
	})
}

// kubectl runs the real one as the administrator.
func kubectl(ctx context.Context, args ...string) (string, error) {
	return harness.Kubectl(ctx, kubeconfig, args...)
}
