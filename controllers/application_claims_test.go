// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// With --require-application the IoTApplications say who may claim what, and what is changed there holds at once: for
// those that name an application, those that name none, and for who gets a placeholder.
func TestRequireApplication(t *testing.T) {
	namespace := harness.NewNamespace(t, k8s)
	appID := "app-of-" + namespace
	result := reported("op-"+namespace, 1, storage.StateSucceeded, "")
	result.AppID = appID
	storeSlice(t, result)
	named := wrappers.MakeFirmwareUpgrade("named", namespace).App(appID).Operation(result.OperationID).Expected(1).Obj()
	unnamed := wrappers.MakeFirmwareUpgrade("unnamed", namespace).Operation("other-" + namespace).Obj()
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{named, unnamed} {
		if err := k8s.Create(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
	}
	startControllers(t, func(o *Options) { o.RequireApplication = true })
	awaitReason := func(fwu *v1alpha1.FirmwareUpgrade, want string) {
		t.Helper()
		harness.Eventually(t, func() string {
			if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
				return err.Error()
			}
			ready := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionReady)
			if ready == nil || ready.Reason != want {
				return fmt.Sprintf("%s: want Ready with the reason %s, got %+v", fwu.Name, want, ready)
			}
			return ""
		})
	}
	awaitPlaceholder := func(want int) {
		t.Helper()
		harness.Eventually(t, func() string {
			list := &v1alpha1.FirmwareUpgradeList{}
			if err := k8s.List(t.Context(), list, client.InNamespace("default")); err != nil {
				return err.Error()
			}
			got := 0
			for i := range list.Items {
				if list.Items[i].Spec.OperationID == result.OperationID {
					got++
				}
			}
			if got != want {
				return fmt.Sprintf("want %d placeholders, got %d", want, got)
			}
			return ""
		})
	}
	awaitReason(named, v1alpha1.ReasonNotPermitted)
	awaitReason(unnamed, v1alpha1.ReasonNotPermitted)
	awaitPlaceholder(1)

	app := newApplication("of-"+namespace, appID, namespace)
	if err := k8s.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(k8s.Delete(context.WithoutCancel(t.Context()), app)); err != nil {
			t.Error(err)
		}
	})
	awaitReason(named, v1alpha1.ReasonSucceeded)
	awaitReason(unnamed, v1alpha1.ReasonPending)
	awaitPlaceholder(0)

	// A younger one with the same appId rules nothing.
	younger := newApplication("younger-of-"+namespace, appID, "another-namespace")
	if err := k8s.Create(t.Context(), younger); err != nil {
		t.Fatal(err)
	}
	setNamespaces(t, app, "another-namespace")
	awaitReason(named, v1alpha1.ReasonNotPermitted)
	awaitReason(unnamed, v1alpha1.ReasonNotPermitted)
	setNamespaces(t, younger, namespace)
	awaitReason(unnamed, v1alpha1.ReasonNotPermitted)
	if err := k8s.Delete(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	awaitReason(named, v1alpha1.ReasonSucceeded)
	if err := k8s.Delete(t.Context(), younger); err != nil {
		t.Fatal(err)
	}
	awaitReason(named, v1alpha1.ReasonNotPermitted)
}

// setNamespaces changes which namespaces an IoTApplication lists.
func setNamespaces(t *testing.T, app *v1alpha1.IoTApplication, namespaces ...string) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(app), app); err != nil {
			return err
		}
		app.Spec.Namespaces = namespaces
		return k8s.Update(t.Context(), app)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// newApplication is an IoTApplication that connects nowhere.
func newApplication(name, appID string, namespaces ...string) *v1alpha1.IoTApplication {
	return &v1alpha1.IoTApplication{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.IoTApplicationSpec{
			AppID: appID, Namespaces: namespaces, CallsPerMinute: 60,
			Northbound: v1alpha1.Northbound{
				Endpoint: "https://iot.invalid:8743", CredentialsRef: v1alpha1.SecretReference{Name: "none"},
			},
		},
	}
}

// FirmwareUpgrades are looked at when it changes whether the platform can be asked, and not with everything else that
// is written of an IoTApplication.
func TestConnectionChanged(t *testing.T) {
	of := func(generation int64, connected, subscribed string) *v1alpha1.IoTApplication {
		app := &v1alpha1.IoTApplication{ObjectMeta: metav1.ObjectMeta{Generation: generation}}
		app.Status.Conditions = []metav1.Condition{
			{Type: v1alpha1.ConditionConnected, Reason: connected}, {Type: v1alpha1.ConditionSubscribed, Reason: subscribed},
		}
		return app
	}
	before := of(1, v1alpha1.ReasonTokenValid, v1alpha1.ReasonVerified)
	for name, c := range map[string]struct {
		after *v1alpha1.IoTApplication
		want  bool
	}{
		"nothing":      {before, false},
		"spec":         {of(2, v1alpha1.ReasonTokenValid, v1alpha1.ReasonVerified), true},
		"connection":   {of(1, v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonVerified), true},
		"subscription": {of(1, v1alpha1.ReasonTokenValid, v1alpha1.ReasonCallbackRefused), false},
	} {
		if got := connectionChanged(event.UpdateEvent{ObjectOld: before, ObjectNew: c.after}); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
