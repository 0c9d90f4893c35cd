// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"strings"
	"testing"
	"time"
)

// uselessSlices are of the API server's Service, too. A rule of the first would be for every address, one of the second
// for every port.
const uselessSlices = `
apiVersion: v1
kind: List
items:
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: without-endpoints, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
  addressType: IPv4
  endpoints: []
  ports: [{name: https, port: 443, protocol: TCP}]
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: without-ports, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
  addressType: IPv4
  endpoints: [{addresses: [192.0.2.11]}]
`

// With apiServerLookup egress names what the API server publishes, addresses and ports, and nothing else.
func TestLookupNamesTheAPIServer(t *testing.T) {
	published := ""
	for deadline := time.Now().Add(time.Minute); published == "" && time.Now().Before(deadline); {
		published = admin(t, "get", "endpointslices", "-n", "default", "-l=kubernetes.io/service-name=kubernetes",
			"-o=jsonpath={.items[*].endpoints[*].addresses[0]}/32 {.items[*].ports[*].port}")
		published = strings.TrimPrefix(published, "/32 ")
	}
	if !strings.HasPrefix(published, "192.0.2.10/32 ") {
		t.Fatalf("the API server publishes %q", published)
	}
	useless := file(t, uselessSlices)
	admin(t, "apply", "-f", useless)
	defer admin(t, "delete", "-f", useless)
	must(t, install(t, operatorNamespace, "networkPolicy: {apiServerLookup: true}", false))
	t.Cleanup(func() { uninstall(t, operatorNamespace) })
	for _, name := range []string{"fwupgrade-webhook", "fwupgrade-controllers"} {
		named := admin(t, "get", "networkpolicy", name, "-n", operatorNamespace,
			"-o=jsonpath={range .spec.egress[*]}{.to[*].ipBlock.cidr} {.ports[*].port};{end}")
		if named != published+";" {
			t.Errorf("%s: published %q, named %q", name, published, named)
		}
	}
}
