// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

	checkPatch(t, "argocd-cm", "config/argocd/argocd-cm-patch.yaml", map[string]string{healthKey: script})
}

// TestTriggersAreInstalledByThePatch holds the same of the triggers.
func TestTriggersAreInstalledByThePatch(t *testing.T) {
	triggers := &corev1.ConfigMap{}
	object := named(t, samples(t), "ConfigMap", "argocd-notifications-cm").Object
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object, triggers))
	checkPatch(t, triggers.Name, "config/samples/gitops/argocd/argocd-notifications-cm-patch.yaml", triggers.Data)
}

// checkPatch holds that the command of the manual adds to a ConfigMap of Argo CD, and leaves alone what is there.
func checkPatch(t *testing.T, configMap, file string, added map[string]string) {
	t.Helper()
	args := []string{"patch", "configmap", configMap, "--patch-file"}
	command := "kubectl -n argocd " + strings.Join(args, " ") + " " + file
	if _, text := manual(t); !strings.Contains(text, command) {
		t.Errorf("docs/gitops.md does not say %q", command)
	}
	content, err := os.ReadFile(path(t, file))
	must(t, err)
	ns, own := harness.NewNamespace(t, k8s), map[string]string{"url": "https://argocd"}
	must(t, k8s.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: configMap}, Data: own,
	}))
	mine := inGit(t, strings.Replace(string(content), "namespace: argocd", fmt.Sprintf("namespace: %q", ns), 1))
	mustKubectl(t, append([]string{"-n", ns}, append(args, mine)...)...)
	installed := &corev1.ConfigMap{}
	must(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: configMap}, installed))
	want := maps.Clone(added)
	maps.Copy(want, own)
	if diff := cmp.Diff(want, installed.Data); diff != "" {
		t.Errorf("%s (-want +got):\n%s", configMap, diff)
	}
}
