// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An API server may stop for good to follow what a policy takes its parameters from, once the policy was deleted. So
// the policies are deleted and made again, and then the store is switched to full and back.
func testPolicyAppliedAgain(t *testing.T, n *node) {
	n.recreatePolicies(t)
	// The leader would say at once that the store is not full.
	n.kubectl(t, "-n", operatorNamespace, "scale", "--replicas=0", "deployment/"+controllersName)
	n.kubectl(t, "-n", operatorNamespace, "wait", "--for=delete", "pod", "--timeout=2m",
		"-l", "app.kubernetes.io/component=controllers")
	plan := newPlan(t, "policy", enough-5)
	fwu := n.declare(t, plan)
	l := startLoad(t, plan, n.callback(t), 20)
	l.awaitAnswers(t, 20)
	for range 2 {
		n.setStoreState(t, "Full")
		awaitRow(t, l, "503", "200")
		n.setStoreState(t, "Open")
		awaitRow(t, l, "200", "503")
	}
	l.end()
	if strange := l.others() - l.count("503"); strange > 0 {
		t.Errorf("there were other answers than 200 and 503: %s", l)
	}
	t.Log(l)
	n.kubectl(t, "-n", operatorNamespace, "scale", "--replicas=2", "deployment/"+controllersName)
	n.awaitRollout(t)
	n.requireCounted(t, fwu, l, 0)
}

// awaitRow waits until 20 answers in a row are the wanted one, and none the other.
func awaitRow(t *testing.T, l *load, want, other string) {
	t.Helper()
	wanted, others := l.count(want), l.count(other)
	eventually(t, func() string {
		if now := l.count(other); now != others {
			wanted, others = l.count(want), now
		}
		if row := l.count(want) - wanted; row < 20 {
			return fmt.Sprintf("%d answers %s in a row: %s", row, want, l)
		}
		return ""
	})
}

func (n *node) setStoreState(t *testing.T, state string) {
	t.Helper()
	n.kubectl(t, "patch", "resultstores", "fwupgrade", "--subresource=status", "--type=merge",
		"-p", `{"status":{"state":"`+state+`"}}`)
}

// recreatePolicies deletes the admission policies with their bindings, and makes the same ones again.
func (n *node) recreatePolicies(t *testing.T) {
	t.Helper()
	ours := client.MatchingLabels{"app.kubernetes.io/name": "fwupgrade"}
	policies := &admissionv1.ValidatingAdmissionPolicyList{}
	bindings := &admissionv1.ValidatingAdmissionPolicyBindingList{}
	for _, list := range []client.ObjectList{policies, bindings} {
		if err := n.client.List(t.Context(), list, ours); err != nil {
			t.Fatal(err)
		}
	}
	var objects []client.Object
	for i := range policies.Items {
		objects = append(objects, &policies.Items[i])
	}
	for i := range bindings.Items {
		objects = append(objects, &bindings.Items[i])
	}
	if len(objects) != 10 {
		t.Fatalf("there are %d policies and bindings, not 10", len(objects))
	}
	for _, object := range objects {
		if err := n.client.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(3 * time.Second) // so that the API server notices
	for _, object := range objects {
		object.SetResourceVersion("")
		object.SetUID("")
		object.SetCreationTimestamp(metav1.Time{})
		object.SetManagedFields(nil)
		if err := n.client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}
