// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/wrappers"
)

func upgradeNamed(name string) *wrappers.FirmwareUpgrade {
	return wrappers.MakeFirmwareUpgrade(name, "default")
}

func TestDefaults(t *testing.T) {
	fwu := upgradeNamed("defaults").MaxFailed("5%", 0).Obj()
	fwu.Spec.FailurePolicy.MinReported = nil
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	want := upgradeNamed("defaults").Deadline(48*time.Hour).Settle(0).Quiet(24*time.Hour).Retain(30*24*time.Hour).MaxFailed("5%", 0).Obj().Spec
	if diff := cmp.Diff(want, fwu.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if got := fwu.Status.ObservedGeneration; got != -1 {
		t.Errorf("status.observedGeneration of an unseen object: want -1, got %d", got)
	}
}

func TestSpecIsValidated(t *testing.T) {
	long := strings.Repeat("x", 257)
	many := make([]string, 1001)
	for i := range many {
		many[i] = "d"
	}
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		want string // part of the message; empty: accepted
	}{
		"minimal":                  {fwu: upgradeNamed("a")},
		"no operationId":           {fwu: upgradeNamed("a").Operation(""), want: "spec.operationId"},
		"long operationId":         {fwu: upgradeNamed("a").Operation(long), want: "spec.operationId"},
		"long appId":               {fwu: upgradeNamed("a").App(long), want: "spec.appId"},
		"long targetVersion":       {fwu: upgradeNamed("a").Target(long), want: "spec.targetVersion"},
		"devices and expected":     {fwu: upgradeNamed("a").Devices("d").Expected(1), want: "set expectedDevices or devices, not both"},
		"no devices":               {fwu: upgradeNamed("a").Expected(0), want: "spec.expectedDevices"},
		"too many devices":         {fwu: upgradeNamed("a").Expected(10_000_001), want: "spec.expectedDevices"},
		"too many named devices":   {fwu: upgradeNamed("a").Devices(many...), want: "spec.devices"},
		"an empty device":          {fwu: upgradeNamed("a").Devices(""), want: "spec.devices[0]"},
		"a thousand named devices": {fwu: upgradeNamed("a").Devices(many[:1000]...)},
		"a count":                  {fwu: upgradeNamed("a").MaxFailed("20", 0)},
		"a percentage":             {fwu: upgradeNamed("a").MaxFailed("100%", 0)},
		"more than all":            {fwu: upgradeNamed("a").MaxFailed("101%", 0), want: "maxFailed is a count"},
		"a negative count":         {fwu: upgradeNamed("a").MaxFailed("-1", 0), want: "maxFailed is a count"},
		"a fraction":               {fwu: upgradeNamed("a").MaxFailed("0.5%", 0), want: "maxFailed is a count"},
		"a word":                   {fwu: upgradeNamed("a").MaxFailed("few", 0), want: "maxFailed is a count"},
		"a short deadline":         {fwu: upgradeNamed("a").Deadline(59 * time.Second), want: "spec.deadlineSeconds"},
		"no quiet":                 {fwu: upgradeNamed("a").Quiet(0), want: "spec.quietSeconds"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := k8s.Create(t.Context(), c.fwu.Obj(), client.DryRunAll)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("want a refusal with %q, got %v", c.want, err)
			}
		})
	}
}

// The ids can't be changed, nor taken away and set anew.
func TestIDsAreImmutable(t *testing.T) {
	with, without := upgradeNamed("with-app").App("x").Obj(), upgradeNamed("without-app").Obj()
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{with, without} {
		if err := k8s.Create(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
	}
	refused := map[string]struct {
		fwu   *v1alpha1.FirmwareUpgrade
		patch string
		want  string
	}{
		"another operationId": {with, `{"spec":{"operationId":"other"}}`, "operationId is immutable"},
		"no operationId":      {with, `{"spec":{"operationId":null}}`, "spec.operationId"},
		"another appId":       {with, `{"spec":{"appId":"y"}}`, "appId is immutable"},
		"appId taken away":    {with, `{"spec":{"appId":null}}`, "appId is immutable"},
		"appId added":         {without, `{"spec":{"appId":"x"}}`, "appId is immutable"},
		"spec taken away":     {with, `{"spec":null}`, "spec"},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			err := k8s.Patch(t.Context(), c.fwu.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(c.patch)))
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want a refusal with %q, got %v", c.want, err)
			}
		})
	}
	err := k8s.Patch(t.Context(), with.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"expectedDevices":3}}`)))
	if err != nil {
		t.Errorf("a change of something else: %v", err)
	}
}

func TestSelectableFields(t *testing.T) {
	if err := k8s.Create(t.Context(), upgradeNamed("selected").Operation("op-selected").Obj()); err != nil {
		t.Fatal(err)
	}
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := k8s.List(t.Context(), list, client.MatchingFields{v1alpha1.FieldOperationID: "op-selected"}); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Name != "selected" {
		t.Errorf("want one, got %d", len(list.Items))
	}
}
