// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package local runs a Kubernetes control plane and the operator on this machine: etcd, kube-apiserver and, where it is
// wanted, kube-controller-manager as child processes on loopback addresses, through envtest, and the manager binary
// beside them. It serves `make run`, `make demo` and the end-to-end tests.
//
// No child outlives its parent, however that ends: children started here ask the kernel for a signal (Linux), and a
// guard process watches over those that envtest starts.
package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	modulePath = "fwupgrade.io/operator"
	// envAssets is where envtest looks for the control plane's binaries, too.
	envAssets = "KUBEBUILDER_ASSETS"
)

// ModuleRoot returns the folder of this module's go.mod, at or above the working directory.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	for {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module "+modulePath+"\n") {
			return dir, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("find the module's root: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("the module %s is not above the working directory: run this inside the repository", modulePath)
		}
		dir = parent
	}
}

// Asset returns the absolute path of a binary of the control plane: from KUBEBUILDER_ASSETS or, where that is not set,
// from bin/controlplane of this module. kube-controller-manager, which setup-envtest does not bring, is taken from
// there too where KUBEBUILDER_ASSETS lacks it; another binary would be of another version than the rest.
func Asset(name string) (string, error) {
	var folders []string
	if assets := os.Getenv(envAssets); assets != "" {
		folders = append(folders, assets)
	}
	if len(folders) == 0 || name == controllerManagerName {
		if root, err := ModuleRoot(); err == nil {
			folders = append(folders, filepath.Join(root, "bin", "controlplane"))
		} else if len(folders) == 0 {
			return "", err
		}
	}
	for _, folder := range folders {
		path, err := filepath.Abs(filepath.Join(folder, name))
		if err != nil {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s: set %s to a folder that has it, or leave it unset and run `make controlplane`",
		name, strings.Join(folders, " or "), envAssets)
}

// HasControllerManager tells whether there is a kube-controller-manager to start; setup-envtest brings none.
func HasControllerManager() bool {
	_, err := Asset(controllerManagerName)
	return err == nil
}

// requireAssets returns an error that names every binary that a control plane needs and that is not there.
func requireAssets(names ...string) error {
	var errs []error
	for _, name := range names {
		_, err := Asset(name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
