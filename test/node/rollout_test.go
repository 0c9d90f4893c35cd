// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/test/harness"
)

// enough is more notifications than any test pushes before it stops the load.
const enough = 600_000

// Whatever an administrator does to pods in the ordinary way, no push gets another answer than 200, no connection is
// closed without a word, and all that was answered is counted.
func testRolloutAndDrain(t *testing.T, n *node) {
	plan := newPlan(t, "rollout", enough)
	fwu := n.declare(t, plan)
	l := startLoad(t, plan, n.callback(t), *rate)
	l.awaitAnswers(t, 500)

	n.kubectl(t, "-n", operatorNamespace, "rollout", "restart", "deployment/"+webhookName, "deployment/"+controllersName)
	n.awaitRollout(t)
	requireOnly200(t, l, "rolling update")

	for _, component := range []string{"webhook", "controllers"} {
		for _, pod := range n.pods(t, component) {
			n.evict(t, pod.Name)
			n.awaitGone(t, pod.Name)
			n.awaitAvailable(t)
			requireOnly200(t, l, "eviction of a "+component+" pod")
		}
	}

	// There is no other node: the budgets hold one pod of each until the drain is given up.
	out, err := harness.Kubectl(t.Context(), n.kubeconfig, "drain", nodeName, "--ignore-daemonsets", "--timeout=40s")
	if err == nil || !strings.Contains(out, "disruption budget") {
		t.Errorf("the drain was not held by the budgets: %s, %v", out, err)
	}
	if ready := len(n.pods(t, "webhook")); ready < 1 {
		t.Error("no webhook is left")
	}
	requireOnly200(t, l, "drain")
	n.kubectl(t, "uncordon", nodeName)
	n.awaitRollout(t)
	l.awaitAnswers(t, 500)
	l.end()
	requireOnly200(t, l, "all of it")
	n.requireCounted(t, fwu, l, 0)
	t.Log(l)
}

func requireOnly200(t *testing.T, l *load, when string) {
	t.Helper()
	if l.others() > 0 {
		t.Errorf("%s: not all were answered 200: %s", when, l)
	}
}

// evict asks for an eviction until the budget allows it.
func (n *node) evict(t *testing.T, name string) {
	t.Helper()
	eventually(t, func() string {
		err := n.clientset.PolicyV1().Evictions(operatorNamespace).Evict(t.Context(), &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name},
		})
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

func (n *node) awaitGone(t *testing.T, name string) {
	t.Helper()
	eventually(t, func() string {
		_, err := n.clientset.CoreV1().Pods(operatorNamespace).Get(t.Context(), name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return name + " is still there"
		}
		return ""
	})
}

// awaitAvailable waits until all replicas of both Deployments are available.
func (n *node) awaitAvailable(t *testing.T) {
	t.Helper()
	for _, name := range []string{webhookName, controllersName} {
		eventually(t, func() string {
			d := &appsv1.Deployment{}
			if err := n.client.Get(t.Context(), types.NamespacedName{Namespace: operatorNamespace, Name: name}, d); err != nil {
				return err.Error()
			}
			if d.Status.AvailableReplicas != *d.Spec.Replicas || d.Status.Replicas != *d.Spec.Replicas {
				return fmt.Sprintf("%s: %d replicas, %d available", name, d.Status.Replicas, d.Status.AvailableReplicas)
			}
			return ""
		})
	}
}
