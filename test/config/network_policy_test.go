// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// Rules of config/default that name no peers.
const (
	// callbackOpen: the platform does not publish where it pushes from.
	callbackOpen = "fwupgrade-webhook ingress 8443"
	// The API server is no pod, and its addresses differ from cluster to cluster.
	webhookToAPIServer     = "fwupgrade-webhook egress 443 6443"
	controllersToAPIServer = "fwupgrade-controllers egress 443 6443"
	// With the component platform: where it is, is not known for every installation.
	toPlatform = "fwupgrade-controllers egress 8743"
	toDNS      = "fwupgrade-controllers egress 53 53"
)

// addressesIn runs the command that config/network-policy documents, for a namespace, and returns the patch.
func addressesIn(t *testing.T, namespace string) map[string]any {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	var patch string
	harness.Eventually(t, func() string {
		patch, err = harness.Kubectl(t.Context(), kubeconfig, "get", "endpointslices", "-n", namespace,
			"-l", "kubernetes.io/service-name=kubernetes",
			"-o", "go-template-file="+filepath.Join(root, "config", "network-policy", "api_server_patch.gotmpl"))
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(patch, "cidr:") {
			return "no address is published: " + patch
		}
		return ""
	})
	return map[string]any{
		"target": map[string]any{"kind": "NetworkPolicy", "labelSelector": "app.kubernetes.io/name=fwupgrade"},
		"patch":  patch,
	}
}

// apiServerPatch names the API server's addresses.
func apiServerPatch(t *testing.T) map[string]any {
	t.Helper()
	return addressesIn(t, metav1.NamespaceDefault)
}

// platformPatch is the patch that config/platform documents.
func platformPatch(t *testing.T) map[string]any {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	content, err := os.ReadFile(filepath.Join(root, "config", "platform", "network_policy_patch.yaml"))
	must(t, err)
	_, documented, found := strings.Cut(string(content), "#\n#   - target:")
	if !found {
		t.Fatal("no patch is documented")
	}
	documented, _, _ = strings.Cut("#   - target:"+documented, "\n- op:")
	var patches []map[string]any
	must(t, yaml.UnmarshalStrict([]byte(strings.ReplaceAll(documented, "#   ", "")), &patches))
	return patches[0]
}

// policiesIn returns the NetworkPolicies of what was rendered.
func policiesIn(t *testing.T, documents []string) (policies []*networkingv1.NetworkPolicy) {
	t.Helper()
	for _, document := range documents {
		if strings.Contains(document, "\nkind: NetworkPolicy\n") {
			policy := &networkingv1.NetworkPolicy{}
			must(t, yaml.UnmarshalStrict([]byte(document), policy))
			policies = append(policies, policy)
		}
	}
	return policies
}

// open says whether peers are anybody.
func open(peers []networkingv1.NetworkPolicyPeer) bool {
	empty := func(s *metav1.LabelSelector) bool { return s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 }
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return strings.HasSuffix(p.IPBlock.CIDR, "/0")
		}
		return empty(p.NamespaceSelector) && empty(p.PodSelector)
	})
}

// openRules returns the rules of policies that name no peers.
func openRules(policies []*networkingv1.NetworkPolicy) []string {
	found := []string{}
	note := func(name, direction string, ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer) {
		if !open(peers) {
			return
		}
		rule := name + " " + direction
		for _, port := range ports {
			rule += " " + port.Port.String()
		}
		found = append(found, rule)
	}
	for _, policy := range policies {
		for _, rule := range policy.Spec.Ingress {
			note(policy.Name, "ingress", rule.Ports, rule.From)
		}
		for _, rule := range policy.Spec.Egress {
			note(policy.Name, "egress", rule.Ports, rule.To)
		}
	}
	slices.Sort(found)
	return found
}

// Every rule names peers, but for those listed here, and each of these can be narrowed.
func TestNetworkPoliciesNameTheirPeers(t *testing.T) {
	fromIngress := []string{"network-policy/ingress-controller"}
	cases := map[string]struct {
		components []string
		patches    []map[string]any
		want       []string
	}{
		"by default":                     {nil, nil, []string{controllersToAPIServer, webhookToAPIServer, callbackOpen}},
		"behind an ingress controller":   {fromIngress, nil, []string{controllersToAPIServer, webhookToAPIServer}},
		"with the API server's address":  {nil, []map[string]any{apiServerPatch(t)}, []string{callbackOpen}},
		"with everything that is narrow": {fromIngress, []map[string]any{apiServerPatch(t)}, []string{}},
		"with the platform": {
			[]string{"platform"}, nil,
			[]string{controllersToAPIServer, toDNS, toPlatform, webhookToAPIServer, callbackOpen},
		},
		"with the platform and the API server's address": {
			[]string{"platform"}, []map[string]any{apiServerPatch(t)}, []string{toDNS, toPlatform, callbackOpen},
		},
		"with the platform's address and the API server's": {
			[]string{"platform"}, []map[string]any{platformPatch(t), apiServerPatch(t)}, []string{toDNS, callbackOpen},
		},
		"with secure metrics": {
			[]string{"metrics-secure"}, nil, []string{controllersToAPIServer, webhookToAPIServer, callbackOpen},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			folder := overlay(t, tc.components, tc.patches...)
			policies := policiesIn(t, render(t, folder))
			if diff := cmp.Diff(tc.want, openRules(policies)); diff != "" {
				t.Errorf("rules without peers (-want +got):\n%s", diff)
			}
			for _, policy := range policies {
				if len(policy.Spec.PolicyTypes) != 2 || len(policy.Spec.Ingress) == 0 || len(policy.Spec.Egress) == 0 {
					t.Errorf("%s does not rule both directions: %+v", policy.Name, policy.Spec)
				}
				must(t, k8s.Update(t.Context(), withVersion(t, policy), client.DryRunAll))
			}
		})
	}
}

// withVersion makes a policy one that replaces what is installed.
func withVersion(t *testing.T, policy *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	t.Helper()
	installed := &networkingv1.NetworkPolicy{}
	must(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(policy), installed))
	policy.ResourceVersion = installed.ResourceVersion
	return policy
}

// The pods of both Deployments are ruled, each by one policy.
func TestPodsHaveANetworkPolicy(t *testing.T) {
	policies := &networkingv1.NetworkPolicyList{}
	must(t, k8s.List(t.Context(), policies, client.InNamespace(operatorNamespace)))
	for _, name := range []string{webhookAccount, controllerAccount} {
		deployment := &appsv1.Deployment{}
		must(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, deployment))
		var by []string
		for i := range policies.Items {
			selector, err := metav1.LabelSelectorAsSelector(&policies.Items[i].Spec.PodSelector)
			must(t, err)
			if selector.Matches(labels.Set(deployment.Spec.Template.Labels)) {
				by = append(by, policies.Items[i].Name)
			}
		}
		if diff := cmp.Diff([]string{name}, by); diff != "" {
			t.Errorf("policies of %s (-want +got):\n%s", name, diff)
		}
	}
}

// What the patch names is what the API server publishes, addresses and ports.
func TestPatchNamesTheAPIServer(t *testing.T) {
	clients, err := kubernetes.NewForConfig(cluster.Config())
	must(t, err)
	patch := apiServerPatch(t)
	published, err := clients.DiscoveryV1().EndpointSlices("default").List(t.Context(), metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=kubernetes",
	})
	must(t, err)
	var want []string
	for _, slice := range published.Items {
		for _, endpoint := range slice.Endpoints {
			for _, port := range slice.Ports {
				want = append(want, fmt.Sprintf("%s/32 %d", endpoint.Addresses[0], *port.Port))
			}
		}
	}
	if len(want) != 1 || !strings.HasPrefix(want[0], publishedAddress+"/32 ") {
		t.Fatalf("the API server publishes %q", want)
	}
	for _, policy := range policiesIn(t, render(t, overlay(t, nil, patch))) {
		var got []string
		for _, rule := range policy.Spec.Egress {
			for _, peer := range rule.To {
				for _, port := range rule.Ports {
					got = append(got, fmt.Sprintf("%s %s", peer.IPBlock.CIDR, port.Port))
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-published +named):\n%s", policy.Name, diff)
		}
	}
}

// An API server at several addresses, some of them of IPv6, is named by all of them.
func TestPatchNamesAllAddresses(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	for family, addresses := range map[discoveryv1.AddressType][]string{
		discoveryv1.AddressTypeIPv4: {"192.0.2.20", "192.0.2.21"}, discoveryv1.AddressTypeIPv6: {"2001:db8::1"},
	} {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: ns, Name: strings.ToLower(string(family)),
				Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"},
			},
			AddressType: family,
			Ports:       []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(6443))}},
		}
		for _, address := range addresses {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
		}
		must(t, k8s.Create(t.Context(), slice))
	}
	patch := addressesIn(t, ns)
	for _, policy := range policiesIn(t, render(t, overlay(t, nil, patch))) {
		got := []string{}
		for _, rule := range policy.Spec.Egress {
			for _, peer := range rule.To {
				got = append(got, peer.IPBlock.CIDR)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"192.0.2.20/32", "192.0.2.21/32", "2001:db8::1/128"}, got); diff != "" {
			t.Errorf("%s (-want +named):\n%s", policy.Name, diff)
		}
	}
}

// Where no address is found, there is no patch that would let the pods talk to nobody or to everybody: kustomize says
// why there is none.
func TestPatchWithoutAddressesFails(t *testing.T) {
	root, err := local.ModuleRoot()
	must(t, err)
	without := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "without", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{},
		Ports:       []discoveryv1.EndpointPort{{Name: new("https"), Port: new(int32(6443))}},
	}
	for name, slices := range map[string][]*discoveryv1.EndpointSlice{"no slice": nil, "no endpoint": {without}} {
		t.Run(name, func(t *testing.T) {
			ns := harness.NewNamespace(t, k8s)
			for _, slice := range slices {
				slice.Namespace = ns
				must(t, k8s.Create(t.Context(), slice))
			}
			patch, err := harness.Kubectl(t.Context(), kubeconfig, "get", "endpointslices", "-n", ns,
				"-l", "kubernetes.io/service-name=kubernetes",
				"-o", "go-template-file="+filepath.Join(root, "config", "network-policy", "api_server_patch.gotmpl"))
			must(t, err)
			folder := overlay(t, nil, map[string]any{
				"target": map[string]any{"kind": "NetworkPolicy", "labelSelector": "app.kubernetes.io/name=fwupgrade"},
				"path":   "api_server_patch.yaml",
			})
			must(t, os.WriteFile(filepath.Join(folder, "api_server_patch.yaml"), []byte(patch), 0o600))
			rendered, err := harness.Kubectl(t.Context(), kubeconfig, "kustomize", folder)
			if err == nil || !strings.Contains(err.Error(), "No address of the API server was found") {
				t.Errorf("want the reason, got %v, %d bytes", err, len(rendered))
			}
		})
	}
}
