// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// version is a build of the operator with its manifests.
type version struct {
	name    string
	manager string // the binary
	config  string // the folder of config/default
	crds    []*apiextensions.CustomResourceDefinition
	// deployments by component: webhook and controllers.
	deployments map[string]*appsv1.Deployment
}

// thisCommit is what is in the working tree, as `make build` built it.
func thisCommit(t *testing.T) *version {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	return newVersion(t, "this commit", filepath.Join(root, "bin", "manager"), root)
}

// defaultFrom is where `make e2e-upgrade` comes from by default.
const defaultFrom = "HEAD~1"

// revision builds another commit in a folder of the test's. The test is skipped where a shallow clone does not have the
// default one. Another one that git does not know is misspelt.
func revision(t *testing.T, name string) *version {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	commit, err := run(t.Context(), root, "git", "rev-parse", "--verify", "--quiet", name+"^{commit}")
	if err != nil {
		shallow, _ := run(t.Context(), root, "git", "rev-parse", "--is-shallow-repository") // without git it is not
		if name == defaultFrom && strings.TrimSpace(shallow) == "true" {
			t.Skipf("SKIPPED: this clone is shallow and does not have %s: get it by `git fetch --deepen=1`", name)
		}
		t.Fatalf("git does not know the revision %q", name)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "source.tar")
	source := filepath.Join(dir, "source")
	must(t, os.Mkdir(source, 0o700))
	for _, command := range [][]string{
		{"git", "archive", "--format=tar", "--output=" + archive, strings.TrimSpace(commit)},
		{"tar", "-x", "-C", source, "-f", archive},
		{"go", "build", "-C", source, "-o", filepath.Join(dir, "manager"), "./cmd/manager"},
	} {
		_, err := run(t.Context(), root, command...)
		must(t, err)
	}
	return newVersion(t, name+" ("+commit[:7]+")", filepath.Join(dir, "manager"), source)
}

func newVersion(t *testing.T, name, manager, source string) *version {
	t.Helper()
	v := &version{
		name: name, manager: manager, config: filepath.Join(source, "config", "default"),
		deployments: map[string]*appsv1.Deployment{},
	}
	kubectl, err := local.Asset("kubectl")
	must(t, err)
	manifests, err := run(t.Context(), source, kubectl, "kustomize", v.config)
	must(t, err)
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		v.take(t, object)
	}
	if len(v.crds) == 0 || v.deployments["webhook"] == nil || v.deployments["controllers"] == nil {
		t.Fatalf("config/default of %s has %d CRDs and the Deployments %v", name, len(v.crds), v.deployments)
	}
	return v
}

// take keeps what the test looks at.
func (v *version) take(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	switch object.GetKind() {
	case "CustomResourceDefinition":
		crd := &apiextensions.CustomResourceDefinition{}
		must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, crd))
		v.crds = append(v.crds, crd)
	case "Deployment":
		deployment := &appsv1.Deployment{}
		must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment))
		v.deployments[strings.TrimPrefix(deployment.Name, "fwupgrade-")] = deployment
	}
}

// args returns the arguments of a component as its Deployment has them, but for the addresses, which a pod has alone,
// and the file of the secret.
func (v *version) args(component, secrets string) []string {
	args := harness.ContainerArgs(&v.deployments[component].Spec.Template.Spec.Containers[0], operatorNamespace)
	for i, arg := range args {
		if name, _, _ := strings.Cut(arg, "="); name == "--callback-secrets-file" {
			args[i] = name + "=" + secrets
		}
	}
	return args
}

// env returns the variables of a component as its Deployment has them.
func (v *version) env(component string) []string {
	return harness.ContainerEnv(&v.deployments[component].Spec.Template.Spec.Containers[0])
}

// run runs a command and returns what it printed to the standard output.
func run(ctx context.Context, dir string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, stderr.String())
	}
	return stdout.String(), nil
}
