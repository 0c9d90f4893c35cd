// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

// The Kustomizations of config/samples/waves.
const (
	canaryName = "meters-canary"
	mainName   = "meters-main"
)

// groupDevices is how many devices each group of the main wave has.
const groupDevices = 30

// timesOf are the times in manifests.
var timesOf = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// waves are config/samples/waves as somebody has them in Git who commits both waves two hours before the first time
// that they name.
type waves struct {
	kustomizations []*unstructured.Unstructured
	// objects are the FirmwareUpgrades, by the Kustomization that applies them.
	objects map[string][]*unstructured.Unstructured
	// canary and main are the only one of each.
	canary, main *v1alpha1.FirmwareUpgrade
}

// readWaves reads them.
func readWaves(t *testing.T) *waves {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	samples := filepath.Join(root, "config", "samples")
	w := &waves{objects: map[string][]*unstructured.Unstructured{}}
	w.kustomizations = documents(t, readFile(t, filepath.Join(samples, "waves", "flux", "waves.yaml")))
	contents, first := map[string][]byte{}, time.Time{}
	for _, k := range w.kustomizations {
		path, _, _ := unstructured.NestedString(k.Object, "spec", "path") // from the root of the repository
		files, err := filepath.Glob(filepath.Join(samples, path, "*.yaml"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s applies %v of %s, error %v", k.GetName(), files, path, err)
		}
		contents[k.GetName()] = readFile(t, files[0])
		for _, text := range timesOf.FindAll(contents[k.GetName()], -1) {
			if at := parseTime(t, text); first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	later := time.Now().Add(2 * time.Hour).Truncate(time.Second).Sub(first)
	for name, content := range contents {
		w.objects[name] = documents(t, timesOf.ReplaceAllFunc(content, func(text []byte) []byte {
			return parseTime(t, text).Add(later).AppendFormat(nil, time.RFC3339)
		}))
	}
	w.canary, w.main = w.upgrade(t, canaryName), w.upgrade(t, mainName)
	return w
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func parseTime(t *testing.T, text []byte) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// documents reads the objects of a file.
func documents(t *testing.T, content []byte) (all []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content))
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
}

// upgrade returns the only FirmwareUpgrade that a Kustomization applies.
func (w *waves) upgrade(t *testing.T, name string) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	objects, fwu := w.objects[name], &v1alpha1.FirmwareUpgrade{}
	if len(objects) != 1 {
		t.Fatalf("%s applies %d objects", name, len(objects))
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[0].Object, fwu); err != nil {
		t.Fatal(err)
	}
	return fwu
}

// platform is one that has the groups of the main wave, and the package, for their devices.
func (w *waves) platform(fates map[string]northbound.Fate) northbound.Options {
	o, groups := quick(), w.main.Spec.Task.DeviceGroups
	o.Groups, o.Devices.Fates = map[string]int{}, fates
	for _, name := range groups.Names {
		o.Groups[name] = groupDevices
	}
	o.Packages = []northbound.Package{{
		FileID: w.main.Spec.Task.PackageID, Version: w.main.Spec.TargetVersion, DeviceType: groups.DeviceType,
		Model: groups.Model, ManufacturerName: groups.ManufacturerName,
	}}
	return o
}

// fates are those of the canary's devices: the first one's, and that of all others.
func (w *waves) fates(first northbound.Fate) map[string]northbound.Fate {
	fates := map[string]northbound.Fate{}
	for i, id := range w.canary.Spec.Task.Devices {
		fates[id] = northbound.Succeeds
		if i == 0 {
			fates[id] = first
		}
	}
	return fates
}

// commit has Flux apply the waves in namespaces of the test's own, to the platform's application.
func (w *world) commit(of *waves, namespaces map[string]string) *flux {
	w.t.Helper()
	f := &flux{}
	for _, k := range of.kustomizations {
		if waits, _, _ := unstructured.NestedBool(k.Object, "spec", "wait"); !waits {
			w.t.Fatalf("%s is Ready before its objects are", k.GetName())
		}
		account, _, _ := unstructured.NestedString(k.Object, "spec", "serviceAccountName")
		next := &kustomization{name: k.GetName(), objects: of.objects[k.GetName()]}
		for _, object := range next.objects {
			object.SetNamespace(namespaces[object.GetNamespace()])
			if err := unstructured.SetNestedField(object.Object, w.platform.AppID(), "spec", "appId"); err != nil {
				w.t.Fatal(err)
			}
			next.api = upgrader(w.t, account, object.GetNamespace())
		}
		dependsOn, _, _ := unstructured.NestedSlice(k.Object, "spec", "dependsOn")
		for _, of := range dependsOn {
			name, _, _ := unstructured.NestedString(of.(map[string]any), "name")
			next.dependsOn = append(next.dependsOn, name)
		}
		f.all = append(f.all, next)
	}
	of.canary.Namespace, of.main.Namespace = namespaces[of.canary.Namespace], namespaces[of.main.Namespace]
	f.reconcile(w.t) // which applies the canary
	return f
}

// startWaves runs an operator whose application may have tasks created in the namespaces of both waves, and commits
// these.
func startWaves(t *testing.T, of *waves, first northbound.Fate) (*world, *flux) {
	t.Helper()
	namespaces := map[string]string{of.canary.Namespace: "", of.main.Namespace: harness.NewNamespace(t, k8s)}
	w := startCreating(t, of.platform(of.fates(first)), func(app *v1alpha1.IoTApplication) {
		app.Spec.Namespaces = append(app.Spec.Namespaces, namespaces[of.main.Namespace])
	})
	namespaces[of.canary.Namespace] = w.namespace
	return w, w.commit(of, namespaces)
}

// isThere says whether an object is.
func isThere(t *testing.T, object client.Object) bool {
	t.Helper()
	err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// The canary of config/samples/waves becomes Ready. Not before that is the main wave applied, and its task created; it
// then runs in its window.
func TestWaves(t *testing.T) {
	waves := readWaves(t)
	w, f := startWaves(t, waves, northbound.Succeeds)
	canary, main := waves.canary, waves.main
	w.passUntil(canary, time.Minute, func() string {
		f.reconcile(t)
		if k := f.named(canaryName); k.state == status.FailedStatus {
			t.Fatal(k.why)
		}
		if k := f.named(mainName); !k.applied {
			return k.why
		}
		return ""
	})
	if !isThere(t, canary) {
		t.Fatal("the canary is gone")
	}
	before, known := w.platform.Truth(canary.Status.OperationID)
	if !known || before.Counts.Success != len(canary.Spec.Task.Devices) || states(canary) != v1alpha1.ConditionReady {
		t.Fatalf("the main wave is applied when the canary is %+v, %s", before, states(canary))
	}
	w.passUntil(main, time.Minute, func() string { return taskCreated(main, v1alpha1.ReasonCreated) })
	if wait := main.Spec.Task.Window.Start.Sub(w.clock.Now()); wait > 0 {
		w.pass(wait)
	}
	w.passUntil(main, 30*time.Minute, func() string {
		f.reconcile(t)
		if k := f.named(mainName); k.state != status.CurrentStatus {
			return k.why
		}
		return stands(main, v1alpha1.ReasonCreated, v1alpha1.ConditionReady)()
	})
	w.expectPosts(2)
	task, window := main.Spec.Task, main.Spec.Task.Window
	if made := w.platform.Report().Creations[1]; !slices.Equal(made.Groups, task.DeviceGroups.Names) ||
		made.FileID != task.PackageID || !made.Time.After(before.StopTime) {
		t.Errorf("it was created as %+v, the canary ended at %s", made, before.StopTime)
	}
	truth, known := w.platform.Truth(main.Status.OperationID)
	if !known || truth.Counts.Success != groupDevices*len(task.DeviceGroups.Names) ||
		truth.StartTime.Before(window.Start.Time) || truth.StopTime.After(window.End.Time) {
		t.Errorf("it was run as %+v", truth)
	}
	if main.Status.Devices.Succeeded != int64(truth.Counts.Success) {
		t.Errorf("counted are %+v", main.Status.Devices)
	}
}

// One device of the canary fails, which its policy does not allow: the main wave is never applied, and nothing is
// created.
func TestWavesAfterFailure(t *testing.T) {
	waves := readWaves(t)
	w, f := startWaves(t, waves, northbound.Fails)
	canary := waves.canary
	goOn := func() {
		f.reconcile(t)
		if f.named(mainName).applied {
			t.Fatal("the main wave is applied")
		}
	}
	w.passUntil(canary, time.Minute, func() string {
		goOn()
		if k := f.named(canaryName); k.state != status.FailedStatus {
			return k.why
		}
		return stands(canary, v1alpha1.ReasonCreated, v1alpha1.ConditionStalled)()
	})
	for range 10 { // until after all that the main wave names
		w.pass(24 * time.Hour)
		time.Sleep(time.Second)
		goOn()
	}
	w.await(canary, stands(canary, v1alpha1.ReasonCreated, v1alpha1.ConditionStalled))
	if k := f.named(canaryName); k.state != status.FailedStatus || isThere(t, waves.main) {
		t.Errorf("the canary is %s: %s", k.state, k.why)
	}
	w.expectPosts(1)
}
