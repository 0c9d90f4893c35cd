// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/test/harness"
)

// nobody is a service account that has what every authenticated account has.
const nobody = "nobody"

func makeNobody(t *testing.T) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: nobody}}
	if err := k8s.Create(t.Context(), account); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// rulesOf returns what a service account may do in a namespace by its rules, as the API server says, beside what every
// service account may.
func rulesOf(t *testing.T, account, namespace string) []string {
	t.Helper()
	makeNobody(t)
	everybodys := review(t, nobody, namespace)
	return slices.DeleteFunc(review(t, account, namespace), func(rule string) bool {
		return slices.Contains(everybodys, rule)
	})
}

func review(t *testing.T, account, namespace string) []string {
	t.Helper()
	config, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, account)
	must(t, err)
	c, err := harness.NewClientFor(config)
	must(t, err)
	review := &authorizationv1.SelfSubjectRulesReview{}
	review.Spec.Namespace = namespace
	must(t, c.Create(t.Context(), review))
	if review.Status.Incomplete {
		t.Fatalf("the rules are not complete: %s", review.Status.EvaluationError)
	}
	var rules []string
	for _, rule := range review.Status.ResourceRules {
		rules = append(rules, tuples(rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames)...)
	}
	for _, rule := range review.Status.NonResourceRules {
		for _, verb := range rule.Verbs {
			for _, url := range rule.NonResourceURLs {
				rules = append(rules, verb+" "+url)
			}
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// tuples spells a rule out.
func tuples(verbs, groups, resources, names []string) (all []string) {
	if len(names) == 0 {
		names = []string{""}
	}
	for _, verb := range verbs {
		for _, group := range groups {
			for _, resource := range resources {
				for _, name := range names {
					all = append(all, strings.TrimSpace(verb+" "+group+"/"+resource+" "+name))
				}
			}
		}
	}
	return all
}

// wanted returns what the table lets an account do in a namespace.
func wanted(account, namespace string) []string {
	all := append([]string{}, table()[account][everywhere]...)
	all = append(all, table()[account][namespace]...)
	slices.Sort(all)
	return slices.Compact(all)
}

// The rules of each account are those of the table, in every namespace, names and paths included.
func TestRulesAreTheTable(t *testing.T) {
	other := harness.NewNamespace(t, k8s)
	for account := range table() {
		for _, namespace := range []string{operatorNamespace, placeholderNamespace, other} {
			t.Run(account+" in "+namespace, func(t *testing.T) {
				if diff := cmp.Diff(wanted(account, namespace), rulesOf(t, account, namespace)); diff != "" {
					t.Errorf("(-table +rules):\n%s", diff)
				}
			})
		}
	}
}
