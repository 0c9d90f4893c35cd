// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// overlay makes a folder for kustomize: config/default with components and patches.
func overlay(t *testing.T, components []string, patches ...map[string]any) (folder string) {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	folder, err = filepath.EvalSymlinks(t.TempDir()) // kustomize wants paths relative to where it is
	must(t, err)
	relative := func(name string) string {
		path, err := filepath.Rel(folder, filepath.Join(root, "config", filepath.FromSlash(name)))
		must(t, err)
		return path
	}
	paths := []string{}
	for _, component := range components {
		paths = append(paths, relative(component))
	}
	content, err := yaml.Marshal(map[string]any{
		"resources": []string{relative("default")}, "components": paths, "patches": patches,
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), content, 0o600))
	return folder
}

// render returns the objects that kustomize makes of a folder.
func render(t *testing.T, folder string) []string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "rendered.yaml")
	_, err := harness.Kubectl(t.Context(), kubeconfig, "kustomize", folder, "--output="+out)
	must(t, err)
	rendered, err := os.ReadFile(out)
	must(t, err)
	return strings.Split(string(rendered), "\n---\n")
}
