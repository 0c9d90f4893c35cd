// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/test/harness"
)

// flux does with Kustomizations what kustomize-controller does: one is applied when all that it depends on are Ready,
// and is Ready when everything that was applied is Current, as kstatus says.
type flux struct {
	all []*kustomization
}

// kustomization is one that waits for its objects (spec.wait).
type kustomization struct {
	name      string
	dependsOn []string
	objects   []*unstructured.Unstructured
	// api acts as the account of spec.serviceAccountName.
	api client.Client

	applied bool
	// state is that of the object which is the furthest from Current, and why tells of it.
	state status.Status
	why   string
}

// named returns a Kustomization, nil where there is none.
func (f *flux) named(name string) *kustomization {
	for _, k := range f.all {
		if k.name == name {
			return k
		}
	}
	return nil
}

// reconcile looks at each Kustomization once.
func (f *flux) reconcile(t *testing.T) {
	t.Helper()
	for _, k := range f.all {
		if f.mayBegin(t, k) {
			k.reconcile(t)
		}
	}
}

func (f *flux) mayBegin(t *testing.T, k *kustomization) bool {
	t.Helper()
	for _, name := range k.dependsOn {
		of := f.named(name)
		if of == nil {
			t.Fatalf("%s depends on %s, which is not there", k.name, name)
		}
		if !of.applied || of.state != status.CurrentStatus {
			k.why = "dependency " + name + " is not ready: " + of.why
			return false
		}
	}
	return true
}

// reconcile applies all objects, and looks how they are.
func (k *kustomization) reconcile(t *testing.T) {
	t.Helper()
	k.applied, k.state, k.why = false, status.InProgressStatus, ""
	for _, object := range k.objects {
		err := k.api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()),
			client.FieldOwner("kustomize-controller"), client.ForceOwnership)
		if err != nil {
			k.why = err.Error() // is tried again
			return
		}
	}
	k.applied, k.state = true, status.CurrentStatus
	for _, object := range k.objects {
		live := object.DeepCopy()
		if err := k.api.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
			t.Fatal(err)
		}
		of, err := status.Compute(live)
		if err != nil {
			t.Fatal(err)
		}
		if of.Status != status.CurrentStatus && k.state != status.FailedStatus {
			k.state, k.why = of.Status, fmt.Sprintf("%s is %s: %s", object.GetName(), of.Status, of.Message)
		}
	}
}

// upgrader returns a client of a service account that may do in some namespaces what docs/security.md has people grant
// to who applies waves.
func upgrader(t *testing.T, account string, namespaces ...string) client.Client {
	t.Helper()
	for _, namespace := range namespaces {
		for _, role := range []string{"edit", "fwupgrade-firmwareupgrade-upgrader"} {
			err := k8s.Create(t.Context(), &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "flux-system", Name: account}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	config := cluster.Config()
	config.Impersonate = rest.ImpersonationConfig{ // as Flux does
		UserName: "system:serviceaccount:flux-system:" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:flux-system", "system:authenticated"},
	}
	c, err := harness.NewClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
