// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The chart gives what config gives, object by object. What differs is listed here.
func TestSameObjectsAsConfig(t *testing.T) {
	cases := map[string]struct {
		resources, components []string
		values                string
		// flags are those that the overlay gives to the controllers.
		flags []string
	}{
		"by default": {resources: []string{"default"}},
		"with the component tls": {
			resources: []string{"default"}, components: []string{"webhook/tls"}, values: "tls: {source: secret}",
		},
		"behind an ingress controller": {
			resources: []string{"default"}, components: []string{"network-policy/ingress-controller"},
			values: `
networkPolicy: {callbackFrom: [{namespaceSelector: {matchLabels: {fwupgrade.io/callback: "true"}}}]}`,
		},
		"with secure metrics": {
			resources: []string{"default"}, components: []string{"metrics-secure"}, values: "metrics: {secure: true}",
		},
		"with secure metrics and monitoring": {
			resources:  []string{"default", "monitoring"},
			components: []string{"metrics-secure", "monitoring/secure"},
			values: `
metrics: {secure: true}
monitoring: {podMonitor: {enabled: true}, alerts: {enabled: true}, dashboard: {enabled: true}}`,
		},
		"with the platform": {
			resources: []string{"default"}, components: []string{"platform"},
			values: "platform: {hosts: ['iot.example.com:8743']}", flags: []string{"--platform-hosts=iot.example.com:8743"},
		},
		"with the platform and secure metrics": {
			resources: []string{"default"}, components: []string{"metrics-secure", "platform"},
			values: "metrics: {secure: true}\nplatform: {hosts: ['*.a.example:8743', '[::1]:8743']}",
			flags:  []string{"--platform-hosts=*.a.example:8743,[::1]:8743"},
		},
		"as the sample of the platform": {
			resources: []string{"samples/platform"}, values: "platform: {hosts: ['iot.example.com:8743']}",
		},
		"with monitoring": {
			resources: []string{"default", "monitoring"},
			values: `
monitoring: {podMonitor: {enabled: true}, alerts: {enabled: true}, dashboard: {enabled: true}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want, got := kustomize(t, tc.resources, tc.components, tc.flags), render(t, operatorNamespace, tc.values)
			// The namespace is made by helm install --create-namespace.
			delete(want, "Namespace <nil>/"+operatorNamespace)
			for key, object := range got {
				if strings.HasPrefix(key, "CustomResourceDefinition ") {
					// helm uninstall would delete all FirmwareUpgrades and results with them.
					annotations, _ := find(object, "metadata", "annotations").(map[string]any)
					if annotations["helm.sh/resource-policy"] != "keep" {
						t.Errorf("%s goes with the release: %v", key, annotations)
					}
					delete(annotations, "helm.sh/resource-policy")
				}
			}
			if diff := cmp.Diff(want.keys(), got.keys()); diff != "" {
				t.Fatal(diff)
			}
			for key := range want {
				if diff := cmp.Diff(want[key], got[key]); diff != "" {
					t.Errorf("%s (-config +chart): %s", key, diff)
				}
			}
		})
	}
}

// In another namespace nothing is left of the default one, and nothing else changes.
func TestNamespaceOfTheRelease(t *testing.T) {
	const everything = "monitoring: {podMonitor: {enabled: true}, alerts: {enabled: true}, dashboard: {enabled: true}}\n" +
		"platform: {hosts: ['a.example:8743']}"
	want, _, err := template(t, operatorNamespace, everything)
	must(t, err)
	got, _, err := template(t, "iot", everything)
	must(t, err)
	crds := strings.Index(want, "kind: CustomResourceDefinition")
	if crds < 0 {
		t.Fatal("there are no CRDs")
	}
	if diff := cmp.Diff(parse(t, strings.ReplaceAll(want, operatorNamespace, "iot")), parse(t, got)); diff != "" {
		t.Error(diff)
	}
	if strings.Count(want, "serviceaccount:"+operatorNamespace+":") == 0 {
		t.Error("no policy names a service account: nothing was compared")
	}
}

// What the chart makes for Ingress, Gateway and cert-manager is what the samples show.
func TestSameAsTheSamples(t *testing.T) {
	cases := map[string]struct{ file, key, values string }{
		"Ingress": {"ingress.yaml", "Ingress fwupgrade-system/fwupgrade-callback", `
ingress: {enabled: true, className: nginx, host: upgrades.example.com, tlsSecretName: upgrades-example-com}`},
		"HTTPRoute": {"gateway.yaml", "HTTPRoute fwupgrade-system/fwupgrade-callback", `
gateway: {enabled: true, parentRefs: [{name: fwupgrade-callback}], hostnames: [upgrades.example.com]}`},
		"Certificate": {"certificate.yaml", "Certificate fwupgrade-system/fwupgrade-callback", `
tls: {source: certManager, dnsNames: [upgrades.example.com], issuerRef: {name: letsencrypt}}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want, got := sample(t, tc.file)[tc.key], render(t, operatorNamespace, tc.values)[tc.key]
			if want == nil || got == nil {
				t.Fatalf("there is no %s: sample %v, chart %v", tc.key, want != nil, got != nil)
			}
			if diff := cmp.Diff(want["spec"], got["spec"]); diff != "" {
				t.Errorf("(-sample +chart): %s", diff)
			}
		})
	}
}
