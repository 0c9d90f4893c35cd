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
	roles := &rbacv1.ClusterRoleList{}
	must(t, k8s.List(t.Context(), roles))
	aggregated := map[string][]string{}
	for i := range roles.Items {
		for label := range roles.Items[i].Labels {
			into, found := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-")
			if !found {
				continue
			}
			for _, rule := range roles.Items[i].Rules {
				for _, right := range tuples(rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames) {
					if slices.ContainsFunc([]string{resource, "*/", "fwupgrade.io/*"}, func(part string) bool {
						return strings.Contains(right, part)
					}) {
						aggregated[into] = append(aggregated[into], right)
					}
				}
			}
			slices.Sort(aggregated[into])
		}
	}
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
