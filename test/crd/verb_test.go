// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// The roles that people have, as config/default names them.
const (
	editorRole   = "fwupgrade-firmwareupgrade-editor"
	upgraderRole = "fwupgrade-firmwareupgrade-upgrader"
)

// installVerb installs what config/default has for the verb upgrade: the policy and the roles of people.
func installVerb(t *testing.T) {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := harness.Kubectl(t.Context(), "", "kustomize", filepath.Join(root, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{
		"ClusterRole/" + editorRole: true, "ClusterRole/" + upgraderRole: true,
		"ValidatingAdmissionPolicy/fwupgrade-upgrade": true, "ValidatingAdmissionPolicyBinding/fwupgrade-upgrade": true,
	}
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		if key := object.GetKind() + "/" + object.GetName(); wanted[key] {
			delete(wanted, key)
			if err := k8s.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	for missing := range wanted {
		t.Fatalf("config/default has no %s", missing)
	}
}

// person returns a client of somebody who has these roles in a namespace.
func person(t *testing.T, name, namespace string, roles ...string) client.Client {
	t.Helper()
	for _, role := range roles {
		err := k8s.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated"}}
	c, err := harness.NewClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkVerb compares an answer with whether it is to be refused for lack of the verb.
func checkVerb(t *testing.T, what string, refused bool, err error) {
	t.Helper()
	switch {
	case !refused && err != nil:
		t.Errorf("%s: %v", what, err)
	case refused && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "needs the verb upgrade")):
		t.Errorf("%s: want a refusal for lack of the verb, got %v", what, err)
	}
}

// Who may edit FirmwareUpgrades may not have devices upgraded by that, unless he has the verb for it in the namespace:
// he writes everything but what is asked of the platform.
func TestUpgradeVerb(t *testing.T) {
	installVerb(t)
	namespace, another := harness.NewNamespace(t, k8s), harness.NewNamespace(t, k8s)
	editor := person(t, "erin", namespace, editorRole)
	upgrader := person(t, "uma", namespace, editorRole, upgraderRole)
	person(t, "uma", another, editorRole)
	reader := person(t, "rita", namespace, upgraderRole)

	made := func(name, namespace string) *v1alpha1.FirmwareUpgrade {
		fwu := inGroups(name).Obj()
		fwu.Namespace = namespace
		return fwu
	}
	harness.Eventually(t, func() string { // the API server heeds a policy a moment later
		if err := editor.Create(t.Context(), made("probe", namespace), client.DryRunAll); !apierrors.IsForbidden(err) {
			return "the policy is not there yet"
		}
		return ""
	})
	checkVerb(t, "an editor creates a task", true, editor.Create(t.Context(), made("editors", namespace)))
	applied := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "applied", "namespace": namespace},
		"spec": map[string]any{"appId": "x", "task": map[string]any{
			"packageId": "p", "devices": []any{"d"}, "createBefore": "2100-01-01T00:00:00Z",
		}},
	}}
	applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FirmwareUpgrade"))
	apply := func(c client.Client) error {
		return c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied.DeepCopy()), client.FieldOwner("flux"))
	}
	checkVerb(t, "an editor applies a task", true, apply(editor))
	checkVerb(t, "an upgrader applies a task", false, apply(upgrader))
	followed := upgradeNamed("followed").Operation("op").Obj()
	followed.Namespace = namespace
	checkVerb(t, "an editor follows a task", false, editor.Create(t.Context(), followed))
	checkVerb(t, "an upgrader elsewhere", true, upgrader.Create(t.Context(), made("elsewhere", another)))
	if err := reader.Create(t.Context(), made("readers", namespace)); !apierrors.IsForbidden(err) ||
		strings.Contains(err.Error(), "needs the verb upgrade") {
		t.Errorf("the verb lets nobody write: want RBAC to refuse, got %v", err)
	}

	wave := made("wave", namespace)
	checkVerb(t, "an upgrader creates a task", false, upgrader.Create(t.Context(), wave))
	for what, c := range map[string]struct {
		refused bool
		change  func(spec *v1alpha1.FirmwareUpgradeSpec)
	}{
		"a deadline": {false, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.DeadlineSeconds = new(int64(60)) }},
		"a policy": {false, func(spec *v1alpha1.FirmwareUpgradeSpec) {
			spec.FailurePolicy = toCreate("").MaxFailed("5%", 0).Spec.FailurePolicy
		}},
		"the number":         {false, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.ExpectedDevices = new(int64(5)) }},
		"run":                {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.Task.Run++ }},
		"createBefore":       {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.Task.CreateBefore = metav1.Unix(1, 0) }},
		"the package":        {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.Task.PackageID = "another" }},
		"a group":            {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.Task.DeviceGroups.Names[0] = "another" }},
		"the window":         {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.Task.Window = nil }},
		"the version":        {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.TargetVersion = "another" }},
		"an operationId":     {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.OperationID, spec.Task = "declared", nil }},
		"a policy and a run": {true, func(spec *v1alpha1.FirmwareUpgradeSpec) { spec.DeadlineSeconds, spec.Task.Run = new(int64(60)), 9 }},
	} {
		fwu := wave.DeepCopy()
		c.change(&fwu.Spec)
		checkVerb(t, "an editor changes "+what, c.refused, editor.Update(t.Context(), fwu.DeepCopy(), client.DryRunAll))
		checkVerb(t, "an upgrader changes "+what, false, upgrader.Update(t.Context(), fwu.DeepCopy(), client.DryRunAll))
	}
	label := mergePatch(`{"metadata":{"labels":{"a":"b"}}}`)
	checkVerb(t, "an editor labels it", false, editor.Patch(t.Context(), wave.DeepCopy(), label, client.DryRunAll))

	// By the id that it got it is followed as before. By another one, an attempt of which nobody knows would count as
	// made.
	wave.Status.OperationID, wave.Status.Task = "created", &v1alpha1.TaskStatus{State: v1alpha1.TaskCreated}
	if err := k8s.Status().Update(t.Context(), wave); err != nil {
		t.Fatal(err)
	}
	pin := mergePatch(`{"spec":{"task":null,"operationId":"created"}}`)
	checkVerb(t, "an editor pins it", false, editor.Patch(t.Context(), wave.DeepCopy(), pin, client.DryRunAll))
	wave.Status.Task.State = v1alpha1.TaskUncertain
	if err := k8s.Status().Update(t.Context(), wave); err != nil {
		t.Fatal(err)
	}
	declare := mergePatch(`{"spec":{"task":null,"operationId":"another"}}`)
	checkVerb(t, "an editor declares it", true, editor.Patch(t.Context(), wave.DeepCopy(), declare, client.DryRunAll))
	checkVerb(t, "an upgrader declares it", false, upgrader.Patch(t.Context(), wave.DeepCopy(), declare, client.DryRunAll))
	checkVerb(t, "an editor deletes it", false, editor.Delete(t.Context(), wave))
}
