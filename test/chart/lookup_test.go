// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"strings"
	"testing"
	"time"
)

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
	must(t, install(t, operatorNamespace, "networkPolicy: {apiServerLookup: true}", false))
	t.Cleanup(func() { uninstall(t, operatorNamespace) })
	for _, name := range []string{"fwupgrade-webhook", "fwupgrade-controllers"} {
		named := admin(t, "get", "networkpolicy", name, "-n", operatorNamespace,
			"-o=jsonpath={.spec.egress[*].to[*].ipBlock.cidr} {.spec.egress[*].ports[*].port}")
		if named != published {
			t.Errorf("%s: published %q, named %q", name, published, named)
		}
	}
}
