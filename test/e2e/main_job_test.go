// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// The main job, by two processes under their own service accounts.
func TestMainJob(t *testing.T) {
	webhook := startWebhook(t)
	startControllers(t)
	plan := newPlan(t, platform.PlanOptions{
		Devices: 300, Tasks: 1, Fail: 0.1, Retries: 0.3, StateChanges: 0.2, Duplicates: 0.05, Reorder: 20, Seed: 1,
	})
	ns := harness.NewNamespace(t, k8s)
	fwu := declare(t, ns, "main-job", plan, 300)
	push(t, plan, platform.PushOptions{URL: callbackURL(webhook), Concurrency: 16})

	out, err := kubectl(t.Context(), "-n", ns, "wait", "--for=condition=Finished", "fwu/main-job", "--timeout=30s")
	if err != nil {
		t.Fatalf("kubectl wait: %v: %s", err, out)
	}
	want := plan.Counts(nil)[0]
	status := awaitCounts(t, fwu, pushed(want))
	awaitAnnounced(t, fwu, want.Failures())
	if status.Progress != "300/300" || status.Phase != "PartiallySucceeded" || status.Devices.Pending != 0 ||
		status.Devices.Unexpected != 0 {
		t.Errorf("status: %+v", status)
	}
	out, err = kubectl(t.Context(), "-n", ns, "get", "firmwareupgrades")
	if err != nil || !strings.Contains(out, "300/300") || !strings.Contains(out, status.TopCause) {
		t.Errorf("kubectl get firmwareupgrades: %v\n%s", err, out)
	}
}

// The service account that faces the internet may create one kind in one namespace, and nothing else.
func TestWebhookMayDoNothingElse(t *testing.T) {
	config, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, "fwupgrade-webhook")
	if err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(group, resource, sub, verb, namespace string) bool {
		review, err := clients.AuthorizationV1().
			SelfSubjectAccessReviews().
			Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Group: group, Resource: resource, Subresource: sub, Verb: verb, Namespace: namespace,
				}},
			}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return review.Status.Allowed
	}
	const group, slices = "storage.fwupgrade.io", "resultslices"
	if !allowed(group, slices, "", "create", operatorNamespace) {
		t.Error("it may not create slices")
	}
	for _, verb := range []string{"get", "list", "watch", "update", "patch", "delete", "deletecollection"} {
		if allowed(group, slices, "", verb, operatorNamespace) {
			t.Errorf("it may %s slices", verb)
		}
	}
	for _, namespace := range []string{"default", "kube-system", ""} {
		if allowed(group, slices, "", "create", namespace) {
			t.Errorf("it may create slices in namespace %q", namespace)
		}
	}
	for _, other := range []struct{ group, resource, sub string }{
		{"fwupgrade.io", "firmwareupgrades", ""}, {"fwupgrade.io", "firmwareupgrades", "status"}, {group, "resultstores", ""},
		{"", "secrets", ""}, {"", "configmaps", ""},
		{"", "events", ""}, {"events.k8s.io", "events", ""}, {"coordination.k8s.io", "leases", ""}, {"", "pods", ""},
		{"authentication.k8s.io", "tokenreviews", ""}, {"rbac.authorization.k8s.io", "roles", ""},
	} {
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete"} {
			if allowed(other.group, other.resource, other.sub, verb, operatorNamespace) {
				t.Errorf("it may %s %s/%s", verb, other.resource, other.sub)
			}
		}
	}
}
