// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestVersionsOfKubernetes holds that the manuals and the chart name the versions of Kubernetes that are tested: the
// oldest, which make e2e-oldest builds, and the newest, of which hack/controlplane is.
func TestVersionsOfKubernetes(t *testing.T) {
	read := func(elements ...string) string {
		content, err := os.ReadFile(filepath.Join(append([]string{root}, elements...)...))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(content)), " ") // wherever lines are wrapped
	}
	minor := func(text, pattern string) string {
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("nothing matches %s", pattern)
		}
		return found[1]
	}
	oldest := minor(read("Makefile"), `OLDEST_KUBERNETES := (\d+\.\d+) `)
	newest := minor(read("hack", "controlplane", "go.mod"), ` k8s\.io/kubernetes v(\d+\.\d+)\.`)
	built := minor(read("hack", "controlplane", oldest, "go.mod"), ` k8s\.io/kubernetes v(\d+\.\d+)\.`)
	if built != oldest {
		t.Errorf("hack/controlplane/%s builds %s", oldest, built)
	}
	for file, sentences := range map[string][]string{
		"README.md":                   {"Kubernetes " + oldest + " or newer", "tested against " + oldest + " and " + newest},
		"docs/install.md":             {"Kubernetes " + oldest + " or newer", "tested against " + oldest + " and " + newest},
		"docs/upgrading.md":           {oldest + " or newer is needed", "run against " + newest, "against " + oldest},
		"charts/fwupgrade/Chart.yaml": {`kubeVersion: ">=` + oldest + `.0-0"`},
	} {
		text := read(filepath.FromSlash(file))
		for _, sentence := range sentences {
			if !strings.Contains(text, sentence) {
				t.Errorf("%s does not say %q", file, sentence)
			}
		}
	}
}
