// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"encoding/json"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The operator is driven through everything that it does. Then the audit log of the API server shows no request that
// was refused, and every right that the roles give was needed: granted and used are the same.
func TestWhatIsGrantedIsUsed(t *testing.T) {
	o, log := audited(t)
	op := newOperator(t, o)
	op.doEverything(t)
	op.stop(t)

	requests := readAudit(t, log)
	var granted []grant
	for account := range table() {
		granted = append(granted, op.grants(t, account)...)
	}
	used := map[grant]int{}
	for _, r := range requests {
		if !r.allowed() {
			t.Errorf("%s was refused: %s: %d %s", r.account(), r, r.ResponseStatus.Code, r.ResponseStatus.Message)
			continue
		}
		if r.ObjectRef == nil || r.tried() {
			continue
		}
		// A right in one namespace goes before the same everywhere: that one is needed for other namespaces.
		narrowest := -1
		for i, g := range granted {
			if g.covers(r) && (narrowest < 0 || g.scope != everywhere) {
				narrowest = i
			}
		}
		if narrowest < 0 {
			t.Errorf("%s did what its own roles do not give: %s", r.account(), r)
			continue
		}
		used[granted[narrowest]]++
	}
	for _, g := range granted {
		t.Logf("%6d times: %s", used[g], g)
		if used[g] == 0 {
			t.Errorf("never used: %s", g)
		}
	}
	if len(granted) < 20 || len(requests) < 100 {
		t.Errorf("%d rights and %d requests: that is not all", len(granted), len(requests))
	}
}

// A request counts for the right that lets it pass, and for no other.
func TestRightsCoverTheirRequests(t *testing.T) {
	needed := grant{webhookAccount, operatorNamespace, question{verb: "create", group: "g", resource: "r"}}
	path := entry(t)
	path.ObjectRef = nil
	if needed.covers(path) {
		t.Error("what is no resource is covered")
	}
	for what, change := range map[string]func(g *grant){
		"account":   func(g *grant) { g.account = controllersAccount },
		"scope":     func(g *grant) { g.scope = placeholderNamespace },
		"verb":      func(g *grant) { g.verb = "get" },
		"group":     func(g *grant) { g.group = "" },
		"resource":  func(g *grant) { g.resource = "s" },
		"sub":       func(g *grant) { g.subresource = "status" },
		"name":      func(g *grant) { g.name = "another" },
		"nothing":   func(*grant) {},
		"the scope": func(g *grant) { g.scope = everywhere },
	} {
		g := needed
		change(&g)
		if got, want := g.covers(entry(t)), what == "nothing" || what == "the scope"; got != want {
			t.Errorf("%s changed: covers is %t", what, got)
		}
	}
}

// grants reads what the roles in the API server give to an account.
func (op *operator) grants(t *testing.T, account string) []grant {
	t.Helper()
	clusterRoles, roles := &rbacv1.ClusterRoleList{}, &rbacv1.RoleList{}
	ofCluster, ofNamespaces := &rbacv1.ClusterRoleBindingList{}, &rbacv1.RoleBindingList{}
	for _, list := range []client.ObjectList{clusterRoles, roles, ofCluster, ofNamespaces} {
		must(t, op.k8s.List(t.Context(), list))
	}
	wide, narrow := map[string][]rbacv1.PolicyRule{}, map[string][]rbacv1.PolicyRule{}
	for i := range clusterRoles.Items {
		wide[clusterRoles.Items[i].Name] = clusterRoles.Items[i].Rules
	}
	for i := range roles.Items {
		narrow[roles.Items[i].Namespace+"/"+roles.Items[i].Name] = roles.Items[i].Rules
	}
	var bindings []binding
	for i := range ofCluster.Items {
		bindings = append(bindings, binding{"", ofCluster.Items[i].RoleRef, ofCluster.Items[i].Subjects})
	}
	for i := range ofNamespaces.Items {
		b := &ofNamespaces.Items[i]
		bindings = append(bindings, binding{b.Namespace, b.RoleRef, b.Subjects})
	}
	all := grants(t, account, wide, narrow, bindings)
	slices.SortFunc(all, func(a, b grant) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	return all
}

// entry is the request of the audit log that TestRightsCoverTheirRequests looks at.
func entry(t *testing.T) *request {
	t.Helper()
	r := &request{}
	must(t, json.Unmarshal([]byte(`{"verb": "create", "user": {"username": "system:serviceaccount:`+operatorNamespace+
		`:`+webhookAccount+`"}, "objectRef": {"apiGroup": "g", "resource": "r", "namespace": "`+operatorNamespace+
		`", "name": "n"}}`), r))
	return r
}
