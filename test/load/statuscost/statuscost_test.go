// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuscost

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/hack/local"
)

// TestRun takes tiny turns on a real control plane, with a variant. It looks at no time: only that every side's status
// is one that its CRD takes, and changes with every write, which the run checks.
func TestRun(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`, which builds the control plane")
	}
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "status-cost.json")
	var table bytes.Buffer
	err = Run(t.Context(), []string{
		"--objects=4", "--writers=2", "--rounds=2", "--turn=100ms", "--spec-devices=3", "--json=" + path,
		"--variant=unchanged=" + filepath.Join(root, todayCRD),
	}, &table, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Sides) != 3 {
		t.Fatalf("%d sides, want 3", len(r.Sides))
	}
	for _, s := range r.Sides {
		if len(s.Full) != 2 || len(s.Small) != 2 || s.FullBytes < 4*s.SmallBytes || s.SmallBytes < 500 {
			t.Errorf("%s was measured as %+v", s.Title, s)
		}
		for _, kib := range append(s.FullKiB, s.SmallKiB...) {
			if kib < 100 || kib > 100_000 {
				t.Errorf("%s: a write allocated %.0f KiB", s.Title, kib)
			}
		}
		if !strings.Contains(table.String(), s.Title) {
			t.Errorf("the table lacks %s:\n%s", s.Title, table.String())
		}
	}
	// A comparison needs two that tell the same.
	if first, today := r.Sides[sideFirst].FullBytes, r.Sides[sideToday].FullBytes; first < today*9/10 ||
		first > today*11/10 {
		t.Errorf("the full status has %d bytes in the first version and %d today: they have to tell the same", first, today)
	}
}

func TestOptions(t *testing.T) {
	for _, wrong := range []string{
		"--objects=2", "--writers=0", "--rounds=0", "--turn=0s", "--spec-devices=1001", "--variant=file", "--variant==file",
		"--colour=red", "now",
	} {
		if _, err := parse([]string{wrong}); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
}

func TestInGroup(t *testing.T) {
	changed, err := inGroup(firstCRD, "other.example")
	if err != nil {
		t.Fatal(err)
	}
	var before, after apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(firstCRD, &before); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(changed, &after); err != nil {
		t.Fatal(err)
	}
	if after.Name != "firmwareupgrades.other.example" || after.Spec.Group != "other.example" {
		t.Errorf("the CRD is %s, group %s", after.Name, after.Spec.Group)
	}
	after.Name, after.Spec.Group = before.Name, before.Spec.Group
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what else changed (-want +got):\n%s", diff)
	}
}

func TestRatios(t *testing.T) {
	r := &Report{Sides: []SideReport{{Full: []float64{10, 20, 10}}, {Full: []float64{5, 6, 10}}}}
	if ratio, low, high := r.Ratio(sideToday); ratio != 0.5 || low != 0.3 || high != 1 {
		t.Errorf("ratio %v (%v–%v), want 0.5 (0.3–1)", ratio, low, high)
	}
	if ratio, _, _ := ratioOf([]float64{1}, nil); ratio != 0 {
		t.Errorf("ratio %v of nothing", ratio)
	}
}
