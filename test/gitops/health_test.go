// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
)

// customization is the folder of the health script, with the layout of Argo CD's own.
func customization(t *testing.T, elements ...string) string {
	t.Helper()
	return path(t, append([]string{"config", "argocd", "resource_customizations", "fwupgrade.io", "FirmwareUpgrade"},
		elements...)...)
}

// healthScript is what config/argocd has people install.
func healthScript(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile(customization(t, "health.lua"))
	must(t, err)
	return string(script)
}

// healthTests is health_test.yaml, in the format of Argo CD.
type healthTests struct {
	Tests []healthTest `json:"tests"`
}

type healthTest struct {
	HealthStatus argoHealth `json:"healthStatus"`
	InputPath    string     `json:"inputPath"`
}

// TestStates holds that kstatus and Argo CD tell alike, of objects that the operator brought into every state there is,
// which of them a gate may open for, which it waits for, and which need somebody; and that what is said of the states
// in files is what these objects say.
func TestStates(t *testing.T) {
	objects := record(t)
	script := healthScript(t)
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) { checkState(t, s, objects[s.name], script) })
	}
	if got := slices.Sorted(maps.Keys(objects)); len(got) != len(states) {
		t.Errorf("%d states are in the table, these were recorded: %v", len(states), got)
	}
	t.Run("every reason", func(t *testing.T) { checkReasons(t, objects) })
	t.Run("test data", func(t *testing.T) { checkTestData(t, objects, script) })
}

// checkState compares what the tools and the status say of an object with the table.
func checkState(t *testing.T, want state, object *unstructured.Unstructured, script string) {
	t.Helper()
	if object == nil {
		t.Fatal("no object was recorded")
	}
	fwu := &v1alpha1.FirmwareUpgrade{}
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, fwu))
	computed, err := status.Compute(object)
	must(t, err)
	health, err := argoHealthOf(object, script)
	must(t, err)
	reason, message := ready(fwu)
	got := state{want.name, want.when, fwu.Status.Phase, reason, computed.Status, health.Status}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(state{})); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, message)
	}
	switch {
	case fwu.DeletionTimestamp != nil:
		message = "Pending deletion"
	case fwu.Status.ObservedGeneration != fwu.Generation:
		message = "Waiting for the operator"
	}
	if health.Message != message {
		t.Errorf("what Argo CD shows: want %q, got %q", message, health.Message)
	}
	pairs := map[string]status.Status{
		healthy: status.CurrentStatus, degraded: status.FailedStatus, progressing: status.InProgressStatus,
	}
	if computed.Status != status.TerminatingStatus && computed.Status != pairs[health.Status] {
		t.Errorf("kstatus says %s, Argo CD %s", computed.Status, health.Status)
	}
}

// ready returns the reason and the message of Ready.
func ready(fwu *v1alpha1.FirmwareUpgrade) (reason, message string) {
	for _, c := range fwu.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Reason, c.Message
		}
	}
	return "", ""
}

// checkReasons holds that each reason of the API was there, so that a new one gets a row in the table.
func checkReasons(t *testing.T, objects map[string]*unstructured.Unstructured) {
	t.Helper()
	seen := map[string]bool{}
	for _, object := range objects {
		fwu := &v1alpha1.FirmwareUpgrade{}
		must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, fwu))
		for _, c := range fwu.Status.Conditions {
			seen[c.Reason] = true
		}
	}
	if diff := cmp.Diff(reasons(t), slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("reasons of the API, and of the recorded objects (-want +got):\n%s", diff)
	}
}

// ofThePlatform are reasons that only a platform brings about: see test/platform.
var ofThePlatform = []string{v1alpha1.ReasonWaiting, v1alpha1.ReasonTaskExists}

// reasons are the reasons of conditions that the API declares, sorted, without those that only a platform brings about.
func reasons(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, name := range []string{"conditions.go", "task_conditions.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), path(t, "api", "v1alpha1", name), nil, 0)
		must(t, err)
		before := len(found)
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
				return true
			}
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			must(t, err)
			if !slices.Contains(ofThePlatform, value) {
				found = append(found, value)
			}
			return true
		})
		if len(found) == before {
			t.Fatalf("no reason was found in %s", name)
		}
	}
	slices.Sort(found)
	return found
}

// checkTestData runs the script over its test data, as Argo CD's own test does, and holds that these have the spec, the
// phase, the reason and the conditions that the operator writes today: see essence.
func checkTestData(t *testing.T, objects map[string]*unstructured.Unstructured, script string) {
	t.Helper()
	if *update {
		writeTestData(t, objects, script)
	}
	content, err := os.ReadFile(customization(t, "health_test.yaml"))
	must(t, err)
	var all healthTests
	must(t, yaml.UnmarshalStrict(content, &all))
	var tested []string
	for _, test := range all.Tests {
		object := readObject(t, customization(t, test.InputPath))
		got, err := runHealthScript(object, script)
		must(t, err)
		if diff := cmp.Diff(test.HealthStatus, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.InputPath, diff)
		}
		name := strings.TrimSuffix(filepath.Base(test.InputPath), ".yaml")
		tested = append(tested, name)
		if objects[name] == nil {
			t.Errorf("%s: there is no such state", name)
			continue
		}
		if diff := cmp.Diff(essence(t, objects[name]), essence(t, object)); diff != "" {
			t.Errorf("%s is not what the operator writes, run go test ./test/gitops -update (-want +got):\n%s",
				test.InputPath, diff)
		}
	}
	var want []string
	for _, s := range states {
		if inTestData(s) {
			want = append(want, s.name)
		}
	}
	if diff := cmp.Diff(want, tested); diff != "" {
		t.Errorf("what health_test.yaml tests (-want +got):\n%s", diff)
	}
}

// inTestData says whether the script is asked about objects in a state: of one that is being deleted it is not.
func inTestData(s state) bool { return s.kstatus != status.TerminatingStatus }

func readObject(t *testing.T, file string) *unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	asJSON, err := yaml.YAMLToJSONStrict(content)
	must(t, err)
	object := &unstructured.Unstructured{}
	must(t, object.UnmarshalJSON(asJSON))
	return object
}

// writeTestData writes the recorded objects and what the script says of them; the table of states has been compared
// with that before.
func writeTestData(t *testing.T, objects map[string]*unstructured.Unstructured, script string) {
	t.Helper()
	must(t, os.RemoveAll(customization(t, "testdata")))
	must(t, os.MkdirAll(customization(t, "testdata"), 0o755))
	var all healthTests
	for _, s := range states {
		if !inTestData(s) {
			continue
		}
		object := objects[s.name].DeepCopy()
		object.SetManagedFields(nil)
		unstructured.RemoveNestedField(object.Object, "status", "operatorState")
		content, err := yaml.Marshal(object.Object)
		must(t, err)
		must(t, os.WriteFile(customization(t, "testdata", s.name+".yaml"), content, 0o644))
		health, err := runHealthScript(object, script)
		must(t, err)
		all.Tests = append(all.Tests, healthTest{HealthStatus: health, InputPath: "testdata/" + s.name + ".yaml"})
	}
	content, err := yaml.Marshal(all)
	must(t, err)
	must(t, os.WriteFile(customization(t, "health_test.yaml"), content, 0o644))
}

// times are the times in messages.
var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// essence is what tools look at of an object, and what is the same each time it is recorded: not the counts, the
// details, the times and the ids.
func essence(t *testing.T, object *unstructured.Unstructured) map[string]any {
	t.Helper()
	fwu := &v1alpha1.FirmwareUpgrade{}
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, fwu))
	conditions := map[string]string{}
	for _, c := range fwu.Status.Conditions {
		conditions[c.Type] = string(c.Status) + " " + c.Reason + " " + times.ReplaceAllString(c.Message, "<time>")
	}
	return map[string]any{
		"name": fwu.Name, "spec": fwu.Spec, "behind": fwu.Generation - fwu.Status.ObservedGeneration,
		"phase": fwu.Status.Phase, "reason": fwu.Status.Reason, "conditions": conditions,
	}
}
