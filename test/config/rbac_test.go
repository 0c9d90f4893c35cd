// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

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

// rulesOf returns what a service account may do in a namespace beside what every service account may: "verb
// group/resource", with the names where only some objects are meant.
func rulesOf(t *testing.T, account, namespace string) []string {
	t.Helper()
	nobody := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "nobody"}}
	if err := k8s.Create(t.Context(), nobody); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	everybodys := review(t, nobody.Name, namespace)
	return slices.DeleteFunc(review(t, account, namespace), func(rule string) bool {
		return slices.Contains(everybodys, rule)
	})
}

func review(t *testing.T, account, namespace string) []string {
	t.Helper()
	review := &authorizationv1.SelfSubjectRulesReview{}
	review.Spec.Namespace = namespace
	must(t, clientFor(t, accountConfig(t, account)).Create(t.Context(), review))
	if review.Status.Incomplete {
		t.Fatalf("the rules are not complete: %s", review.Status.EvaluationError)
	}
	var rules []string
	for _, rule := range review.Status.ResourceRules {
		names := ""
		if len(rule.ResourceNames) > 0 {
			names = " " + strings.Join(rule.ResourceNames, ",")
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					rules = append(rules, verb+" "+group+"/"+resource+names)
				}
			}
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// What faces the internet may create slices in its own namespace, and nothing else.
func TestWebhookMayCreateSlices(t *testing.T) {
	want := []string{"create storage.fwupgrade.io/resultslices"}
	if diff := cmp.Diff(want, rulesOf(t, webhookAccount, operatorNamespace)); diff != "" {
		t.Errorf("in the operator's namespace (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{}, rulesOf(t, webhookAccount, "default")); diff != "" {
		t.Errorf("in another namespace (-want +got):\n%s", diff)
	}
}

// Placeholders are made in one namespace: FirmwareUpgrades of others can't be created or deleted by the operator.
func TestControllersMakePlaceholdersInOneNamespace(t *testing.T) {
	elsewhere := rulesOf(t, controllerAccount, harness.NewNamespace(t, k8s))
	inDefault := slices.DeleteFunc(rulesOf(t, controllerAccount, "default"), func(rule string) bool {
		return slices.Contains(elsewhere, rule)
	})
	want := []string{"create fwupgrade.io/firmwareupgrades", "delete fwupgrade.io/firmwareupgrades"}
	if diff := cmp.Diff(want, inDefault); diff != "" {
		t.Errorf("in the namespace of placeholders alone (-want +got):\n%s", diff)
	}
	for _, rule := range elsewhere {
		verb, resource, _ := strings.Cut(rule, " ")
		if (verb == "create" || verb == "delete") && resource == "fwupgrade.io/firmwareupgrades" {
			t.Errorf("everywhere: %s", rule)
		}
	}
}
