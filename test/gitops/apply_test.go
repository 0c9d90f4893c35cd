// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/test/harness"
)

// flux is the manager of fields by which kustomize-controller applies, and waveLabel the label by which it prunes.
const (
	flux      = "kustomize-controller"
	waveLabel = "kustomize.toolkit.fluxcd.io/name"
)

// manifest is a FirmwareUpgrade as people write it: some defaults are left out, others are written down.
const manifest = `
apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata:
  name: %[2]s
  namespace: %[1]s
  labels:
    kustomize.toolkit.fluxcd.io/name: wave-1
spec:
  operationId: "%[3]s"
  appId: "app"
  targetVersion: "1.6"
  expectedDevices: 3
  deadlineSeconds: 172800
  failurePolicy:
    maxFailed: "5%%"
`

// inGit writes a manifest to a file, and returns its path.
func inGit(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "upgrade.yaml")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// apply applies a file as Flux does: by the server, and taking over what somebody else has set.
func apply(t *testing.T, file string) {
	t.Helper()
	mustKubectl(t, "apply", "--server-side", "--force-conflicts", "--field-manager="+flux, "-f", file)
}

// TestApplyingAgainChangesNothing holds that what the operator writes is no drift to tools that compare the cluster
// with Git, be it the status, the finalizer or a default.
func TestApplyingAgainChangesNothing(t *testing.T) {
	operator{undeclared: controllers.UndeclaredAdopt}.run(t)
	ns := harness.NewNamespace(t, k8s)
	file := inGit(t, fmt.Sprintf(manifest, ns, "canary", "apply-"+ns)+"  deletionPolicy: Purge\n")
	// Without --force-conflicts: the operator is nobody's rival.
	mustKubectl(t, "apply", "--server-side", "--field-manager="+flux, "-f", file)
	storeResults(t, devices("apply-"+ns, 3, 0)...)
	before := await(t, ns, "canary", func(fwu *v1alpha1.FirmwareUpgrade) string {
		if len(fwu.Finalizers) == 0 {
			return "it has no finalizer"
		}
		if problem := hasReason(v1alpha1.ReasonSucceeded)(fwu); problem != "" {
			return problem
		}
		return isQuiet(fwu)
	})

	mustKubectl(t, "apply", "--server-side", "--field-manager="+flux, "-f", file)
	after := get(t, ns, "canary")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what applying again changed (-before +after):\n%s", diff)
	}
	checkOwners(t, after)
	checkDiff(t, file, 0)
	patchSpec(t, ns, "canary", `{"expectedDevices": 4}`)
	checkDiff(t, file, 1) // else the check would prove nothing
	patchSpec(t, ns, "canary", `{"deletionPolicy": "Retain"}`)
}

// checkOwners holds that all of the spec belongs to whoever applied it, but for what the API server filled in, and
// nothing to the operator.
func checkOwners(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	var managers []string
	for _, entry := range fwu.ManagedFields {
		fields := map[string]any{}
		must(t, json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields))
		_, spec := fields["f:spec"]
		_, status := fields["f:status"]
		if spec != (entry.Manager == flux) || spec && status {
			t.Errorf("manager %s of %q: spec %t, status %t", entry.Manager, entry.Subresource, spec, status)
		}
		managers = append(managers, entry.Manager)
	}
	if len(managers) < 2 {
		t.Errorf("want Flux and the operator among the managers of fields, got %v", managers)
	}
}

// checkDiff holds that kubectl diff ends with this code, be it computed by kubectl or by the server: 0 means that there
// is no difference.
func checkDiff(t *testing.T, file string, want int) {
	t.Helper()
	for how, args := range map[string][]string{
		"computed by kubectl":    {"diff", "-f", file},
		"computed by the server": {"diff", "--server-side", "--field-manager=" + flux, "--force-conflicts", "-f", file},
	} {
		if out, code := kubectl(t, args...); code != want {
			t.Errorf("kubectl diff, %s: want the exit code %d, got %d:\n%s", how, want, code, out)
		}
	}
}

// TestDriftIsPutBack holds that an edit by hand is found, and is put back by the next apply, after which the upgrade is
// judged by what Git says.
func TestDriftIsPutBack(t *testing.T) {
	operator{undeclared: controllers.UndeclaredAdopt}.run(t)
	ns := harness.NewNamespace(t, k8s)
	file := inGit(t, fmt.Sprintf(manifest, ns, "canary", "drift-"+ns))
	apply(t, file)
	storeResults(t, devices("drift-"+ns, 3, 0)...)
	await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))

	mustKubectl(t, "-n", ns, "patch", "fwu/canary", "--type=merge", "-p", `{"spec": {"expectedDevices": 4}}`)
	await(t, ns, "canary", hasReason(v1alpha1.ReasonRunning))
	checkDiff(t, file, 1)
	_, conflict := kubectl(t, "apply", "--server-side", "--field-manager="+flux, "-f", file)
	if conflict == 0 {
		t.Error("applying without force does not say that somebody else has set a field")
	}
	apply(t, file)
	await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))
	checkDiff(t, file, 0)
}

// TestAnotherTaskUnderTheSameName holds that another operationId is refused with what to do, and that what the manual
// tells to do works: Flux deletes the object and applies it, Argo CD replaces it by force.
func TestAnotherTaskUnderTheSameName(t *testing.T) {
	operator{undeclared: controllers.UndeclaredAdopt}.run(t)
	ways := map[string]func(t *testing.T, ns, file string){
		"Flux": func(t *testing.T, ns, file string) {
			mustKubectl(t, "-n", ns, "delete", "fwu/canary", "--cascade=background", "--timeout=30s")
			apply(t, file)
		},
		"Argo CD": func(t *testing.T, _, file string) {
			mustKubectl(t, "replace", "--force", "--timeout=30s", "-f", file)
		},
	}
	for name, replace := range ways {
		t.Run(name, func(t *testing.T) {
			ns := harness.NewNamespace(t, k8s)
			apply(t, inGit(t, fmt.Sprintf(manifest, ns, "canary", "first-"+ns)))
			storeResults(t, devices("first-"+ns, 3, 0)...)
			old := await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))

			file := inGit(t, fmt.Sprintf(manifest, ns, "canary", "second-"+ns))
			out, code := kubectl(t, "apply", "--server-side", "--dry-run=server", "--field-manager="+flux, "-f", file)
			for _, want := range []string{
				"operationId is immutable", "another name", "kustomize.toolkit.fluxcd.io/force: enabled",
				"argocd.argoproj.io/sync-options: Replace=true,Force=true",
			} {
				if code == 0 || !strings.Contains(out, want) {
					t.Errorf("want a refusal with %q, got %s", want, out)
				}
			}
			replace(t, ns, file)
			anew := await(t, ns, "canary", hasReason(v1alpha1.ReasonPending))
			if anew.UID == old.UID || anew.Status.Devices.Succeeded != 0 {
				t.Errorf("want a new object without counts, got %+v", anew.Status)
			}
			storeResults(t, devices("second-"+ns, 3, 0)...)
			await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))
			checkNoPlaceholder(t, "first-"+ns)
		})
	}
}

// TestReplacedAtEachSync holds that an object which is replaced although nothing changed counts all of its results
// again.
func TestReplacedAtEachSync(t *testing.T) {
	operator{undeclared: controllers.UndeclaredAdopt}.run(t)
	ns := harness.NewNamespace(t, k8s)
	file := inGit(t, fmt.Sprintf(manifest, ns, "canary", "again-"+ns))
	apply(t, file)
	storeResults(t, devices("again-"+ns, 3, 0)...)
	old := await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))
	mustKubectl(t, "replace", "--force", "--timeout=30s", "-f", file)
	anew := await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))
	if anew.UID == old.UID {
		t.Error("it was not replaced")
	}
	if diff := cmp.Diff(old.Status.Devices, anew.Status.Devices); diff != "" {
		t.Errorf("counts (-before +after):\n%s", diff)
	}
}
