// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/test/harness"
)

// healthKey is where Argo CD looks for the script in its ConfigMap.
const healthKey = "resource.customizations.health.fwupgrade.io_FirmwareUpgrade"

// patchHead is config/argocd/argocd-cm-patch.yaml but for the script, which is indented below.
const patchHead = `# The health of FirmwareUpgrades for Argo CD, generated from health.lua. Install it:
#   kubectl -n argocd patch configmap argocd-cm --patch-file config/argocd/argocd-cm-patch.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
  ` + healthKey + `: |
`

// TestHealthScriptIsInstalledByThePatch holds that the patch has the script, and that applying it as the manual says
// leaves the other settings of Argo CD alone.
func TestHealthScriptIsInstalledByThePatch(t *testing.T) {
	script := healthScript(t)
	var want strings.Builder
	want.WriteString(patchHead)
	for line := range strings.Lines(script) {
		want.WriteString("    " + line)
	}
	file := path(t, "config", "argocd", "argocd-cm-patch.yaml")
	if *update {
		must(t, os.WriteFile(file, []byte(want.String()), 0o644))
	}
	got, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("the patch is not health.lua, run go test ./test/gitops -update (-want +got):\n%s", diff)
	}

	ns := harness.NewNamespace(t, k8s)
	must(t, k8s.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "argocd-cm"}, Data: map[string]string{"url": "https://argocd"},
	}))
	mine := strings.Replace(string(got), "namespace: argocd", fmt.Sprintf("namespace: %q", ns), 1)
	mustKubectl(t, "-n", ns, "patch", "configmap", "argocd-cm", "--patch-file", inGit(t, mine))
	installed := &corev1.ConfigMap{}
	must(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "argocd-cm"}, installed))
	if diff := cmp.Diff(map[string]string{"url": "https://argocd", healthKey: script}, installed.Data); diff != "" {
		t.Errorf("argocd-cm (-want +got):\n%s", diff)
	}
}
