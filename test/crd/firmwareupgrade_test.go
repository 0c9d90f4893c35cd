// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	want := upgradeNamed("defaults").Deadline(48*time.Hour).Settle(time.Minute).Quiet(24*time.Hour).
		Retain(30*24*time.Hour).DeletionPolicy(v1alpha1.DeletionPolicyRetain).MaxFailed("5%", 0).Obj().Spec
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
		many[i] = fmt.Sprintf("d-%d", i)
	}
	placeholder := func() *wrappers.FirmwareUpgrade { return upgradeNamed("a").App("x").Placeholder() }
	const declared = "a placeholder is the operator's"
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		want string // part of the message; empty: accepted
	}{
		"minimal":                    {fwu: upgradeNamed("a")},
		"no operationId":             {fwu: upgradeNamed("a").Operation(""), want: "spec.operationId"},
		"long operationId":           {fwu: upgradeNamed("a").Operation(long), want: "spec.operationId"},
		"long appId":                 {fwu: upgradeNamed("a").App(long), want: "spec.appId"},
		"long targetVersion":         {fwu: upgradeNamed("a").Target(long), want: "spec.targetVersion"},
		"devices and expected":       {fwu: upgradeNamed("a").Devices("d").Expected(1), want: "set expectedDevices or devices"},
		"no devices":                 {fwu: upgradeNamed("a").Expected(0), want: "spec.expectedDevices"},
		"most devices":               {fwu: upgradeNamed("a").Expected(10_000_000)},
		"too many devices":           {fwu: upgradeNamed("a").Expected(10_000_001), want: "spec.expectedDevices"},
		"a thousand named devices":   {fwu: upgradeNamed("a").Devices(many[:1000]...)},
		"too many named devices":     {fwu: upgradeNamed("a").Devices(many...), want: "spec.devices"},
		"an empty device":            {fwu: upgradeNamed("a").Devices(""), want: "spec.devices[0]"},
		"a long device":              {fwu: upgradeNamed("a").Devices(long), want: "spec.devices[0]"},
		"a device twice":             {fwu: upgradeNamed("a").Devices("d", "e", "d"), want: `spec.devices[2]: Duplicate value: "d"`},
		"a count":                    {fwu: upgradeNamed("a").MaxFailed("20", 0)},
		"a percentage":               {fwu: upgradeNamed("a").MaxFailed("100%", 0)},
		"more than all":              {fwu: upgradeNamed("a").MaxFailed("101%", 0), want: "maxFailed is a count"},
		"a negative count":           {fwu: upgradeNamed("a").MaxFailed("-1", 0), want: "maxFailed is a count"},
		"a large count":              {fwu: upgradeNamed("a").MaxFailed("10000001", 0), want: "maxFailed is a count"},
		"a fraction":                 {fwu: upgradeNamed("a").MaxFailed("0.5%", 0), want: "maxFailed is a count"},
		"a word":                     {fwu: upgradeNamed("a").MaxFailed("few", 0), want: "maxFailed is a count"},
		"a negative minReported":     {fwu: upgradeNamed("a").MaxFailed("5%", -1), want: "spec.failurePolicy.minReported"},
		"a large minReported":        {fwu: upgradeNamed("a").MaxFailed("5%", 10_000_001), want: "spec.failurePolicy.minReported"},
		"a short deadline":           {fwu: upgradeNamed("a").Deadline(59 * time.Second), want: "spec.deadlineSeconds"},
		"a long deadline":            {fwu: upgradeNamed("a").Deadline(366 * 24 * time.Hour), want: "spec.deadlineSeconds"},
		"a negative settle":          {fwu: upgradeNamed("a").Settle(-time.Second), want: "spec.settleSeconds"},
		"a long settle":              {fwu: upgradeNamed("a").Settle(8 * 24 * time.Hour), want: "spec.settleSeconds"},
		"no quiet":                   {fwu: upgradeNamed("a").Quiet(0), want: "spec.quietSeconds"},
		"a long quiet":               {fwu: upgradeNamed("a").Quiet(366 * 24 * time.Hour), want: "spec.quietSeconds"},
		"a negative retention":       {fwu: upgradeNamed("a").Retain(-time.Second), want: "spec.retainResultsSeconds"},
		"a long retention":           {fwu: upgradeNamed("a").Retain(3651 * 24 * time.Hour), want: "spec.retainResultsSeconds"},
		"purged":                     {fwu: upgradeNamed("a").DeletionPolicy(v1alpha1.DeletionPolicyPurge)},
		"another deletion policy":    {fwu: upgradeNamed("a").DeletionPolicy("Orphan"), want: "spec.deletionPolicy"},
		"a placeholder":              {fwu: placeholder()},
		"a placeholder without app":  {fwu: upgradeNamed("a").Placeholder()},
		"a placeholder's target":     {fwu: placeholder().Target("1.6"), want: declared},
		"a placeholder's number":     {fwu: placeholder().Expected(3), want: declared},
		"a placeholder's devices":    {fwu: placeholder().Devices("d"), want: declared},
		"a placeholder's policy":     {fwu: placeholder().MaxFailed("3", 0), want: declared},
		"a placeholder to be purged": {fwu: placeholder().DeletionPolicy(v1alpha1.DeletionPolicyPurge), want: declared},
		"a placeholder to be kept":   {fwu: placeholder().DeletionPolicy(v1alpha1.DeletionPolicyRetain)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			checkRefusal(t, c.want, k8s.Create(t.Context(), c.fwu.Obj(), client.DryRunAll))
		})
	}
}

// The ids can't be changed, nor taken away and set anew; an application may be named once, later.
func TestSpecIsChanged(t *testing.T) {
	with := upgradeNamed("with-app").App("x")
	without := upgradeNamed("without-app")
	placeholder := upgradeNamed("placeholder").App("x").Placeholder()
	for _, fwu := range []*wrappers.FirmwareUpgrade{with, without, placeholder} {
		if err := k8s.Create(t.Context(), fwu.Obj()); err != nil {
			t.Fatal(err)
		}
	}
	const removed, once = "appId can't be removed", "placeholder can't be set on a FirmwareUpgrade that is declared"
	cases := map[string]struct {
		fwu   *wrappers.FirmwareUpgrade
		patch string
		want  string // part of the message; empty: accepted
	}{
		"another operationId":         {with, `{"spec":{"operationId":"other"}}`, "operationId is immutable: for another task create a FirmwareUpgrade with another name, such as one with the version in it"},
		"another one, replaced":       {with, `{"spec":{"operationId":"other"}}`, "kustomize.toolkit.fluxcd.io/force: enabled"},
		"no operationId":              {with, `{"spec":{"operationId":null}}`, "operationId can't be removed"},
		"a task in its place":         {with, `{"spec":{"operationId":null,"task":{"packageId":"p","devices":["d"],"createBefore":"2026-12-01T00:00:00Z"}}}`, "nor replaced by task"},
		"spec taken away":             {with, `{"spec":null}`, "spec"},
		"another appId":               {with, `{"spec":{"appId":"y"}}`, "appId is immutable"},
		"appId taken away":            {with, `{"spec":{"appId":null}}`, removed},
		"appId added":                 {without, `{"spec":{"appId":"x"}}`, ""},
		"something else":              {with, `{"spec":{"expectedDevices":3}}`, ""},
		"another deletion policy":     {with, `{"spec":{"deletionPolicy":"Purge"}}`, ""},
		"a declared one, placeholder": {with, `{"spec":{"placeholder":true}}`, once},
		"a declared one, declared":    {with, `{"spec":{"placeholder":false}}`, ""},
		"declared by taking away":     {placeholder, `{"spec":{"placeholder":null}}`, ""},
		"declared in place":           {placeholder, `{"spec":{"placeholder":false,"targetVersion":"1.6"}}`, ""},
		"declared by halves":          {placeholder, `{"spec":{"targetVersion":"1.6"}}`, "set placeholder to false to declare"},
		"kept as a placeholder":       {placeholder, `{"spec":{"retainResultsSeconds":1}}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			checkRefusal(t, c.want, k8s.Patch(t.Context(), c.fwu.Obj(), mergePatch(c.patch), client.DryRunAll))
		})
	}
	// What a dry run can't show: what was set once stays.
	added := without.Obj()
	if err := k8s.Patch(t.Context(), added, mergePatch(`{"spec":{"appId":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	checkRefusal(t, "appId is immutable", k8s.Patch(t.Context(), added, mergePatch(`{"spec":{"appId":"y"}}`)))
	checkRefusal(t, removed, k8s.Patch(t.Context(), added, mergePatch(`{"spec":{"appId":null}}`)))
	declared := placeholder.Obj()
	if err := k8s.Patch(t.Context(), declared, mergePatch(`{"spec":{"placeholder":false}}`)); err != nil {
		t.Fatal(err)
	}
	checkRefusal(t, once, k8s.Patch(t.Context(), declared, mergePatch(`{"spec":{"placeholder":true}}`)))
}

// Two who name devices by server-side apply add up, because the list is a set.
func TestDevicesAreASet(t *testing.T) {
	apply := func(owner string, devices ...any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "set", "namespace": "default"},
			"spec":     map[string]any{"operationId": "op", "devices": devices},
		}}
		u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FirmwareUpgrade"))
		err := k8s.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(owner))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	apply("one", "a", "b")
	got, _, err := unstructured.NestedStringSlice(apply("two", "b", "c").Object, "spec", "devices")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Errorf("spec.devices (-want +got):\n%s", diff)
	}
}

func TestStatusIsValidated(t *testing.T) {
	fwu := upgradeNamed("status").Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	const ready = `{"type":"Ready","status":"True","reason":"Succeeded","message":"",` +
		`"lastTransitionTime":"2026-01-01T00:00:00Z"}`
	cases := map[string]struct {
		status string
		want   string // part of the message; empty: accepted
	}{
		// An operator that knows fewer counts can be put back, and a status of before is good.
		"a count is missing":    {`{"devices":{"expected":3,"succeeded":1}}`, ""},
		"no counts":             {`{"devices":{}}`, ""},
		"a negative count":      {`{"devices":{"failed":-1}}`, "status.devices.failed"},
		"another phase":         {`{"phase":"Done"}`, "status.phase"},
		"a long progress":       {fmt.Sprintf(`{"progress":%q}`, strings.Repeat("1", 33)), "status.progress"},
		"a long reason":         {fmt.Sprintf(`{"reason":%q}`, strings.Repeat("r", 301)), "status.reason"},
		"a long cause":          {fmt.Sprintf(`{"topCause":%q}`, strings.Repeat("c", 257)), "status.topCause"},
		"a long application":    {fmt.Sprintf(`{"appId":%q}`, strings.Repeat("a", 257)), "status.appId"},
		"details as they come":  {`{"details":{"causes":[{"cause":"c","count":1}],"another":{"x":[1]}}}`, ""},
		"details as a list":     {`{"details":[]}`, "status.details"},
		"a record as it comes":  {`{"operatorState":{"sequence":3,"another":true}}`, ""},
		"a record that is text": {`{"operatorState":"x"}`, "status.operatorState"},
		"a condition twice":     {`{"conditions":[` + ready + `,` + ready + `]}`, "Duplicate value"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patch := mergePatch(`{"status":` + c.status + `}`)
			checkRefusal(t, c.want, k8s.Status().Patch(t.Context(), fwu.DeepCopy(), patch, client.DryRunAll))
		})
	}
}

// What has no schema comes back as it was written.
func TestDetailsAreKept(t *testing.T) {
	fwu := upgradeNamed("details").Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fwu.Status = v1alpha1.FirmwareUpgradeStatus{
		Details: v1alpha1.Details{
			Causes:         []v1alpha1.CauseCount{{Cause: "Invalid URI", Count: 2, Devices: []string{"d", "e"}}},
			FailedDevices:  []v1alpha1.FailedDevice{{DeviceID: "d", Cause: "Invalid URI", ReceiveTime: metav1.NewTime(at)}},
			MissingDevices: []string{"m"},
		},
		OperatorState: v1alpha1.OperatorState{
			Announced: v1alpha1.Announced{Started: true, Failures: 2, FailuresTime: new(metav1.NewTime(at))},
			Sequence:  4,
			Outbox: []v1alpha1.OutboxEvent{{
				Type: "Warning", Reason: "DeviceFailed", Note: "d failed", Failures: 1, PlanTime: metav1.NewMicroTime(at),
			}},
		},
	}
	want := fwu.Status.DeepCopy()
	if err := k8s.Status().Update(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	got := &v1alpha1.FirmwareUpgrade{}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), got); err != nil {
		t.Fatal(err)
	}
	got.Status.ObservedGeneration = want.ObservedGeneration // defaulted where it is not written
	if diff := cmp.Diff(*want, got.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}
