// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/release"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/hack/local"
)

const operatorNamespace = "fwupgrade-system"

// objects are what was rendered, by kind, namespace and name.
type objects map[string]map[string]any

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root returns a path within the repository.
func root(t *testing.T, parts ...string) string {
	t.Helper()
	folder, err := local.ModuleRoot()
	must(t, err)
	return filepath.Join(append([]string{folder}, parts...)...)
}

func loadChart(t *testing.T) *chartv2.Chart {
	t.Helper()
	chart, err := loader.LoadDir(root(t, "charts", "fwupgrade"))
	must(t, err)
	return chart
}

// values reads values as people write them.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v, err := loader.LoadValues(strings.NewReader(text))
	must(t, err)
	return v
}

// template does what `helm template` does, and returns the manifest and the notes.
func template(t *testing.T, namespace, text string) (manifest, notes string, err error) {
	t.Helper()
	install := action.NewInstall(action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler)))
	install.DryRunStrategy = action.DryRunClient
	install.ReleaseName, install.Namespace = "fwupgrade", namespace
	install.KubeVersion = &common.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
	r, err := install.Run(loadChart(t), values(t, text))
	if err != nil {
		return "", "", err
	}
	accessor, err := release.NewAccessor(r)
	must(t, err)
	return accessor.Manifest(), accessor.Notes(), nil
}

// render returns the objects that the chart gives.
func render(t *testing.T, namespace, text string) objects {
	t.Helper()
	manifest, _, err := template(t, namespace, text)
	must(t, err)
	return parse(t, manifest)
}

// parse reads the objects of a manifest, strictly: no key twice, no object twice.
func parse(t *testing.T, manifest string) objects {
	t.Helper()
	found := objects{}
	for document := range strings.SplitSeq("\n"+manifest, "\n---\n") {
		var object map[string]any
		must(t, yaml.UnmarshalStrict([]byte(document), &object))
		if len(object) == 0 {
			continue
		}
		metadata := object["metadata"].(map[string]any)
		key := fmt.Sprintf("%s %v/%v", object["kind"], metadata["namespace"], metadata["name"])
		if found[key] != nil {
			t.Errorf("%s stands there twice", key)
		}
		found[key] = object
	}
	return found
}

// kubectl runs the real one.
func kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := local.Asset("kubectl")
	must(t, err)
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", args[0], err, problems.String())
	}
	return out.String(), nil
}

// kustomize renders folders of config, with the image as the chart's default has it, and with flags of the controllers.
func kustomize(t *testing.T, resources, components, flags []string) objects {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir()) // kustomize wants paths relative to where it is
	must(t, err)
	relative := func(names []string) (paths []string) {
		for _, name := range names {
			path, err := filepath.Rel(folder, root(t, "config", filepath.FromSlash(name)))
			must(t, err)
			paths = append(paths, path)
		}
		return paths
	}
	patches := []any{}
	for _, flag := range flags {
		patches = append(patches, map[string]any{
			"target": map[string]any{"kind": "Deployment", "name": "fwupgrade-controllers"},
			"patch":  fmt.Sprintf(`[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": %q}]`, flag),
		})
	}
	content, err := yaml.Marshal(map[string]any{
		"resources": relative(resources), "components": relative(components), "patches": patches,
		"images": []any{map[string]any{"name": "fwupgrade-operator", "newTag": "latest"}},
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), content, 0o600))
	rendered, err := kubectl(t, "kustomize", folder)
	must(t, err)
	return parse(t, rendered)
}

// find returns what a path of keys and indices leads to; nil if to nothing.
func find(from any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := from.(map[string]any)
			from = m[step]
		case int:
			list, _ := from.([]any)
			if step >= len(list) {
				return nil
			}
			from = list[step]
		}
	}
	return from
}

func (o objects) keys() []string { return slices.Sorted(maps.Keys(o)) }

// sample reads the objects of a file of config/samples/expose.
func sample(t *testing.T, name string) objects {
	t.Helper()
	content, err := os.ReadFile(root(t, "config", "samples", "expose", name))
	must(t, err)
	return parse(t, string(content))
}
