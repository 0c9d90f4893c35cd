// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Who may write IoTApplications decides for all namespaces what is connected and by which Secrets, so no built-in role
// includes it, by whatever it is aggregated from; and whom somebody binds to the role for it may do that and no more.
func TestIoTApplicationsAreNotOfTheBuiltInRoles(t *testing.T) {
	const resource = "fwupgrade.io/iotapplications"
	aggregated := aggregated(t, resource, "*/", "fwupgrade.io/*")
	reading := []string{"get " + resource, "get " + resource + "/status", "list " + resource, "watch " + resource}
	if diff := cmp.Diff(map[string][]string{"view": reading}, aggregated); diff != "" {
		t.Errorf("aggregated (-want +got):\n%s", diff)
	}
	writing := append([]string{
		"create " + resource, "delete " + resource, "deletecollection " + resource, "patch " + resource, "update " + resource,
	}, reading...)
	slices.Sort(writing)
	for role, want := range map[string][]string{"viewer": reading, "editor": writing} {
		bind(t, role, "fwupgrade-iotapplication-"+role)
		if diff := cmp.Diff(want, rulesOf(t, role, operatorNamespace)); diff != "" {
			t.Errorf("%s (-want +rules):\n%s", role, diff)
		}
	}
}

// Who may have devices upgraded is said by nobody but whoever binds a role to him, and what was asked of the platform
// is written by the controllers alone: no built-in role has either, and the role for the first has nothing else.
func TestUpgradingIsOfNoBuiltInRole(t *testing.T) {
	verb, records := "upgrade fwupgrade.io/firmwareupgrades", "storage.fwupgrade.io/firmwareupgradetask"
	for _, resource := range []string{verb, records} {
		got := aggregated(t, resource, "* fwupgrade.io/", "*/", "fwupgrade.io/*")
		if diff := cmp.Diff(map[string][]string{}, got); diff != "" {
			t.Errorf("%s is aggregated (-want +got):\n%s", resource, diff)
		}
	}
	bind(t, "upgrader", "fwupgrade-firmwareupgrade-upgrader")
	want := []string{verb}
	if diff := cmp.Diff(want, rulesOf(t, "upgrader", operatorNamespace)); diff != "" {
		t.Errorf("the upgrader's rules (-want +rules):\n%s", diff)
	}
	editors := aggregated(t, "update fwupgrade.io/firmwareupgrades")
	if diff := cmp.Diff(map[string][]string{"edit": {"update fwupgrade.io/firmwareupgrades"}}, editors); diff != "" {
		t.Errorf("who may write FirmwareUpgrades, by which the rest would follow (-want +got):\n%s", diff)
	}
}

// aggregated returns the rights that contain one of the parts, by the built-in role that they are aggregated to.
func aggregated(t *testing.T, parts ...string) map[string][]string {
	t.Helper()
	roles := &rbacv1.ClusterRoleList{}
	must(t, k8s.List(t.Context(), roles))
	all := map[string][]string{}
	for i := range roles.Items {
		for label := range roles.Items[i].Labels {
			into, found := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-")
			if !found {
				continue
			}
			for _, rule := range roles.Items[i].Rules {
				for _, right := range tuples(rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames) {
					if slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(right, part) }) {
						all[into] = append(all[into], right)
					}
				}
			}
			slices.Sort(all[into])
		}
	}
	return all
}

// bind makes a service account that has a ClusterRole everywhere, until the test ends.
func bind(t *testing.T, account, role string) {
	t.Helper()
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: account}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: account},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{
				{Kind: rbacv1.ServiceAccountKind, Namespace: operatorNamespace, Name: account},
			},
		},
	} {
		must(t, k8s.Create(t.Context(), object))
		t.Cleanup(func() { must(t, k8s.Delete(context.WithoutCancel(t.Context()), object)) })
	}
}
