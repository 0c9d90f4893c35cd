// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rbac tests that the operator has the least power: each service account may do what its process does, and
// nothing else. What may be done says the API server; what is done says its audit log.
package rbac

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// Names of config/default.
const (
	operatorNamespace    = "fwupgrade-system"
	placeholderNamespace = "default"
	webhookAccount       = "fwupgrade-webhook"
	controllersAccount   = "fwupgrade-controllers"
)

// What the tests share: a control plane with config/default applied, and its administrator.
var (
	cluster    *local.Cluster
	k8s        client.Client
	clients    *kubernetes.Clientset
	kubeconfig string
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // envtest's: it says nothing
	o := local.Options{WithoutControllerManager: true}
	harness.Main(m, o, func(c *local.Cluster, dir string) (err error) {
		cluster, kubeconfig = c, filepath.Join(dir, "kubeconfig")
		if k8s, err = harness.NewClient(c); err != nil {
			return err
		}
		if clients, err = kubernetes.NewForConfig(c.Config()); err != nil {
			return err
		}
		if err := c.WriteKubeconfig(kubeconfig); err != nil {
			return err
		}
		return harness.Install(context.Background(), kubeconfig)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
