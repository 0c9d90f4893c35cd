// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"fwupgrade.io/operator/test/harness"
)

// atOnce is how many reviews are asked for at the same time.
const atOnce = 8

// question is whether somebody may do something.
type question struct {
	verb, group, resource, subresource, namespace, name string
	// path stands instead of the resource where there is none.
	path string
}

func (q question) String() string {
	if q.path != "" {
		return q.verb + " " + q.path
	}
	text := q.verb + " " + q.group + "/" + q.resource
	if q.subresource != "" {
		text += "/" + q.subresource
	}
	return strings.TrimSpace(text + " " + q.name)
}

// may asks the API server whether a service account may do something.
func may(ctx context.Context, account string, q question) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + operatorNamespace + ":" + account,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace, "system:authenticated"},
	}}
	if q.path != "" {
		review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: q.path, Verb: q.verb}
	} else {
		review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Namespace: q.namespace, Verb: q.verb, Group: q.group, Resource: q.resource, Subresource: q.subresource,
			Name: q.name,
		}
	}
	answer, err := clients.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask for %s: %w", q, err)
	}
	return answer.Status.Allowed, nil
}

// allowed returns what an account may do of what is asked, beside what every account may.
func allowed(t *testing.T, account string, questions []question) []string {
	t.Helper()
	var mu sync.Mutex
	answers := []string{}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(atOnce)
	for _, q := range questions {
		group.Go(func() error {
			yes, err := may(ctx, account, q)
			if err != nil || !yes {
				return err
			}
			everybody, err := may(ctx, nobody, q)
			if err == nil && !everybody {
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, q.String())
			}
			return err
		})
	}
	must(t, group.Wait())
	slices.Sort(answers)
	return answers
}

// resources returns what the API server serves: every resource and subresource of every group.
func resources(t *testing.T) (all []schema.GroupResource) {
	t.Helper()
	_, lists, err := clients.Discovery().ServerGroupsAndResources()
	must(t, err)
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		must(t, err)
		for i := range list.APIResources {
			r := schema.GroupResource{Group: version.Group, Resource: list.APIResources[i].Name}
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	for _, want := range []schema.GroupResource{
		{Resource: "secrets"}, {Resource: "pods/exec"}, {Resource: "serviceaccounts/token"},
		{Group: "fwupgrade.io", Resource: "firmwareupgrades/status"},
		{Group: "storage.fwupgrade.io", Resource: "resultslices"},
	} {
		if !slices.Contains(all, want) {
			t.Fatalf("the API server does not list %s: the test would not ask for it", want)
		}
	}
	return all
}

// questions are all there are about a namespace, or about the whole cluster where it is empty.
func questions(served []schema.GroupResource, namespace string) (all []question) {
	for _, r := range served {
		resource, subresource, _ := strings.Cut(r.Resource, "/")
		for _, verb := range []string{
			"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*",
		} {
			all = append(all, question{
				verb: verb, group: r.Group, resource: resource, subresource: subresource, namespace: namespace,
			})
		}
	}
	// Verbs that are only looked at for some resources, most of which no discovery lists.
	const rbac, certificates, authentication = "rbac.authorization.k8s.io", "certificates.k8s.io", "authentication.k8s.io"
	for _, special := range []question{
		{verb: "impersonate", resource: "users"}, {verb: "impersonate", resource: "groups"},
		{verb: "impersonate", resource: "serviceaccounts"}, {verb: "impersonate", group: authentication, resource: "uids"},
		{verb: "impersonate", group: authentication, resource: "userextras", subresource: "scopes"},
		{verb: "bind", group: rbac, resource: "roles"}, {verb: "bind", group: rbac, resource: "clusterroles"},
		{verb: "escalate", group: rbac, resource: "roles"}, {verb: "escalate", group: rbac, resource: "clusterroles"},
		{verb: "approve", group: certificates, resource: "signers"}, {verb: "sign", group: certificates, resource: "signers"},
		{verb: "attest", group: certificates, resource: "signers"},
		{verb: "use", group: "policy", resource: "podsecuritypolicies"},
		{verb: "use", group: "security.openshift.io", resource: "securitycontextconstraints"},
		{verb: "*", group: "*", resource: "*"}, {verb: "get", group: "*", resource: "*"},
		{verb: "get", resource: "nodes", subresource: "proxy"}, {verb: "create", resource: "nodes", subresource: "proxy"},
		{verb: "upgrade", group: "fwupgrade.io", resource: "firmwareupgrades"}, // see config/policy/upgrade.yaml
	} {
		special.namespace = namespace
		all = append(all, special)
	}
	return all
}

// Of all that the API server serves, each account may do what the table says and nothing else: every verb, in the
// operator's namespace, in that of placeholders, in another one, and in all of them.
func TestNothingElseIsAllowed(t *testing.T) {
	makeNobody(t)
	served := resources(t)
	namespaces := map[string]string{
		operatorNamespace: operatorNamespace, placeholderNamespace: placeholderNamespace,
		elsewhere: harness.NewNamespace(t, k8s), everywhere: "",
	}
	for account := range table() {
		for scope, namespace := range namespaces {
			t.Run(account+" in "+scope, func(t *testing.T) {
				// Rights for one object are none for all of them: TestNamesAreHeeded asks for these.
				want := slices.DeleteFunc(wanted(account, scope), func(right string) bool {
					return strings.Count(right, " ") > 1
				})
				got := allowed(t, account, questions(served, namespace))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("of %d resources (-table +allowed):\n%s", len(served), diff)
				}
			})
		}
	}
}

// Where the table names an object, that one is meant and no other.
func TestNamesAreHeeded(t *testing.T) {
	makeNobody(t)
	asked := 0
	for account, scopes := range table() {
		for scope, rights := range scopes {
			for _, right := range rights {
				q, name := parseRight(right)
				if name == "" {
					continue
				}
				asked++
				q.namespace = strings.TrimPrefix(scope, everywhere)
				other := q
				q.name, other.name = name, "another"
				if got := allowed(t, account, []question{q, other}); !slices.Equal(got, []string{right}) {
					t.Errorf("%s: want %s alone, got %q", account, right, got)
				}
			}
		}
	}
	if asked == 0 {
		t.Error("the table names no object: nothing was asked")
	}
}

// parseRight reads a right of the table.
func parseRight(right string) (q question, name string) {
	words := strings.Fields(right)
	group, resource, _ := strings.Cut(words[1], "/")
	resource, subresource, _ := strings.Cut(resource, "/")
	if len(words) > 2 {
		name = words[2]
	}
	return question{verb: words[0], group: group, resource: resource, subresource: subresource}, name
}

// No account may read a path of the API server beside those that everybody may.
func TestNoPathIsAllowed(t *testing.T) {
	makeNobody(t)
	var listed metav1.RootPaths
	answer, err := clients.RESTClient().Get().AbsPath("/").DoRaw(t.Context())
	must(t, err)
	must(t, json.Unmarshal(answer, &listed))
	if len(listed.Paths) < 10 {
		t.Fatalf("the API server lists %d paths", len(listed.Paths))
	}
	var all []question
	for _, path := range append(listed.Paths, "/", "/*", "*", "/logs", "/debug/pprof/profile", "/metrics/x") {
		for _, verb := range []string{"get", "head", "post", "put", "patch", "delete", "options", "*"} {
			all = append(all, question{verb: verb, path: path})
		}
	}
	for account := range table() {
		if diff := cmp.Diff([]string{}, allowed(t, account, all)); diff != "" {
			t.Errorf("%s (-want +allowed):\n%s", account, diff)
		}
	}
}
