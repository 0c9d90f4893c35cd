// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"fwupgrade.io/operator/hack/local"
)

// auditPolicy notes every request of the operator's accounts, once it was answered.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:` + operatorNamespace + `"]
- level: None
`

// audited returns the options of a control plane that notes what the accounts do, and where it does.
func audited(t *testing.T) (o local.Options, log string) {
	t.Helper()
	folder := t.TempDir()
	policy := filepath.Join(folder, "policy.yaml")
	must(t, os.WriteFile(policy, []byte(auditPolicy), 0o600))
	log = filepath.Join(folder, "audit.log")
	return local.Options{
		WithoutControllerManager: true,
		// A watch is noted when it ends, with the process that watches.
		APIServerArgs: map[string][]string{
			"audit-policy-file": {policy}, "audit-log-path": {log}, "audit-log-mode": {"blocking-strict"},
		},
	}, log
}

// request is an entry of the audit log.
type request struct {
	Verb       string
	RequestURI string
	User       struct{ Username string }
	// ObjectRef is nil for what is no resource.
	ObjectRef *struct {
		APIGroup, Resource, Subresource, Namespace, Name string
	}
	ResponseStatus struct {
		Code    int
		Message string
	}
	Annotations map[string]string
}

// account returns whose request it was.
func (r *request) account() string {
	return strings.TrimPrefix(r.User.Username, "system:serviceaccount:"+operatorNamespace+":")
}

// allowed says whether RBAC let it pass. What a policy of admission refuses afterwards was allowed.
func (r *request) allowed() bool { return r.Annotations["authorization.k8s.io/decision"] == "allow" }

// tried says whether it was a dry run, which shows that a right is there, and not that it is needed.
func (r *request) tried() bool { return strings.Contains(r.RequestURI, "dryRun=All") }

// String names it without what differs from one to the next.
func (r *request) String() string {
	if r.ObjectRef == nil {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return r.Verb + " " + path
	}
	o := r.ObjectRef
	return question{verb: r.Verb, group: o.APIGroup, resource: o.Resource, subresource: o.Subresource}.String() +
		" in " + o.Namespace
}

// readAudit returns what the API server noted.
func readAudit(t *testing.T, path string) (all []*request) {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r := &request{}
		must(t, json.Unmarshal(lines.Bytes(), r))
		all = append(all, r)
	}
	must(t, lines.Err())
	return all
}

// grant is a verb for a resource in a scope, as a role gives it to an account.
type grant struct {
	account, scope string
	question
}

func (g grant) String() string { return g.account + " may " + g.question.String() + " in " + g.scope }

// covers says whether the grant is what lets a request pass.
func (g grant) covers(r *request) bool {
	o := r.ObjectRef
	if o == nil || r.account() != g.account || r.Verb != g.verb || o.APIGroup != g.group || o.Resource != g.resource ||
		o.Subresource != g.subresource {
		return false
	}
	return (g.scope == everywhere || g.scope == o.Namespace) && (g.name == "" || g.name == o.Name)
}

// grants returns what the roles give that are bound to an account itself.
func grants(t *testing.T, account string, clusterRoles map[string][]rbacv1.PolicyRule,
	roles map[string][]rbacv1.PolicyRule, bindings []binding,
) (all []grant) {
	t.Helper()
	for _, b := range bindings {
		if !slices.ContainsFunc(b.subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == operatorNamespace && s.Name == account
		}) {
			continue
		}
		rules, scope := clusterRoles[b.role.Name], everywhere
		if b.namespace != "" {
			scope = b.namespace
		}
		if b.role.Kind == "Role" {
			rules = roles[b.namespace+"/"+b.role.Name]
		}
		for _, rule := range rules {
			for _, right := range tuples(rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames) {
				q, name := parseRight(right)
				q.name = name
				all = append(all, grant{account: account, scope: scope, question: q})
			}
		}
	}
	return all
}

// binding is a RoleBinding or, without a namespace, a ClusterRoleBinding.
type binding struct {
	namespace string
	role      rbacv1.RoleRef
	subjects  []rbacv1.Subject
}
