// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the installed operator as a platform and as users meet it: the manager's binary runs under the
// service accounts of config/default against a real control plane, and the simulator pushes over HTTP.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
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
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	root, err := local.ModuleRoot()
	if err != nil {
		return 1, err
	}
	if cluster, err = local.Start(ctx, local.Options{}); err != nil {
		return 1, fmt.Errorf("start a control plane (run make test): %w", err)
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	dir, err := os.MkdirTemp("", "fwupgrade-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig); err != nil {
		return 1, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 1, err
	}
	if k8s, err = client.New(cluster.Config(), client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	if out, err := kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", filepath.Join(root, "config", "default")); err != nil {
		return 1, fmt.Errorf("apply config/default: %w: %s", err, out)
	}
	return m.Run(), nil
}

// kubectl runs the real one as the administrator.
func kubectl(ctx context.Context, args ...string) (string, error) {
	binary, err := local.Asset("kubectl")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
