// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/test/harness"
)

// The image has the name of the example in docs/install.md: there is no such registry, so it is imported.
const (
	imageRepository = "registry.example.com/fwupgrade-operator"
	imageTag        = "v0.1.0"
)

// config/default, in the words of docs/install.md; and away again.
func testInstallByManifest(t *testing.T, n *node) {
	manifest := n.built("install.yaml")
	refuseWarnings(t, n.kubectl(t, "apply", "--server-side", "-f", manifest))
	n.requireInstalled(t)
	out := n.kubectl(t, "delete", "--ignore-not-found", "-f", manifest)
	refuseWarnings(t, out)
	n.awaitNoNamespace(t)
}

// The chart, in the words of docs/install.md. It stays for the tests that follow.
func testInstallByChart(t *testing.T, n *node) {
	out := n.helm(t, "install", "fwupgrade", filepath.Join(n.root, "charts", "fwupgrade"),
		"--namespace", operatorNamespace, "--create-namespace",
		"--set", "image.repository="+imageRepository, "--set", "image.tag="+imageTag)
	refuseWarnings(t, out)
	// Warns of pods that are there already and violate the level.
	refuseWarnings(t, n.kubectl(t, "label", "namespace", operatorNamespace,
		"pod-security.kubernetes.io/enforce=restricted"))
	n.requireInstalled(t)
}

// requireInstalled makes the Secret and looks at everything that an installation promises.
func (n *node) requireInstalled(t *testing.T) {
	t.Helper()
	n.createSecret(t)
	n.awaitRollout(t)
	namespace := &corev1.Namespace{}
	if err := n.client.Get(t.Context(), types.NamespacedName{Name: operatorNamespace}, namespace); err != nil {
		t.Fatal(err)
	}
	if level := namespace.Labels["pod-security.kubernetes.io/enforce"]; level != "restricted" {
		t.Errorf("Pod Security enforces %q", level)
	}
	out, err := harness.Kubectl(t.Context(), n.kubeconfig, "-n", operatorNamespace, "run", "intruder", "--image=any",
		"--dry-run=server")
	if err == nil || !strings.Contains(out, "violates PodSecurity") {
		t.Errorf("a pod that asks for no restrictions is not refused: %s", out)
	}
	for _, component := range []string{"webhook", "controllers"} {
		pods := n.pods(t, component)
		if len(pods) != 2 {
			t.Errorf("%s: %d pods, not 2", component, len(pods))
		}
		for i := range pods {
			requireLeastPower(t, &pods[i])
			requireHealthy(t, &pods[i])
			if restarts := pods[i].Status.ContainerStatuses[0].RestartCount; restarts > 0 {
				t.Errorf("%s was restarted %d times", pods[i].Name, restarts)
			}
		}
	}
	n.refuseWarningEvents(t)
	n.pushAndCount(t, "installed", 500)
}

func refuseWarnings(t *testing.T, out string) {
	t.Helper()
	if strings.Contains(strings.ToLower(out), "warning") {
		t.Errorf("it warned:\n%s", out)
	}
}

// refuseWarningEvents expects no Warning but that the pods waited for their Secret, which is made after them, and that
// a process was asked before it was ready, on a busy machine.
func (n *node) refuseWarningEvents(t *testing.T) {
	t.Helper()
	list := &corev1.EventList{}
	if err := n.client.List(t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		e := &list.Items[i]
		expected := e.Reason == "FailedMount" && strings.Contains(e.Message, `secret "fwupgrade-callback" not found`) ||
			// A kubelet that has only just started on a busy machine.
			e.Reason == "FailedMount" && strings.Contains(e.Message, "cache: timed out waiting for the condition") ||
			e.Reason == "Unhealthy"
		if e.Type == corev1.EventTypeWarning && !expected {
			t.Errorf("%s %s: %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
}

// requireHealthy asks for what the kubelet asks.
func requireHealthy(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	for _, path := range []string{"/healthz", "/readyz"} {
		url := "http://" + net.JoinHostPort(pod.Status.PodIP, "8081") + path
		if code, err := get(t.Context(), url); err != nil || code != http.StatusOK {
			t.Errorf("%s: %s answered %d, %v", pod.Name, path, code, err)
		}
	}
}

func get(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode, nil
}

func (n *node) awaitNoNamespace(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		err := n.client.Get(t.Context(), types.NamespacedName{Name: operatorNamespace}, &corev1.Namespace{})
		if client.IgnoreNotFound(err) != nil || err == nil {
			return "the namespace is still there"
		}
		return ""
	})
}

// A webhook whose process is stopped fails its readiness probe: pushes go to the other one until it goes on.
func testProbe(t *testing.T, n *node) {
	pod := n.pods(t, "webhook")[0]
	pid := process(t, &pod)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	n.awaitReady(t, pod.Name, false)
	n.awaitEndpoints(t, 1)
	n.awaitAnswers(t)
	n.pushAndCount(t, "one-webhook", 500)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.awaitReady(t, pod.Name, true)
	n.awaitEndpoints(t, 2)
}

// awaitReady waits until the kubelet says that a pod is ready, or that it is not.
func (n *node) awaitReady(t *testing.T, name string, want bool) {
	t.Helper()
	eventually(t, func() string {
		if isReady(n.pod(t, name)) != want {
			return "readiness of " + name + " is as before"
		}
		return ""
	})
}
