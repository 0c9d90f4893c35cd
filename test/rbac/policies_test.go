// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// Beginnings of what the policies about the two accounts say.
const (
	webhookRefusal     = "the webhook stores "
	controllersRefusal = "the controllers "
)

// as returns a client with the rights of one of the operator's accounts.
func as(t *testing.T, account string) client.Client {
	t.Helper()
	config, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, account)
	must(t, err)
	c, err := client.New(config, client.Options{Scheme: k8s.Scheme()})
	must(t, err)
	return c
}

// isRefused says whether a policy refused something by such a message: as Forbidden, which says that it is no fault of
// what a sender pushed.
func isRefused(err error, message string) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), message)
}

// awaitPolicy waits until the API server heeds a policy that was installed a moment ago.
func awaitPolicy(t *testing.T, message string, attempt func() error) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := attempt(); !isRefused(err, message) {
			return "not refused by the policy"
		}
		return ""
	})
}

// received is a slice as the webhook makes them, with one result and one notification that could not be used.
func received() *storage.ResultSlice {
	return &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, GenerateName: "r-"},
		Tables: []storage.ResultTable{{
			OperationID: "op", ResultFields: storage.ResultFields{State: storage.StateSucceeded},
			Rows: "deviceId,receiveTime\nd,1\n",
		}},
		Rejected: []storage.RejectedNotification{{
			ReceiveTime: metav1.NowMicro(), Reason: "no JSON", Body: "x", ContentEncoding: "gzip", BodyBytes: 5000,
		}},
	}
}

// Whoever takes the webhook over can invent results. He can't have any deleted: neither by an order to purge, nor by a
// slice that compaction takes for its own; nor can he make one that nobody gets rid of.
func TestWebhookStoresResultsOnly(t *testing.T) {
	webhook, controllers := as(t, webhookAccount), as(t, controllersAccount)
	release := []storage.Release{{AppID: "app", OperationID: "op", ReleaseTime: metav1.NowMicro()}}
	named := func(name string) func(*storage.ResultSlice) {
		return func(s *storage.ResultSlice) { s.Name, s.GenerateName = name, "" }
	}
	awaitPolicy(t, webhookRefusal, func() error {
		slice := received()
		slice.Releases = release
		return webhook.Create(t.Context(), slice, client.DryRunAll)
	})
	for what, change := range map[string]func(*storage.ResultSlice){
		"a release": func(s *storage.ResultSlice) { s.Releases = release },
		"a purge": func(s *storage.ResultSlice) {
			*s = storage.ResultSlice{ObjectMeta: s.ObjectMeta, Releases: release[:1:1]}
			s.Releases[0].Purge = storage.PurgeDue
		},
		"no name but one of compaction": func(s *storage.ResultSlice) { s.GenerateName = "c-" },
		"a name of compaction":          named("c-00000000000000000000000000000000"),
		"a name of a release":           named("release-1-1"),
		"a name of a purge":             named("intended-purge-1-1"),
		"another name":                  named("slice-r-1"),
		"the label of compaction": func(s *storage.ResultSlice) {
			s.Labels = map[string]string{storage.LabelTask: "x"}
		},
		"a finalizer": func(s *storage.ResultSlice) { s.Finalizers = []string{"example.com/for-ever"} },
		"an owner": func(s *storage.ResultSlice) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}}
		},
	} {
		slice := received()
		change(slice)
		if err := webhook.Create(t.Context(), slice.DeepCopy()); !isRefused(err, webhookRefusal) {
			t.Errorf("the webhook makes %s: want a refusal, got %v", what, err)
		}
		// It is the policy that refuses, and only the webhook.
		if err := controllers.Create(t.Context(), slice, client.DryRunAll); err != nil {
			t.Errorf("the controllers make %s: %v", what, err)
		}
	}
	for what, slice := range map[string]*storage.ResultSlice{
		"what was received":      received(),
		"results alone":          {ObjectMeta: received().ObjectMeta, Tables: received().Tables},
		"rejected notifications": {ObjectMeta: received().ObjectMeta, Rejected: received().Rejected},
		"what something else has labelled": {
			ObjectMeta: metav1.ObjectMeta{
				Namespace: operatorNamespace, GenerateName: "r-", Labels: map[string]string{"a": "b"},
				Annotations: map[string]string{"a": "b"},
			},
			Tables: received().Tables,
		},
	} {
		if err := webhook.Create(t.Context(), slice); err != nil {
			t.Errorf("the webhook stores %s: %v", what, err)
		}
	}
	// The look at the start, whether storing works.
	trial := &storage.ResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, GenerateName: "preflight-"}}
	if err := webhook.Create(t.Context(), trial, client.DryRunAll); err != nil {
		t.Errorf("the webhook's trial: %v", err)
	}
}

// Of somebody's FirmwareUpgrade the controllers write the status and their own finalizer.
func TestControllersChangeTheirFinalizerOnly(t *testing.T) {
	controllers := as(t, controllersAccount)
	ns := harness.NewNamespace(t, k8s)
	const others, another = "example.com/others", "example.com/another"
	fwu := wrappers.MakeFirmwareUpgrade("someones", ns).Operation("op").DeletionPolicy(v1alpha1.DeletionPolicyPurge).Obj()
	fwu.Labels, fwu.Annotations = map[string]string{"a": "b"}, map[string]string{"a": "b"}
	fwu.Finalizers = []string{others}
	for i := range 1000 { // comparing the largest spec costs no more than a policy may
		fwu.Spec.Devices = append(fwu.Spec.Devices, fmt.Sprintf("%0256d", i))
	}
	must(t, k8s.Create(t.Context(), fwu))
	patch := func(change func(*v1alpha1.FirmwareUpgrade), options ...client.PatchOption) error {
		changed := fwu.DeepCopy()
		change(changed)
		return controllers.Patch(t.Context(), changed, client.MergeFrom(fwu), options...)
	}
	finalizers := func(all ...string) func(*v1alpha1.FirmwareUpgrade) {
		return func(fwu *v1alpha1.FirmwareUpgrade) { fwu.Finalizers = all }
	}
	awaitPolicy(t, controllersRefusal, func() error { return patch(finalizers(), client.DryRunAll) })
	for what, change := range map[string]func(*v1alpha1.FirmwareUpgrade){
		"the spec": func(fwu *v1alpha1.FirmwareUpgrade) { fwu.Spec.DeletionPolicy = v1alpha1.DeletionPolicyRetain },
		"what the spec leaves out": func(fwu *v1alpha1.FirmwareUpgrade) {
			fwu.Spec.TargetVersion = "2"
		},
		"a label":         func(fwu *v1alpha1.FirmwareUpgrade) { fwu.Labels["a"] = "c" },
		"the labels":      func(fwu *v1alpha1.FirmwareUpgrade) { fwu.Labels = nil },
		"an annotation":   func(fwu *v1alpha1.FirmwareUpgrade) { fwu.Annotations["b"] = "b" },
		"the annotations": func(fwu *v1alpha1.FirmwareUpgrade) { fwu.Annotations = nil },
		"an owner, so that the garbage collector deletes it": func(fwu *v1alpha1.FirmwareUpgrade) {
			fwu.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}}
		},
		"another finalizer in":               finalizers(others, another),
		"somebody's finalizer out":           finalizers(),
		"its own for somebody's finalizer":   finalizers(v1alpha1.FinalizerPurge),
		"a finalizer that begins as its own": finalizers(others, v1alpha1.FinalizerPurge+"d"),
	} {
		if err := patch(change); !isRefused(err, controllersRefusal) {
			t.Errorf("the controllers change %s: want a refusal, got %v", what, err)
		}
	}
	for _, step := range [][]string{{others, v1alpha1.FinalizerPurge}, {v1alpha1.FinalizerPurge, others}, {others}} {
		if err := patch(finalizers(step...)); err != nil {
			t.Errorf("the controllers write the finalizers %q: %v", step, err)
		}
		must(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu))
	}
	// With the status nothing else is written.
	changed := fwu.DeepCopy()
	changed.Labels, changed.Finalizers, changed.Spec.TargetVersion = nil, nil, "3"
	must(t, controllers.Status().Update(t.Context(), changed))
	if changed.Spec.TargetVersion == "3" || len(changed.Labels) == 0 || len(changed.Finalizers) == 0 {
		t.Errorf("the controllers write with the status: %v %q", changed.ObjectMeta, changed.Spec.TargetVersion)
	}
	must(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu))
	fwu.Finalizers, fwu.Spec.TargetVersion = nil, "2"
	if err := k8s.Update(t.Context(), fwu); err != nil {
		t.Errorf("whose it is changes it: %v", err)
	}
}

// The controllers make and delete placeholders, in whose namespace others may have FirmwareUpgrades, too.
func TestControllersMakeAndDeletePlaceholdersOnly(t *testing.T) {
	controllers := as(t, controllersAccount)
	declared := wrappers.MakeFirmwareUpgrade("declared-there", placeholderNamespace).Operation("declared").Obj()
	awaitPolicy(t, controllersRefusal, func() error {
		return controllers.Create(t.Context(), declared.DeepCopy(), client.DryRunAll)
	})
	must(t, k8s.Create(t.Context(), declared))
	if err := controllers.Delete(t.Context(), declared); !isRefused(err, controllersRefusal) {
		t.Errorf("the controllers delete what somebody declared: want a refusal, got %v", err)
	}
	must(t, k8s.Delete(t.Context(), declared))

	placeholder := wrappers.MakeFirmwareUpgrade("placeholder-1", placeholderNamespace).Operation("op").App("x").
		Placeholder().Obj()
	if err := controllers.Create(t.Context(), placeholder); err != nil {
		t.Errorf("the controllers make a placeholder: %v", err)
	}
	if err := controllers.Delete(t.Context(), placeholder); err != nil {
		t.Errorf("the controllers delete a placeholder: %v", err)
	}

	// One that somebody declares in place meanwhile is not the one that they saw: a conflict, and no refusal.
	placeholder.ResourceVersion, placeholder.UID = "", ""
	must(t, controllers.Create(t.Context(), placeholder))
	seen := client.Preconditions{UID: &placeholder.UID, ResourceVersion: &placeholder.ResourceVersion}
	edited := placeholder.DeepCopy()
	edited.Spec.Placeholder = false
	must(t, k8s.Update(t.Context(), edited))
	if err := controllers.Delete(t.Context(), placeholder, seen); !apierrors.IsConflict(err) {
		t.Errorf("the controllers delete what was a placeholder: want a conflict, got %v", err)
	}
	must(t, k8s.Delete(t.Context(), edited))
}
