// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// sample returns the path of a sample.
func sample(t *testing.T, parts ...string) string {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	return filepath.Join(append([]string{root, "config", "samples"}, parts...)...)
}

// The API server takes the samples as they are, and finds no unknown field in them.
func TestSamplesAreValid(t *testing.T) {
	for _, namespace := range []string{"fleet", "fleet-canary"} { // whose samples name
		_, err := harness.Kubectl(t.Context(), kubeconfig, "create", "namespace", namespace)
		must(t, err)
	}
	for _, file := range []string{
		"fwupgrade_v1alpha1_firmwareupgrade.yaml", "platform/iotapplication.yaml", "platform/secrets.yaml",
		"waves/1/canary.yaml", "waves/2/main.yaml",
	} {
		t.Run(file, func(t *testing.T) {
			_, err := harness.Kubectl(t.Context(), kubeconfig, "apply", "--server-side", "--dry-run=server",
				"--validate=strict", "-f", sample(t, filepath.FromSlash(file)))
			must(t, err)
		})
	}
}

// The samples of the platform go together: the IoTApplication names the Secrets, in the namespace where the operator
// may get them, and the installation lets it connect to where the platform is.
func TestSamplesOfThePlatformGoTogether(t *testing.T) {
	app, secrets := &v1alpha1.IoTApplication{}, map[string][]string{}
	content, err := os.ReadFile(sample(t, "platform", "iotapplication.yaml"))
	must(t, err)
	must(t, yaml.UnmarshalStrict(content, app))
	content, err = os.ReadFile(sample(t, "platform", "secrets.yaml"))
	must(t, err)
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		secret := &corev1.Secret{}
		must(t, yaml.UnmarshalStrict([]byte(document), secret))
		for key := range secret.StringData {
			name := secret.Namespace + "/" + secret.Name
			secrets[name] = append(secrets[name], key)
			slices.Sort(secrets[name])
		}
	}
	n := app.Spec.Northbound
	want := map[string][]string{
		operatorNamespace + "/" + n.CredentialsRef.Name: {"callback-url", "secret"},
		operatorNamespace + "/" + n.TLSRef.Name:         {"ca.crt", "tls.crt", "tls.key"},
	}
	if diff := cmp.Diff(want, secrets); diff != "" {
		t.Errorf("Secrets (-named +there):\n%s", diff)
	}

	var args []string
	for _, document := range render(t, sample(t, "platform")) {
		deployment := &appsv1.Deployment{}
		if strings.Contains(document, "\nkind: Deployment\n") {
			must(t, yaml.UnmarshalStrict([]byte(document), deployment))
		}
		if deployment.Name == controllerAccount {
			args = deployment.Spec.Template.Spec.Containers[0].Args
		}
	}
	if flag := "--platform-hosts=" + strings.TrimPrefix(n.Endpoint, "https://"); !slices.Contains(args, flag) {
		t.Errorf("want %s among %q", flag, args)
	}
}
