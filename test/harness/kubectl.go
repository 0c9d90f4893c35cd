// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"fwupgrade.io/operator/hack/local"
)

// Kubectl runs the real one with a kubeconfig, and returns what it printed. If it ended with another code than 0, the
// error is an exec.ExitError, with what it printed.
func Kubectl(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	binary, err := local.Asset("kubectl")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECTL_EXTERNAL_DIFF=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", args[0], err, out)
	}
	return string(out), nil
}

// Install applies config/default, as people do.
func Install(ctx context.Context, kubeconfig string) error {
	root, err := local.ModuleRoot()
	if err != nil {
		return err
	}
	_, err = Kubectl(ctx, kubeconfig, "apply", "--server-side", "-k", filepath.Join(root, "config", "default"))
	return err
}
