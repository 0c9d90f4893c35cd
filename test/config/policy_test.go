// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

const full = "the store is full: shorten retention or raise --max-stored-results"

// claimStore makes the ResultStore of a namespace until the test ends.
func claimStore(t *testing.T, namespace string) *storage.ResultStore {
	t.Helper()
	s := &storage.ResultStore{
		ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}, Spec: storage.ResultStoreSpec{Namespace: namespace},
	}
	must(t, k8s.Create(t.Context(), s))
	t.Cleanup(func() { must(t, client.IgnoreNotFound(k8s.Delete(context.WithoutCancel(t.Context()), s))) })
	return s
}

func setState(t *testing.T, s *storage.ResultStore, state storage.StoreState) {
	t.Helper()
	s.Status.State = state
	must(t, k8s.Status().Update(t.Context(), s))
}

func TestStoreRefusesWhileFull(t *testing.T) {
	webhook := clientFor(t, accountConfig(t, webhookAccount))
	push := func() error { return webhook.Create(t.Context(), newSlice(operatorNamespace)) }
	awaitAnswer(t, "", push) // before there is a ResultStore

	s := claimStore(t, operatorNamespace)
	awaitAnswer(t, "", push)
	setState(t, s, storage.StoreFull)
	awaitAnswer(t, full, push)
	if err := push(); !apierrors.IsForbidden(err) {
		t.Errorf("want Forbidden, which the webhook takes for a refusal of the whole batch, got %v", err)
	}
	controllers := clientFor(t, accountConfig(t, controllerAccount))
	if err := controllers.Create(t.Context(), newSlice(operatorNamespace)); err != nil {
		t.Errorf("compaction in a full store: %v", err)
	}
	setState(t, s, storage.StoreNearlyFull)
	awaitAnswer(t, "", push)
}

// Uninstalling and installing again deletes the policy and its binding and creates both anew. What the ResultStore says
// must be noticed after that too.
func TestStorePolicyIsCreatedAgain(t *testing.T) {
	webhook := clientFor(t, accountConfig(t, webhookAccount))
	push := func() error { return webhook.Create(t.Context(), newSlice(operatorNamespace)) }
	s := claimStore(t, operatorNamespace)
	setState(t, s, storage.StoreFull)
	awaitAnswer(t, full, push)

	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "fwupgrade-store"}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: policy.ObjectMeta}
	for range 2 {
		for _, object := range []client.Object{policy, binding} {
			must(t, k8s.Get(t.Context(), client.ObjectKey{Name: "fwupgrade-store"}, object))
			must(t, k8s.Delete(t.Context(), object))
		}
		awaitAnswer(t, "", push)
		for _, object := range []client.Object{policy, binding} {
			object.SetResourceVersion("")
			must(t, k8s.Create(t.Context(), object))
		}
		awaitAnswer(t, full, push)
		setState(t, s, storage.StoreOpen)
		awaitAnswer(t, "", push)
		setState(t, s, storage.StoreFull)
		awaitAnswer(t, full, push)
	}
}

// Nobody counts what another installation stores, so its webhook has to say so.
func TestStoreRefusesOtherInstallations(t *testing.T) {
	elsewhere := harness.NewNamespace(t, k8s)
	claimStore(t, elsewhere)
	const refusal = "the results of this cluster are stored by the installation in namespace "
	webhook := clientFor(t, accountConfig(t, webhookAccount))
	push := func() error { return webhook.Create(t.Context(), newSlice(operatorNamespace)) }
	awaitAnswer(t, refusal+elsewhere, push)
	if err := push(); !apierrors.IsForbidden(err) {
		t.Errorf("want Forbidden, got %v", err)
	}
	// The owner's webhook, of the same name in the other namespace, and the third one's.
	owner := impersonate(t, "system:serviceaccount:"+elsewhere+":"+webhookAccount)
	if err := owner.Create(t.Context(), newSlice(elsewhere)); err != nil {
		t.Errorf("the owner: %v", err)
	}
	third := harness.NewNamespace(t, k8s)
	another := impersonate(t, "system:serviceaccount:"+third+":"+webhookAccount)
	awaitAnswer(t, refusal+elsewhere, func() error { return another.Create(t.Context(), newSlice(third)) })
}

// A placeholder passes tenancy, so only the controllers may make one.
func TestPlaceholdersAreTheOperators(t *testing.T) {
	const refusal = "placeholders are made by the operator alone"
	placeholder := func(namespace string) *v1alpha1.FirmwareUpgrade {
		fwu := wrappers.MakeFirmwareUpgrade("", namespace).App("x").Placeholder().Obj()
		fwu.GenerateName = "placeholder-"
		return fwu
	}
	alice := impersonate(t, "alice")
	awaitAnswer(t, refusal, func() error { return alice.Create(t.Context(), placeholder("default"), client.DryRunAll) })
	if err := alice.Create(t.Context(), placeholder("default")); !apierrors.IsForbidden(err) {
		t.Errorf("want Forbidden, got %v", err)
	}
	applied := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "applied", "namespace": "default"},
		"spec":     map[string]any{"operationId": "op", "placeholder": true},
	}}
	applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FirmwareUpgrade"))
	err := alice.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("alice"))
	if !apierrors.IsForbidden(err) {
		t.Errorf("by server-side apply: want Forbidden, got %v", err)
	}
	if err := alice.Create(t.Context(), wrappers.MakeFirmwareUpgrade("declared", "default").Obj()); err != nil {
		t.Errorf("a declared one: %v", err)
	}

	controllers := clientFor(t, accountConfig(t, controllerAccount))
	made := placeholder("default")
	if err := controllers.Create(t.Context(), made); err != nil {
		t.Fatalf("the operator: %v", err)
	}
	// Whoever declares it in place is free to.
	made.Spec.Placeholder = false
	if err := alice.Update(t.Context(), made); err != nil {
		t.Errorf("declared in place: %v", err)
	}
}

// Results that are to be purged with their FirmwareUpgrade are, however soon it is deleted: not before the operator has
// put its finalizer on it.
func TestPurgeNeedsTheFinalizer(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	purged := wrappers.MakeFirmwareUpgrade("purged", ns).DeletionPolicy(v1alpha1.DeletionPolicyPurge).Obj()
	must(t, k8s.Create(t.Context(), purged))
	awaitAnswer(t, "the operator has not seen this FirmwareUpgrade yet", func() error {
		return k8s.Delete(t.Context(), purged, client.DryRunAll)
	})
	if err := k8s.Delete(t.Context(), purged); !apierrors.IsForbidden(err) {
		t.Errorf("without the finalizer: want Forbidden, got %v", err)
	}
	purged.Finalizers = []string{v1alpha1.FinalizerPurge}
	must(t, k8s.Update(t.Context(), purged))
	for range 2 { // the second time it is being deleted
		if err := k8s.Delete(t.Context(), purged); err != nil {
			t.Errorf("with the finalizer: %v", err)
		}
	}
	must(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(purged), purged))
	purged.Finalizers = nil
	must(t, k8s.Update(t.Context(), purged))

	retained := wrappers.MakeFirmwareUpgrade("retained", ns).Obj()
	must(t, k8s.Create(t.Context(), retained))
	if err := k8s.Delete(t.Context(), retained); err != nil {
		t.Errorf("with the policy Retain: %v", err)
	}
}
