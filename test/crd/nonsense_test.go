// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// Fields that contradict one another, or of which one has no effect beside the other, are refused with a sentence that
// names both. What the API server filled in by itself contradicts nothing.
func TestContradictionsAreRefused(t *testing.T) {
	const (
		minimum    = "failurePolicy.minReported is above the number of devices"
		limit      = "failurePolicy.maxFailed is above the number of devices"
		count      = "minReported has no effect where maxFailed is a count"
		settle     = "settleSeconds is above deadlineSeconds"
		settleNone = "settleSeconds has no effect without expectedDevices or devices"
		quiet      = "quietSeconds is above deadlineSeconds"
		quietNone  = "quietSeconds has no effect where expectedDevices, devices or task.devices is set"
	)
	made := func() *wrappers.FirmwareUpgrade { return upgradeNamed("a") }
	number := made().Expected(9).MaxFailed("5%", 0)
	number.Spec.FailurePolicy.MaxFailed = intstr.FromInt32(10)
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		want string // part of the message; empty: accepted
	}{
		"minReported of all expected":      {made().Expected(9).MaxFailed("5%", 9), ""},
		"minReported above expected":       {made().Expected(9).MaxFailed("5%", 10), minimum},
		"minReported of all listed":        {made().Devices("a", "b").MaxFailed("5%", 2), ""},
		"minReported above listed":         {made().Devices("a", "b").MaxFailed("5%", 3), minimum},
		"minReported of an unknown number": {made().MaxFailed("5%", 10_000_000), ""},
		"minReported beside a count":       {made().Expected(9).MaxFailed("5", 1), count},
		"no minReported beside a count":    {made().Expected(9).MaxFailed("5", 0), ""},
		"as many failures as expected":     {made().Expected(9).MaxFailed("9", 0), ""},
		"more failures than expected":      {made().Expected(9).MaxFailed("10", 0), limit},
		"more failures, as a number":       {number, limit},
		"more failures than listed":        {made().Devices("a", "b").MaxFailed("3", 0), limit},
		"100% of those expected":           {made().Expected(9).MaxFailed("100%", 0), ""},
		"a word as the limit":              {made().Expected(9).MaxFailed("few", 0), "maxFailed is a count"},

		"settle until the deadline":         {made().Expected(9).Settle(time.Hour).Deadline(time.Hour), ""},
		"settle beyond the deadline":        {made().Expected(9).Settle(time.Hour + time.Second).Deadline(time.Hour), settle},
		"settle beyond the usual deadline":  {made().Expected(9).Settle(49 * time.Hour), settle},
		"no settle":                         {made().Expected(9).Settle(0), ""},
		"the usual settle, shortest limit":  {made().Expected(9).Deadline(time.Minute), ""},
		"settle of an unknown number":       {made().Settle(time.Hour), settleNone},
		"no settle of an unknown number":    {made().Settle(0), ""},
		"settle of listed devices":          {made().Devices("a").Settle(time.Hour), ""},
		"quiet until the deadline":          {made().Quiet(time.Hour).Deadline(time.Hour), ""},
		"quiet beyond the deadline":         {made().Quiet(time.Hour + time.Second).Deadline(time.Hour), quiet},
		"quiet beyond the usual deadline":   {made().Quiet(49 * time.Hour), quiet},
		"the usual quiet, a short deadline": {made().Deadline(time.Hour), ""},
		"quiet beside a number":             {made().Expected(9).Quiet(time.Hour), quietNone},
		"quiet beside a list":               {made().Devices("a").Quiet(time.Hour), quietNone},
		"the usual quiet beside a number":   {made().Expected(9), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			checkRefusal(t, c.want, k8s.Create(t.Context(), c.fwu.Obj(), client.DryRunAll))
		})
	}
}

// withoutRules has the API server take every spec of the right shape, as a CRD of before did, until the returned
// function is called.
func withoutRules(t *testing.T) (restore func()) {
	t.Helper()
	scheme, err := harness.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(admin, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	key := client.ObjectKey{Name: "firmwareupgrades.fwupgrade.io"}
	if err := c.Get(t.Context(), key, crd); err != nil {
		t.Fatal(err)
	}
	schema := crd.Spec.Versions[0].Schema.DeepCopy()
	put := func(rules *apiextensionsv1.CustomResourceValidation) {
		t.Helper()
		if err := c.Get(t.Context(), key, crd); err != nil {
			t.Fatal(err)
		}
		crd.Spec.Versions[0].Schema = rules
		if err := c.Update(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
	}
	bare := schema.DeepCopy()
	dropRules(bare.OpenAPIV3Schema)
	put(bare)
	return func() { put(schema) }
}

// dropRules takes the CEL rules out of a schema.
func dropRules(schema *apiextensionsv1.JSONSchemaProps) {
	schema.XValidations = nil
	for name, property := range schema.Properties {
		dropRules(&property)
		schema.Properties[name] = property
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		dropRules(schema.Items.Schema)
	}
}

func serverVersion(t *testing.T) *version.Info {
	t.Helper()
	discovering, err := discovery.NewDiscoveryClientForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	info, err := discovering.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// What was stored before a rule came stays usable: the operator writes its status and its finalizer, people label it
// and change what is right; and they mend it where the rule lets them.
func TestStoredObjectsOutliveTheRules(t *testing.T) {
	if info := serverVersion(t); info.Minor == "31" {
		t.Skip("Kubernetes 1.31 applies rules of the spec, however old it is, to a status that is written")
	}
	restore := withoutRules(t)
	old := upgradeNamed("old").Target("1.6\n").Devices("a\n", "b").Settle(3 * time.Hour).Deadline(time.Hour).Obj()
	harness.Eventually(t, func() string { // the API server takes a moment to serve another schema
		if err := k8s.Create(t.Context(), old); err != nil {
			return err.Error()
		}
		return ""
	})
	restore()
	probe := upgradeNamed("probe").Target("1.6\n").Obj()
	harness.Eventually(t, func() string {
		if err := k8s.Create(t.Context(), probe.DeepCopy(), client.DryRunAll); err == nil {
			return "the rules are not served yet"
		}
		return ""
	})
	old.Status.Phase = v1alpha1.PhaseRunning
	if err := k8s.Status().Update(t.Context(), old); err != nil {
		t.Errorf("its status: %v", err)
	}
	for what, patch := range map[string]string{
		"a finalizer":       `{"metadata":{"finalizers":["fwupgrade.io/purge"]}}`,
		"no finalizer":      `{"metadata":{"finalizers":null}}`,
		"a label":           `{"metadata":{"labels":{"a":"b"}}}`,
		"all of it at once": `{"spec":{"targetVersion":"1.6","devices":["a","b"],"settleSeconds":60}}`,
	} {
		if err := k8s.Patch(t.Context(), old.DeepCopy(), mergePatch(patch), client.DryRunAll); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A change is judged as a whole where it touches what is wrong.
	changed := k8s.Patch(t.Context(), old.DeepCopy(), mergePatch(`{"spec":{"retainResultsSeconds":1}}`), client.DryRunAll)
	checkRefusal(t, "settleSeconds is above deadlineSeconds", changed)
}
