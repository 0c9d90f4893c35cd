// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// What a person who may not read is told to ask for works as it is printed, for one after the other.
func TestHintsWork(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).App("app"))
	binary, err := local.Asset("kubectl")
	must(t, err)
	for _, user := range []string{
		"jane@example.com-" + f.namespace, `o'br"ien \` + f.namespace, "https://id.example.com/a%20b#" + f.namespace,
		"system:serviceaccount:" + f.namespace + ":ci",
	} {
		run := func(args ...string) (int, string) {
			streams, _, errOut := buffers()
			all := append([]string{"--kubeconfig", kubeconfig, "--as", user, "-n", f.namespace}, args...)
			return Run(t.Context(), all, f.options(streams)), errOut.String()
		}
		for _, args := range [][]string{
			{"results", "meters"}, {"results", "meters"}, {"campaign", "-A", "-l", "no=such"}, // first view, then the results
		} {
			_, said := run(args...)
			_, hint, found := strings.Cut(said, "\n  kubectl ")
			if !found {
				t.Fatalf("%s: %v gives no hint: %s", user, args, said)
			}
			hint, _, _ = strings.Cut(hint, "\n")
			//nolint:gosec // What is run is what is tested.
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "kubectl "+hint)
			cmd.Env = []string{"PATH=" + filepath.Dir(binary), "KUBECONFIG=" + kubeconfig}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: kubectl %s: %v: %s", user, hint, err, out)
			}
			harness.Eventually(t, func() string { // RBAC follows a moment later
				if _, said := run(args...); strings.Contains(said, hint) {
					return said
				}
				return ""
			})
		}
		if code, said := run("results", "meters"); code != exitGood {
			t.Errorf("%s: code %d: %s", user, code, said)
		}
	}
}
