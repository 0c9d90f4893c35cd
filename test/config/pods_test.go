// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// The processes have a user and a group of their own whatever the image says, and a start is given a moment before it
// is asked for anything, so that it tells no Warning.
func TestPodsOfBothDeployments(t *testing.T) {
	for _, name := range []string{webhookAccount, controllerAccount} {
		t.Run(name, func(t *testing.T) {
			var d appsv1.Deployment
			must(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, &d))
			pod := d.Spec.Template.Spec
			const nonroot = 65532
			s := pod.SecurityContext
			if s == nil || s.RunAsUser == nil || *s.RunAsUser != nonroot || s.RunAsGroup == nil || *s.RunAsGroup != nonroot {
				t.Errorf("runs as %+v", s)
			}
			if probe := pod.Containers[0].StartupProbe; probe == nil || probe.InitialDelaySeconds < 1 {
				t.Errorf("the start is probed by %+v", probe)
			}
		})
	}
}

// The Service says what its port speaks: HTTP and, with the component tls, HTTPS.
func TestServiceSaysItsProtocol(t *testing.T) {
	root, err := local.ModuleRoot()
	must(t, err)
	for want, components := range map[string]string{"http": "", "https": "components: [%s]\n"} {
		t.Run(want, func(t *testing.T) {
			folder, err := filepath.EvalSymlinks(t.TempDir()) // kustomize wants paths relative to where it is
			must(t, err)
			relative := func(parts ...string) string {
				path, err := filepath.Rel(folder, filepath.Join(append([]string{root, "config"}, parts...)...))
				must(t, err)
				return path
			}
			content := fmt.Sprintf("resources: [%s]\n", relative("default"))
			if components != "" {
				content += fmt.Sprintf(components, relative("webhook", "tls"))
			}
			must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600))
			out := filepath.Join(t.TempDir(), "rendered.yaml")
			_, err = harness.Kubectl(t.Context(), kubeconfig, "kustomize", folder, "--output="+out)
			must(t, err)
			rendered, err := os.ReadFile(out)
			must(t, err)
			service := callbackService(t, strings.Split(string(rendered), "\n---\n"))
			if got := service.Spec.Ports[0].AppProtocol; got == nil || *got != want {
				t.Errorf("want %s, got %v", want, got)
			}
		})
	}
}

// callbackService finds the Service of the callback.
func callbackService(t *testing.T, documents []string) *corev1.Service {
	t.Helper()
	i := slices.IndexFunc(documents, func(document string) bool { return strings.Contains(document, "\nkind: Service\n") })
	if i < 0 {
		t.Fatal("there is no Service")
	}
	service := &corev1.Service{}
	must(t, yaml.UnmarshalStrict([]byte(documents[i]), service))
	return service
}
