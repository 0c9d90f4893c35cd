// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/test/harness"
)

// Names of the installation, as config/default has them.
const (
	operatorNamespace = "fwupgrade-system"
	webhookName       = "fwupgrade-webhook"
	controllersName   = "fwupgrade-controllers"
	callbackPath      = "/v1.0.0/messageReceiver"
)

// patience is for kubelet and containerd on a busy machine, where a pod takes its time.
const patience = 3 * time.Minute

// eventually waits until the condition returns nothing, and fails the test with what it returned last.
func eventually(t *testing.T, condition func() string) {
	t.Helper()
	harness.EventuallyWithin(t, patience, condition)
}

// kubectl runs the real one as the administrator, and returns what it printed.
func (n *node) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := harness.Kubectl(t.Context(), n.kubeconfig, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// helm runs the real one as the administrator.
func (n *node) helm(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(n.root, "bin", "tools", "helm"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+n.kubeconfig, "HELM_CACHE_HOME="+n.path("helm"),
		"HELM_CONFIG_HOME="+n.path("helm"), "HELM_DATA_HOME="+n.path("helm"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helm %s: %v: %s", args[0], err, out)
	}
	return string(out)
}

// createSecret makes the Secret of the callback, with the same file for every installation.
func (n *node) createSecret(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(n.path("fwupgrade-paths")); err != nil {
		if err := os.WriteFile(n.path("fwupgrade-paths"), []byte(rand.Text()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.kubectl(t, "-n", operatorNamespace, "create", "secret", "generic", "fwupgrade-callback", "--save-config",
		"--from-file=paths="+n.path("fwupgrade-paths"))
}

// awaitRollout waits until both Deployments have what they want.
func (n *node) awaitRollout(t *testing.T) {
	t.Helper()
	n.kubectl(t, "-n", operatorNamespace, "rollout", "status", "--timeout=4m",
		"deployment/"+webhookName, "deployment/"+controllersName)
}

// callback is the URL at the Service's address. It is a secret.
func (n *node) callback(t *testing.T) string {
	t.Helper()
	service := &corev1.Service{}
	key := types.NamespacedName{Namespace: operatorNamespace, Name: webhookName}
	if err := n.client.Get(t.Context(), key, service); err != nil {
		t.Fatal(err)
	}
	return "http://" + service.Spec.ClusterIP + ":443" + callbackPath + "/" + n.secret(t)
}

func (n *node) secret(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(n.path("fwupgrade-paths"))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(content))
}

// pods are those of a component that are not on their way out.
func (n *node) pods(t *testing.T, component string) []corev1.Pod {
	t.Helper()
	list := &corev1.PodList{}
	err := n.client.List(t.Context(), list, client.InNamespace(operatorNamespace),
		client.MatchingLabels{"app.kubernetes.io/component": component})
	if err != nil {
		t.Fatal(err)
	}
	var pods []corev1.Pod
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			pods = append(pods, list.Items[i])
		}
	}
	return pods
}

// pod reads a pod again.
func (n *node) pod(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := n.client.Get(t.Context(), types.NamespacedName{Namespace: operatorNamespace, Name: name}, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// explain logs what helps to understand a failure.
func (n *node) explain(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"-n", operatorNamespace, "get", "events", "--sort-by=.lastTimestamp"},
		{"-n", operatorNamespace, "logs", "--tail=15", "--prefix", "-l", "app.kubernetes.io/name=fwupgrade"},
	} {
		out, err := harness.Kubectl(t.Context(), n.kubeconfig, args...)
		if err != nil {
			out += err.Error()
		}
		lines := strings.Split(out, "\n")
		t.Log(strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
}
