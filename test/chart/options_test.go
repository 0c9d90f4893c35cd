// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
)

// Paths within the rendered objects.
var (
	webhook     = "Deployment fwupgrade-system/fwupgrade-webhook"
	controllers = "Deployment fwupgrade-system/fwupgrade-controllers"
	service     = "Service fwupgrade-system/fwupgrade-webhook"
	pod         = []any{"spec", "template", "spec"}
	container   = append(pod[:len(pod):len(pod)], "containers", 0)
)

// option is what values change: what is at a path of an object, or which further objects there are.
type option struct {
	values string
	object string
	path   []any
	// want is the value there, or one element of it where it is a list.
	want any
}

func in(path []any, more ...any) []any { return append(path[:len(path):len(path)], more...) }

// options has a case for each value of the chart. What they give is applied to a real API server, too.
func options() map[string]option {
	args := in(container, "args")
	return map[string]option{
		"image": {
			"image: {repository: registry.example.com/a, tag: v1}", webhook, in(container, "image"),
			"registry.example.com/a:v1",
		},
		"image of a registry with a port": {
			"image: {repository: '[::1]:5000/a/b'}", webhook, in(container, "image"), "[::1]:5000/a/b:latest",
		},
		"digest": {
			"image: {digest: 'sha256:" + strings.Repeat("a", 64) + "'}", controllers, in(container, "image"),
			"fwupgrade-operator@sha256:" + strings.Repeat("a", 64),
		},
		"pull policy":  {"image: {pullPolicy: Always}", webhook, in(container, "imagePullPolicy"), "Always"},
		"pull secrets": {"imagePullSecrets: [{name: r}]", webhook, in(pod, "imagePullSecrets", 0, "name"), "r"},
		"no user":      {"runAsUser: null", webhook, in(pod, "securityContext", "runAsUser"), nil},
		"Secret": {
			"callback: {secretName: other}", webhook, in(pod, "volumes", 0, "secret", "secretName"), "other",
		},
		"no Secret": {
			"callback: {secretName: '', allowAnonymous: true}", webhook, in(pod, "volumes", 0, "name"), "tls",
		},
		"anonymous":     {"callback: {allowAnonymous: true}", webhook, args, "--allow-anonymous"},
		"callback path": {"callback: {path: /a/b}", webhook, args, "--callback-path=/a/b"},
		"idle timeout":  {"callback: {idleTimeout: 90s}", webhook, args, "--callback-idle-timeout=90s"},
		"connections": {
			"callback: {connectionsPerSource: 3000000}", webhook, args, "--callback-connections-per-source=3000000",
		},
		"drain duration": {"callback: {drainDuration: 30s}", webhook, args, "--drain-duration=30s"},
		"long drain duration": {
			"callback: {drainDuration: 4m30s}\nwebhook: {terminationGracePeriodSeconds: 300}", webhook, args,
			"--drain-duration=4m30s",
		},
		"TLS": {"tls: {source: secret}", webhook, args, "--callback-cert-dir=/etc/fwupgrade/tls"},
		"Secret of the certificate": {
			"tls: {source: secret, secretName: c}", webhook, in(pod, "volumes", 1, "secret"),
			map[string]any{"secretName": "c"},
		},
		"protocol of the Service": {"tls: {source: secret}", service, []any{"spec", "ports", 0, "appProtocol"}, "https"},
		"client CA": {
			"tls: {source: secret, clientCA: true}", webhook, args,
			"--callback-client-ca-file=/etc/fwupgrade/tls/ca.crt",
		},
		"certificate": {
			"tls: {source: certManager, dnsNames: [a.example], issuerRef: {name: i, kind: Issuer}}",
			"Certificate fwupgrade-system/fwupgrade-callback", []any{"spec", "issuerRef"},
			map[string]any{"group": "cert-manager.io", "kind": "Issuer", "name": "i"},
		},
		"load balancer": {
			"service: {type: LoadBalancer, loadBalancerClass: a/b, loadBalancerSourceRanges: [192.0.2.0/24], " +
				"externalTrafficPolicy: Local, annotations: {a: b}}",
			service, []any{"spec", "type"}, "LoadBalancer",
		},
		"port of the Service": {"service: {port: 8443}", service, []any{"spec", "ports", 0, "port"}, 8443.0},
		"Ingress": {
			"ingress: {enabled: true, host: a.example, annotations: {a: b}}\ncallback: {path: /a}",
			"Ingress fwupgrade-system/fwupgrade-callback", []any{"spec", "rules", 0, "http", "paths", 0, "path"}, "/a",
		},
		"Gateway": {
			"gateway: {enabled: true, parentRefs: [{name: g}], annotations: {a: b}}\nservice: {port: 80}",
			"HTTPRoute fwupgrade-system/fwupgrade-callback", []any{"spec", "rules", 0, "backendRefs", 0, "port"}, 80.0,
		},
		"replicas":   {"webhook: {replicas: 3}", webhook, []any{"spec", "replicas"}, 3.0},
		"stand-bys":  {"controllers: {replicas: 3}", controllers, []any{"spec", "replicas"}, 3.0},
		"stopped":    {"webhook: {replicas: 0}", webhook, []any{"spec", "replicas"}, 0.0},
		"autoscaler": {"webhook: {replicas: null}", webhook, []any{"spec", "replicas"}, nil},
		"memory":     {"webhook: {goMemLimit: 900MiB}", webhook, in(container, "env", 3, "value"), "900MiB"},
		"memory too": {"controllers: {goMemLimit: 4GiB}", controllers, in(container, "env", 3, "value"), "4GiB"},
		"resources": {
			"controllers: {resources: {limits: {memory: 4Gi}}}", controllers,
			in(container, "resources", "limits", "memory"), "4Gi",
		},
		"grace period": {
			"webhook: {terminationGracePeriodSeconds: 90}", webhook, in(pod, "terminationGracePeriodSeconds"), 90.0,
		},
		"annotations": {
			"webhook: {podAnnotations: {a: b}}", webhook, []any{"spec", "template", "metadata", "annotations", "a"}, "b",
		},
		"where the webhook runs": {
			"webhook: {nodeSelector: {a: b}, tolerations: [{operator: Exists}], affinity: {nodeAffinity: {}}}",
			webhook, in(pod, "nodeSelector", "a"), "b",
		},
		"priority": {"webhook: {priorityClassName: p}", webhook, in(pod, "priorityClassName"), "p"},
		"affinity": {"controllers: {affinity: {nodeAffinity: {}}}", controllers, in(pod, "affinity"),
			map[string]any{"nodeAffinity": map[string]any{}}},
		"flags of the webhook":     {"webhook: {extraArgs: [--zap-log-level=debug]}", webhook, args, "--zap-log-level=debug"},
		"flags of the controllers": {"controllers: {extraArgs: [--a=1]}", controllers, args, "--a=1"},
		"undeclared":               {"undeclared: Hold", controllers, args, "--undeclared=Hold"},
		"placeholders":             {"placeholderNamespace: default2", controllers, args, "--default-namespace=default2"},
		"role for placeholders": {
			"placeholderNamespace: '1234'", "RoleBinding 1234/fwupgrade-placeholders", []any{"subjects", 0, "namespace"},
			operatorNamespace,
		},
		"stored results": {"maxStoredResults: 12000000", controllers, args, "--max-stored-results=12000000"},
		"writes":         {"maxWritesPerSecond: 50", controllers, args, "--max-writes-per-second=50"},
		"retention":      {"retainUnclaimed: 72h", controllers, args, "--retain-unclaimed=72h"},
		"applications": {
			"applications: [{appId: '12', namespaces: [a]}]", "ConfigMap fwupgrade-system/fwupgrade-applications",
			[]any{"data", "applications.yaml"}, "applications:\n- appId: \"12\"\n  namespaces:\n  - a\n",
		},
		"applications of the webhook": {
			"applications: [{appId: a, namespaces: [a], secretsFile: s}]", webhook, args,
			"--applications-file=/etc/fwupgrade/applications/applications.yaml",
		},
		"IoTApplications rule": {
			"platform: {requireApplication: true}\napplications: [{appId: a, namespaces: [a]}]", controllers, args,
			"--require-application",
		},
		"where the platform is": {
			"platform: {hosts: ['iot.example.com:8743', '*.example.com:443']}", controllers, args,
			"--platform-hosts=iot.example.com:8743,*.example.com:443",
		},
		"grace of creations": {"platform: {creationGrace: 90m}", controllers, args, "--creation-grace=90m"},
		"who may get Secrets": {
			"platform: {hosts: ['192.0.2.1:8743']}", "RoleBinding fwupgrade-system/fwupgrade-platform-secrets",
			[]any{"subjects", 0, "name"}, "fwupgrade-controllers",
		},
		"which Secrets": {
			"platform: {hosts: ['a.example:1'], secretNames: [a, b]}", "Role fwupgrade-system/fwupgrade-platform-secrets",
			[]any{"rules"}, map[string]any{
				"apiGroups": []any{""}, "resources": []any{"secrets"}, "resourceNames": []any{"a", "b"}, "verbs": []any{"get"},
			},
		},
		"ports of the platform": {
			"platform: {hosts: ['a.example:8743', '[::1]:8743', 'b.example:65535']}",
			"NetworkPolicy fwupgrade-system/fwupgrade-controllers", []any{"spec", "egress", 1, "ports"}, []any{
				map[string]any{"port": 8743.0, "protocol": "TCP"}, map[string]any{"port": 65535.0, "protocol": "TCP"},
			},
		},
		"addresses of the platform": {
			"platform: {hosts: ['a.example:8743']}\nnetworkPolicy: {platformCIDRs: [192.0.2.20/32]}",
			"NetworkPolicy fwupgrade-system/fwupgrade-controllers", []any{"spec", "egress", 1, "to"},
			[]any{map[string]any{"ipBlock": map[string]any{"cidr": "192.0.2.20/32"}}},
		},
		"API server": {
			"networkPolicy: {apiServerPorts: [16443], apiServerCIDRs: [192.0.2.1/32]}",
			"NetworkPolicy fwupgrade-system/fwupgrade-webhook", []any{"spec", "egress"}, map[string]any{
				"ports": []any{map[string]any{"port": 16443.0, "protocol": "TCP"}},
				"to":    []any{map[string]any{"ipBlock": map[string]any{"cidr": "192.0.2.1/32"}}},
			},
		},
		"who may push": {
			"networkPolicy: {callbackFrom: [{namespaceSelector: {matchLabels: {a: b}}}]}",
			"NetworkPolicy fwupgrade-system/fwupgrade-webhook", []any{"spec", "ingress", 0, "from", 0},
			map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{"a": "b"}}},
		},
		"secure metrics":                    {"metrics: {secure: true}", webhook, args, "--metrics-secure"},
		"secure metrics of the controllers": {"metrics: {secure: true}", controllers, args, "--metrics-secure"},
		"Secret of the metrics": {
			"metrics: {secure: true, secretName: m}", controllers, in(pod, "volumes", 1, "secret", "secretName"), "m",
		},
		"secure metrics without a Secret": {
			"metrics: {secure: true, secretName: ''}\nmonitoring: {podMonitor: {enabled: true}}",
			"PodMonitor fwupgrade-system/fwupgrade", []any{"spec", "podMetricsEndpoints", 0, "tlsConfig"},
			map[string]any{"insecureSkipVerify": true},
		},
		"PodMonitor": {
			"monitoring: {podMonitor: {enabled: true, labels: {release: p}}}", "PodMonitor fwupgrade-system/fwupgrade",
			[]any{"metadata", "labels", "release"}, "p",
		},
		"alerts": {
			"monitoring: {alerts: {enabled: true, labels: {release: p}, runbooks: 'https://example.com/'}}",
			"PrometheusRule fwupgrade-system/fwupgrade",
			[]any{"spec", "groups", 0, "rules", 0, "annotations", "runbook_url"},
			"https://example.com/docs/alerting.md#firmwareupgradestalled",
		},
		"dashboard": {
			"monitoring: {dashboard: {enabled: true, labels: {a: b}}}", "ConfigMap fwupgrade-system/fwupgrade-dashboard",
			[]any{"metadata", "labels", "a"}, "b",
		},
	}
}

func TestOptions(t *testing.T) {
	for name, tc := range options() {
		t.Run(name, func(t *testing.T) {
			rendered := render(t, operatorNamespace, tc.values)
			object := rendered[tc.object]
			if object == nil {
				t.Fatalf("there is no %s, but %v", tc.object, rendered.keys())
			}
			if got := find(object, tc.path...); !has(got, tc.want) {
				t.Error(cmp.Diff(tc.want, got))
			}
			// Otherwise the case would pass without its values.
			if before := render(t, operatorNamespace, "")[tc.object]; before != nil {
				if has(find(before, tc.path...), tc.want) {
					t.Error("the default is the same")
				}
			}
		})
	}
}

// has tells whether a value is the one that is wanted, or a list with it.
func has(got, want any) bool {
	list, _ := got.([]any)
	return cmp.Equal(want, got) ||
		slices.ContainsFunc(list, func(element any) bool { return cmp.Equal(want, element) })
}

// What is turned off is not there.
func TestTurnedOff(t *testing.T) {
	cases := map[string]struct {
		values string
		kinds  []string
	}{
		"CRDs":             {"crds: {enabled: false}", []string{"CustomResourceDefinition"}},
		"network policies": {"networkPolicy: {enabled: false}", []string{"NetworkPolicy"}},
		"policies": {
			"policies: {enabled: false}", []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
		},
		"flow control": {"flowControl: {enabled: false}", []string{"FlowSchema", "PriorityLevelConfiguration"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			count := func(values, kind string) (n int) {
				for key := range render(t, operatorNamespace, values) {
					if strings.HasPrefix(key, kind+" ") {
						n++
					}
				}
				return n
			}
			for _, kind := range tc.kinds {
				if count("", kind) == 0 || count(tc.values, kind) != 0 {
					t.Errorf("%s: %d by default, %d with %s", kind, count("", kind), count(tc.values, kind), tc.values)
				}
			}
		})
	}
}

// Mistakes are refused with a sentence that says where.
func TestRefused(t *testing.T) {
	cases := map[string]struct{ values, want string }{
		"a misspelt key":     {"replica: 3", "additional properties 'replica' not allowed"},
		"a misspelt sub-key": {"webhook: {replica: 3}", "at '/webhook': additional properties 'replica' not allowed"},
		"a word":             {"undeclared: adopt", "at '/undeclared': value must be one of '', 'Adopt', 'Hold'"},
		"a number as text":   {"webhook: {replicas: '3'}", "at '/webhook/replicas': got string, want null or integer"},
		"an id as a number":  {"applications: [{appId: 12, namespaces: [a]}]", "at '/applications/0/appId': got number"},
		"no namespaces":      {"applications: [{appId: a}]", "at '/applications/0': missing property 'namespaces'"},
		"days":               {"retainUnclaimed: 7d", "at '/retainUnclaimed': '7d' does not match pattern"},
		"a path with a slash at its end": {
			"callback: {path: /a/}", "at '/callback/path': '/a/' does not match pattern",
		},
		"a path of two words": {"callback: {path: '/a: b'}", "at '/callback/path': '/a: b' does not match pattern"},
		"a tag in the repository": {
			"image: {repository: 'registry.example.com/a:v1'}", "at '/image/repository': 'registry.example.com/a:v1' does",
		},
		"not a tag":             {"image: {tag: 'v 1'}", "at '/image/tag': 'v 1' does not match pattern"},
		"not a namespace":       {"placeholderNamespace: Foo_Bar", "at '/placeholderNamespace': 'Foo_Bar' does not match"},
		"not a Secret's name":   {"callback: {secretName: 'A B'}", "at '/callback/secretName': 'A B' does not match"},
		"not a certificate's":   {"tls: {secretName: 'A B'}", "at '/tls/secretName': 'A B' does not match"},
		"not an address":        {"monitoring: {alerts: {runbooks: 'a: b/'}}", "at '/monitoring/alerts/runbooks': 'a: b/'"},
		"a long drain duration": {"callback: {drainDuration: 31s}", "set webhook.terminationGracePeriodSeconds to 61 or more"},
		"TLS behind an Ingress": {"tls: {source: secret}\ningress: {enabled: true, host: a.example}", "set tls.source to none"},
		"TLS behind a Gateway": {
			"tls: {source: secret}\ngateway: {enabled: true, parentRefs: [{name: g}]}", "set tls.source to none",
		},
		"nothing authenticates": {"callback: {secretName: ''}", "nothing authenticates pushes: set callback.secretName"},
		"a CA without TLS":      {"tls: {clientCA: true}", "tls.clientCA needs the callback to end TLS"},
		"no issuer":             {"tls: {source: certManager}", "set tls.dnsNames and tls.issuerRef.name, too"},
		"a host without a port": {"platform: {hosts: [a.example]}", "at '/platform/hosts/0': 'a.example' does not match"},
		"an address of a page": {
			"platform: {hosts: ['https://a.example:8743']}", "at '/platform/hosts/0': 'https://a.example:8743' does not",
		},
		"every host": {"platform: {hosts: ['*:8743']}", "at '/platform/hosts/0': '*:8743' does not match"},
		"a port that can't be": {
			"platform: {hosts: ['a.example:65536']}\nnetworkPolicy: {enabled: false}", "no port is above 65535",
		},
		"not the platform's Secret": {
			"platform: {hosts: ['a.example:1'], secretNames: ['A B']}", "at '/platform/secretNames/0': 'A B' does not match",
		},
		"Secrets without a platform":   {"platform: {secretNames: [a]}", "platform.hosts is empty, so that"},
		"addresses without a platform": {"networkPolicy: {platformCIDRs: [192.0.2.1/32]}", "platform.hosts is empty, so that"},
		"addresses twice": {
			"networkPolicy: {apiServerLookup: true, apiServerCIDRs: [192.0.2.1/32]}", "remove networkPolicy.apiServerCIDRs",
		},
		"a lookup that can't be": {"networkPolicy: {apiServerLookup: true}", "the API server was not asked"},
		"not a metrics' Secret":  {"metrics: {secretName: 'A B'}", "at '/metrics/secretName': 'A B' does not match"},
		"no host":                {"ingress: {enabled: true}", "set ingress.host"},
		"no Gateway":             {"gateway: {enabled: true}", "set gateway.parentRefs"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := template(t, operatorNamespace, tc.values)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want %q, got %v", tc.want, err)
			}
		})
	}
}

func TestLint(t *testing.T) {
	// Only a missing icon, which is an information.
	for name, tc := range options() {
		linter := lint.RunAll(root(t, "charts", "fwupgrade"), values(t, tc.values), operatorNamespace)
		for _, message := range linter.Messages {
			if message.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, message)
			}
		}
	}
}

func TestNotes(t *testing.T) {
	cases := map[string]struct {
		values  string
		want    []string
		without string
	}{
		"by default": {"", []string{
			"kubectl -n iot create secret generic fwupgrade-callback --save-config",
			"kubectl -n iot rollout status deployment/fwupgrade-webhook deployment/fwupgrade-controllers",
			"port 443, with the path /v1.0.0/messageReceiver/<secret>",
			"subscribe it on the platform",
		}, "<no value>"},
		"with a platform": {
			"platform: {hosts: ['a.example:8743', 'b.example:443']}",
			[]string{"which may connect to\na.example:8743 and b.example:443: docs/iotapplication.md"},
			"subscribe it on the platform",
		},
		"anonymous": {
			"callback: {secretName: '', allowAnonymous: true}", []string{"kubectl -n iot rollout status"}, "create secret",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, notes, err := template(t, "iot", tc.values)
			must(t, err)
			for _, want := range tc.want {
				if !strings.Contains(notes, want) {
					t.Errorf("want %q in:\n%s", want, notes)
				}
			}
			if strings.Contains(notes, tc.without) {
				t.Errorf("%q is in:\n%s", tc.without, notes)
			}
		})
	}
}
