// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/hack/local"
)

// kubeconfig is the administrator's of the control plane that the tests share.
var kubeconfig string

func TestMain(m *testing.M) {
	code, err := withControlPlane(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withControlPlane runs the tests with a control plane that has none of the operator's kinds.
func withControlPlane(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "fwupgrade-chart-")
	if err != nil {
		return 1, fmt.Errorf("make a folder for the tests: %w", err)
	}
	defer os.RemoveAll(dir)
	cluster, err := local.Start(context.Background(), local.Options{
		CRDPaths: []string{filepath.Join("testdata", "crds")}, WithoutControllerManager: true,
		// An address of loopback is not published as the API server's.
		APIServerArgs: map[string][]string{"advertise-address": {"192.0.2.10"}},
	})
	if err != nil {
		return 1, fmt.Errorf("start a control plane (run make test): %w", err)
	}
	defer func() {
		if stopped := cluster.Stop(); err == nil {
			err = stopped
		}
	}()
	kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// helm returns what acts on the releases of a namespace.
func helm(t *testing.T, namespace string) *action.Configuration {
	t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &kubeconfig, &namespace
	flags.WrapConfigFn = func(config *rest.Config) *rest.Config {
		config.QPS = -1 // no client-side limit
		return config
	}
	configuration := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	must(t, configuration.Init(flags, namespace, "secret"))
	return configuration
}

func install(t *testing.T, namespace, text string, takeOwnership bool) error {
	t.Helper()
	install := action.NewInstall(helm(t, namespace))
	install.ReleaseName, install.Namespace, install.CreateNamespace = "fwupgrade", namespace, true
	install.WaitStrategy = kube.HookOnlyStrategy
	install.TakeOwnership, install.ForceConflicts = takeOwnership, takeOwnership
	_, err := install.RunWithContext(t.Context(), loadChart(t), values(t, text))
	return err
}

func upgrade(t *testing.T, namespace, text string) error {
	t.Helper()
	upgrade := action.NewUpgrade(helm(t, namespace))
	upgrade.Namespace, upgrade.WaitStrategy, upgrade.ResetValues = namespace, kube.HookOnlyStrategy, true
	_, err := upgrade.RunWithContext(t.Context(), "fwupgrade", loadChart(t), values(t, text))
	return err
}

func uninstall(t *testing.T, namespace string) {
	t.Helper()
	uninstall := action.NewUninstall(helm(t, namespace))
	uninstall.WaitStrategy, uninstall.DeletionPropagation = kube.HookOnlyStrategy, "background"
	_, err := uninstall.Run("fwupgrade")
	must(t, err)
}

// admin runs kubectl as the administrator, and returns what it prints.
func admin(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectl(t, append([]string{"--kubeconfig=" + kubeconfig}, args...)...)
	must(t, err)
	return strings.TrimSpace(out)
}

// file writes a text for kubectl to read.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.yaml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// What the chart can give at once.
const everything = `
service: {type: LoadBalancer, externalTrafficPolicy: Local}
ingress: {enabled: true, host: a.example}
gateway: {enabled: true, parentRefs: [{name: g}]}
applications: [{appId: "12", namespaces: [a]}]
maxStoredResults: 12000000
placeholderNamespace: kube-public
platform: {hosts: ['iot.example.com:8743']}
webhook: {replicas: 3}
monitoring: {podMonitor: {enabled: true}, alerts: {enabled: true}, dashboard: {enabled: true}}
`

const declared = `
apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata: {name: kept, namespace: default}
spec: {operationId: "7f2c"}
---
apiVersion: fwupgrade.io/v1alpha1
kind: IoTApplication
metadata: {name: kept}
spec: {appId: a, northbound: {endpoint: "https://iot.example.com:8743", credentialsRef: {name: a}}}
`

// An installation is upgraded with other values and back, and uninstalled; what people declared stays, and a new
// installation finds it.
func TestLifeOfARelease(t *testing.T) {
	must(t, install(t, operatorNamespace, "", false))
	t.Cleanup(func() { uninstall(t, operatorNamespace) })
	admin(t, "wait", "--for=condition=Established", "--timeout=30s", "crd/firmwareupgrades.fwupgrade.io",
		"crd/iotapplications.fwupgrade.io")
	admin(t, "apply", "-f", file(t, declared))

	// What is taken from the values, and of which kinds there is something.
	const kinds = "ingress,httproute,podmonitor,prometheusrule"
	installed := func() []string {
		return append([]string{
			admin(t, "get", "deployment", "fwupgrade-webhook", "-n", operatorNamespace, "-o=jsonpath={.spec.replicas}"),
			admin(t, "get", "rolebinding", "-A", "--field-selector=metadata.name=fwupgrade-placeholders",
				"-o=jsonpath={.items[*].metadata.namespace}"),
			admin(t, "get", "role", "fwupgrade-platform-secrets", "-n", operatorNamespace, "--ignore-not-found", "-o=name"),
		}, strings.Fields(admin(t, "get", kinds, "-n", operatorNamespace, "-o=name"))...)
	}
	must(t, upgrade(t, operatorNamespace, everything))
	if diff := cmp.Diff([]string{
		"3", "kube-public", "role.rbac.authorization.k8s.io/fwupgrade-platform-secrets",
		"ingress.networking.k8s.io/fwupgrade-callback",
		"httproute.gateway.networking.k8s.io/fwupgrade-callback",
		"podmonitor.monitoring.coreos.com/fwupgrade", "prometheusrule.monitoring.coreos.com/fwupgrade",
	}, installed()); diff != "" {
		t.Error(diff)
	}
	must(t, upgrade(t, operatorNamespace, ""))
	if diff := cmp.Diff([]string{"2", "default", ""}, installed()); diff != "" {
		t.Error(diff)
	}

	uninstall(t, operatorNamespace)
	got := admin(t, "get", "fwu,iotapp", "-A", "-o=name")
	if got != "firmwareupgrade.fwupgrade.io/kept\niotapplication.fwupgrade.io/kept" {
		t.Errorf("what people declared went with the release: %q", got)
	}
	left := admin(t, "get", "deployment,service,networkpolicy,rolebinding,role,serviceaccount",
		"-n", operatorNamespace, "-l=app.kubernetes.io/part-of=fwupgrade", "-o=name")
	if left != "" {
		t.Errorf("this is left: %s", left)
	}
	must(t, install(t, operatorNamespace, "", false))
}

// Who installed by dist/install.yaml, or by kustomize, can go on with Helm.
func TestTakesOverWhatWasApplied(t *testing.T) {
	admin(t, "apply", "--server-side", "--force-conflicts", "-f", root(t, "dist", "install.yaml"))
	admin(t, "wait", "--for=condition=Established", "--timeout=30s", "crd/firmwareupgrades.fwupgrade.io")
	must(t, install(t, operatorNamespace, "webhook: {replicas: 4}", true))
	t.Cleanup(func() { uninstall(t, operatorNamespace) })
	got := admin(t, "get", "deployment", "fwupgrade-webhook", "-n", operatorNamespace, "-o=jsonpath={.spec.replicas}")
	if got != "4" {
		t.Errorf("want 4 replicas, got %s", got)
	}
}

// The API server takes what each value gives, strictly.
func TestOptionsAreValid(t *testing.T) {
	const namespace = "options"
	admin(t, "create", "namespace", namespace)
	for name, tc := range options() {
		t.Run(name, func(t *testing.T) {
			// What is to be in a namespace that does not exist is not judged here.
			text := strings.NewReplacer("default2", namespace, "'1234'", namespace).Replace(tc.values)
			manifest, _, err := template(t, namespace, text)
			must(t, err)
			admin(t, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
				"-f", file(t, manifest))
		})
	}
}

// The samples of ways in are valid, and name what is there.
func TestSamplesAreValid(t *testing.T) {
	if output, err := kubectl(t, "--kubeconfig="+kubeconfig, "create", "namespace", operatorNamespace); err != nil &&
		!strings.Contains(err.Error(), "AlreadyExists") {
		t.Fatal(output, err)
	}
	for _, name := range []string{"ingress.yaml", "gateway.yaml", "certificate.yaml", "load_balancer.yaml"} {
		t.Run(name, func(t *testing.T) {
			admin(t, "apply", "--server-side", "--dry-run=server", "--validate=strict",
				"-f", root(t, "config", "samples", "expose", name))
		})
	}
	chart := render(t, operatorNamespace, "tls: {source: secret}")[service]
	balancer := sample(t, "load_balancer.yaml")["Service fwupgrade-system/fwupgrade-callback"]
	for _, path := range [][]any{{"spec", "selector"}, {"spec", "ports"}} {
		if diff := cmp.Diff(find(chart, path...), find(balancer, path...)); diff != "" {
			t.Errorf("load_balancer.yaml (-chart +sample): %s", diff)
		}
	}
}
