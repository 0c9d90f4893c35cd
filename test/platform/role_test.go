// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/hack/local"
)

// What config/platform gives is what the connection uses: to get Secrets in the operator's namespace. The other tests
// here run under it, so that what is missing fails them.
func TestRoles(t *testing.T) {
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "config", "platform", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.Role{}
	if err := yaml.UnmarshalStrict(text, role); err != nil {
		t.Fatal(err)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}}
	if diff := cmp.Diff(want, role.Rules); diff != "" {
		t.Errorf("config/platform (-want +got):\n%s", diff)
	}
	for account, scopes := range map[string]map[string][]string{
		"fwupgrade-controllers": {operatorNamespace: {"get"}, "default": nil, "": nil},
		"fwupgrade-webhook":     {operatorNamespace: nil, "default": nil, "": nil},
	} {
		for namespace, want := range scopes {
			var got []string
			for _, verb := range []string{
				"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection",
			} {
				review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User: "system:serviceaccount:" + operatorNamespace + ":" + account,
					ResourceAttributes: &authorizationv1.ResourceAttributes{
						Namespace: namespace, Verb: verb, Resource: "secrets", Name: "anything",
					},
				}}
				if err := k8s.Create(t.Context(), review); err != nil {
					t.Fatal(err)
				}
				if review.Status.Allowed {
					got = append(got, verb)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %q (-want +got):\n%s", account, namespace, diff)
			}
		}
	}
}
