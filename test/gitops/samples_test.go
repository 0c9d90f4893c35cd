// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
)

// sample is an object of a file of config/samples/gitops.
type sample struct {
	// file is the path below that folder.
	file string
	*unstructured.Unstructured
}

func (s sample) String() string { return s.file + ": " + s.GetKind() + " " + s.GetName() }

// at returns the value at a path of the sample, nil where there is none.
func (s sample) at(fields ...string) any {
	value, _, _ := unstructured.NestedFieldNoCopy(s.Object, fields...)
	return value
}

// sampleFolder returns the path of something below config/samples/gitops.
func sampleFolder(t *testing.T, elements ...string) string {
	t.Helper()
	return path(t, append([]string{"config", "samples", "gitops"}, elements...)...)
}

// sampleFiles are the paths of the manifests below config/samples/gitops.
func sampleFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	must(t, fs.WalkDir(os.DirFS(sampleFolder(t)), ".", func(file string, _ fs.DirEntry, err error) error {
		if filepath.Ext(file) == ".yaml" {
			files = append(files, file)
		}
		return err
	}))
	return files
}

// samples reads all manifests; what YAML would take in another way than it reads, such as a key that is there twice, is
// refused.
func samples(t *testing.T) []sample {
	t.Helper()
	var all []sample
	for _, file := range sampleFiles(t) {
		content, err := os.ReadFile(sampleFolder(t, file))
		must(t, err)
		documents := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(content)))
		for {
			document := make([]byte, len(content))
			n, err := documents.Read(document)
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			asJSON, err := yaml.YAMLToJSONStrict(document[:n])
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			object := &unstructured.Unstructured{}
			must(t, object.UnmarshalJSON(asJSON))
			all = append(all, sample{file, object})
		}
	}
	return all
}

// named returns the sample of this kind and name.
func named(t *testing.T, all []sample, kind, name string) sample {
	t.Helper()
	for _, s := range all {
		if s.GetKind() == kind && s.GetName() == name {
			return s
		}
	}
	t.Fatalf("there is no %s %s among the samples", kind, name)
	return sample{}
}

// knownFields are what our samples may say of the kinds of others. The list was checked by hand against the schemas
// that Flux 2.9 and Argo CD 3.6 publish; the test fails on any other field, and knows nothing of values.
var knownFields = map[string][]string{
	"kustomize.config.k8s.io/v1beta1 Kustomization": {"resources[]"},
	"source.toolkit.fluxcd.io/v1 GitRepository":     {"spec.interval", "spec.url", "spec.ref.branch"},
	"kustomize.toolkit.fluxcd.io/v1 Kustomization": {
		"spec.dependsOn[].name", "spec.interval", "spec.retryInterval", "spec.timeout", "spec.wait", "spec.prune",
		"spec.path", "spec.sourceRef.kind", "spec.sourceRef.name",
	},
	"notification.toolkit.fluxcd.io/v1beta3 Provider": {"spec.type", "spec.channel", "spec.secretRef.name"},
	"notification.toolkit.fluxcd.io/v1beta3 Alert": {
		"spec.providerRef.name", "spec.eventSeverity", "spec.eventSources[].kind", "spec.eventSources[].name",
		"spec.exclusionList[]",
	},
	"argoproj.io/v1alpha1 ApplicationSet": {
		"spec.generators[].list.elements[].wave", "spec.strategy.type",
		"spec.strategy.rollingSync.steps[].matchExpressions[].key",
		"spec.strategy.rollingSync.steps[].matchExpressions[].operator",
		"spec.strategy.rollingSync.steps[].matchExpressions[].values[]", "spec.goTemplate", "spec.goTemplateOptions[]",
		"spec.template.metadata.name", "spec.template.metadata.labels.fleet.example.com/wave",
		"spec.template.metadata.annotations.notifications.argoproj.io/subscribe.on-fleet-degraded.slack",
		"spec.template.metadata.annotations.notifications.argoproj.io/subscribe.on-fleet-sync-failed.slack",
		"spec.template.spec.project", "spec.template.spec.source.repoURL", "spec.template.spec.source.targetRevision",
		"spec.template.spec.source.path", "spec.template.spec.destination.server",
		"spec.template.spec.destination.namespace", "spec.template.spec.syncPolicy.automated.prune",
		"spec.template.spec.syncPolicy.syncOptions[]",
	},
}

// fields are the paths of all values that hold no others.
func fields(value any, at string) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if at != "" || !slices.Contains([]string{"apiVersion", "kind", "metadata"}, key) {
				found = append(found, fields(inner, strings.TrimPrefix(at+"."+key, "."))...)
			}
		}
	case []any:
		for _, inner := range v {
			found = append(found, fields(inner, at+"[]")...)
		}
	default:
		found = append(found, at)
	}
	return found
}

// TestSamplesAreAccepted holds that the API server accepts every FirmwareUpgrade and every object of Kubernetes of the
// samples, unknown fields refused, and that those of Flux and Argo CD have fields that these know.
func TestSamplesAreAccepted(t *testing.T) {
	err := k8s.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "argocd"}})
	if !apierrors.IsAlreadyExists(err) {
		must(t, err)
	}
	upgrades := 0
	for _, s := range samples(t) {
		kind := s.GetAPIVersion() + " " + s.GetKind()
		known, foreign := knownFields[kind]
		if foreign {
			for _, field := range fields(s.Object, "") {
				if !slices.Contains(known, field) {
					t.Errorf("%s: unknown field %s", s, field)
				}
			}
		}
		if s.GetKind() == "FirmwareUpgrade" {
			upgrades++
			checkUpgrade(t, s)
		}
		if s.GroupVersionKind().Group == "kustomize.config.k8s.io" || foreign {
			continue
		}
		object := s.DeepCopy()
		if s.GetNamespace() != "argocd" {
			object.SetNamespace("default")
		}
		err := k8s.Create(t.Context(), object, client.DryRunAll, client.FieldValidation("Strict"))
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	if upgrades < 2 {
		t.Errorf("want a FirmwareUpgrade for each of two waves, got %d", upgrades)
	}
}

// checkUpgrade holds that a gate has what it judges by.
func checkUpgrade(t *testing.T, s sample) {
	t.Helper()
	fwu := &v1alpha1.FirmwareUpgrade{}
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(s.Object, fwu))
	if fwu.Spec.FailurePolicy == nil || fwu.Spec.TargetVersion == "" || fwu.Spec.ExpectedDevices == nil ||
		fwu.Spec.AppID == "" {
		t.Errorf("%s: want a policy, a target, a number of devices and an application, got %+v", s, fwu.Spec)
	}
}

// TestSamplesFitTogether holds that what one sample names, another one is.
func TestSamplesFitTogether(t *testing.T) {
	all := samples(t)
	for _, wave := range []string{"1", "2"} {
		k := named(t, all, "Kustomization", "wave-"+wave)
		got := map[string]any{
			"path": k.at("spec", "path"), "wait": k.at("spec", "wait"), "timeout": k.at("spec", "timeout"),
			"retryInterval": k.at("spec", "retryInterval"), "source": k.at("spec", "sourceRef", "name"),
		}
		want := map[string]any{
			"path": "./waves/" + wave, "wait": true, "timeout": "30s", "retryInterval": "2m",
			"source": named(t, all, "GitRepository", "fleet").GetName(),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", k, diff)
		}
		if _, err := os.Stat(sampleFolder(t, "waves", wave)); err != nil {
			t.Error(err)
		}
	}
	dependsOn := named(t, all, "Kustomization", "wave-2").at("spec", "dependsOn")
	if diff := cmp.Diff([]any{map[string]any{"name": "wave-1"}}, dependsOn); diff != "" {
		t.Errorf("what wave 2 waits for (-want +got):\n%s", diff)
	}
	alert := named(t, all, "Alert", "fleet")
	named(t, all, "Provider", alert.at("spec", "providerRef", "name").(string))
	for _, source := range alert.at("spec", "eventSources").([]any) {
		source := source.(map[string]any)
		named(t, all, source["kind"].(string), source["name"].(string))
	}
	rendered := mustKubectl(t, "kustomize", sampleFolder(t, "flux"))
	if got := strings.Count(rendered, "\nkind: "); got != 5 {
		t.Errorf("want 5 objects in the folder flux, got %d:\n%s", got, rendered)
	}
	checkApplications(t, all)
}

// checkApplications holds that the ApplicationSet has a step and a folder for each wave, in order, and triggers for
// what its Applications subscribe to.
func checkApplications(t *testing.T, all []sample) {
	t.Helper()
	set := named(t, all, "ApplicationSet", "fleet")
	var steps []any
	for _, step := range set.at("spec", "strategy", "rollingSync", "steps").([]any) {
		values, _, err := unstructured.NestedSlice(
			step.(map[string]any)["matchExpressions"].([]any)[0].(map[string]any), "values")
		must(t, err)
		steps = append(steps, map[string]any{"wave": values[0]})
	}
	generator := set.at("spec", "generators").([]any)[0].(map[string]any)
	elements, _, err := unstructured.NestedSlice(generator, "list", "elements")
	must(t, err)
	if diff := cmp.Diff(elements, steps); diff != "" {
		t.Errorf("steps and Applications (-Applications +steps):\n%s", diff)
	}
	if got := set.at("spec", "template", "spec", "source", "path"); got != "waves/{{.wave}}" {
		t.Errorf("path: %v", got)
	}
	triggers := named(t, all, "ConfigMap", "argocd-notifications-cm").at("data").(map[string]any)
	for annotation := range set.at("spec", "template", "metadata", "annotations").(map[string]any) {
		name := strings.TrimSuffix(strings.TrimPrefix(annotation, "notifications.argoproj.io/subscribe."), ".slack")
		if triggers["trigger."+name] == nil {
			t.Errorf("the annotation %s has no trigger", annotation)
		}
	}
	for name, trigger := range triggers {
		if strings.HasPrefix(name, "trigger.") && !strings.Contains(trigger.(string), "oncePer: ") {
			t.Errorf("%s repeats itself", name)
		}
	}
}

// TestAlertTellsNoWaiting holds that the Alert of Flux leaves out that upgrades are waited for, or failed, in the words
// of kustomize-controller, and nothing else.
func TestAlertTellsNoWaiting(t *testing.T) {
	var excluded []*regexp.Regexp
	for _, text := range named(t, samples(t), "Alert", "fleet").at("spec", "exclusionList").([]any) {
		excluded = append(excluded, regexp.MustCompile(text.(string)))
	}
	const after, waiting, failed = "health check failed after 30.0312s: ", "timeout waiting for: ",
		"failed early due to stalled resources: "
	cases := map[string]bool{
		after + waiting + "[FirmwareUpgrade/fleet/canary status: 'InProgress']": false,
		after + waiting + "[FirmwareUpgrade/fleet/canary status: 'InProgress', " +
			"FirmwareUpgrade/fleet/main status: 'Failed']": false,
		after + failed + "[FirmwareUpgrade/fleet/main status: 'Failed']":                                          false,
		after + waiting + "[Deployment/fleet/web status: 'InProgress']":                                           true,
		after + waiting + "[FirmwareUpgrade/fleet/a status: 'InProgress', Job/b status: 'Failed']":                true,
		`FirmwareUpgrade/fleet/canary dry-run failed (Invalid): FirmwareUpgrade.fwupgrade.io "canary" is invalid`: true,
		"kustomize build failed: accumulating resources":                                                          true,
	}
	for message, want := range cases {
		told := !slices.ContainsFunc(excluded, func(r *regexp.Regexp) bool { return r.MatchString(message) })
		if told != want {
			t.Errorf("%s: want told %t, got %t", message, want, told)
		}
	}
}
