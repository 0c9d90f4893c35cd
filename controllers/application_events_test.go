// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// newReconciler makes a reconciler of an IoTApplication that is declared until the test ends, and whose host is not
// allowed.
func newReconciler(t *testing.T) (*applicationReconciler, *v1alpha1.IoTApplication, *clocktesting.FakeClock) {
	t.Helper()
	ns := harness.NewNamespace(t, k8s)
	app := newApplication("told-"+ns, "told-"+ns)
	if err := k8s.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k8s.Delete(context.WithoutCancel(t.Context()), app); err != nil {
			t.Error(err)
		}
	})
	clk := clocktesting.NewFakeClock(time.Now())
	r := &applicationReconciler{
		client: k8s, namespace: operatorNamespace, clock: clk, instance: "test",
		connections: &connections{clock: clk}, creations: newCreations(),
		reasons: map[string]map[string]heldReason{},
	}
	return r, app, clk
}

// toldAbout returns the reasons of the Events about an IoTApplication.
func toldAbout(t *testing.T, app *v1alpha1.IoTApplication) (reasons []string) {
	t.Helper()
	events := &eventsv1.EventList{}
	if err := k8s.List(t.Context(), events, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		if e.Regarding.UID == app.UID {
			reasons = append(reasons, e.Reason)
		}
	}
	slices.Sort(reasons)
	return reasons
}

// Who looks at an IoTApplication with an old cache tells nothing again: its status says so before it is told.
func TestOldCacheTellsNothingTwice(t *testing.T) {
	r, app, clk := newReconciler(t)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(app)}
	old := app.DeepCopy()
	if _, err := r.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	want := []string{v1alpha1.ReasonEndpointNotAllowed}
	if diff := cmp.Diff(want, toldAbout(t, app)); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}
	clk.Step(2 * time.Second)
	r.client = interceptor.NewClient(k8s, interceptor.Funcs{Get: func(
		_ context.Context, _ client.WithWatch, _ client.ObjectKey, into client.Object, _ ...client.GetOption,
	) error {
		old.DeepCopyInto(into.(*v1alpha1.IoTApplication))
		return nil
	}})
	if again, err := r.Reconcile(t.Context(), request); err != nil || again.RequeueAfter == 0 {
		t.Errorf("with an old cache: %+v, error %v", again, err)
	}
	if diff := cmp.Diff(want, toldAbout(t, app)); diff != "" {
		t.Errorf("told with an old cache (-want +got):\n%s", diff)
	}
}

// One good state that follows another is not told; a bad one is, and a good one after it.
func TestGoodStatesAreToldOnce(t *testing.T) {
	r, app, clk := newReconciler(t)
	for _, c := range []metav1.Condition{
		{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted},
		{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVerified},
		{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonCallbackRefused},
		{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVerified},
	} {
		clk.Step(time.Minute)
		c.Type, c.LastTransitionTime = v1alpha1.ConditionSubscribed, metav1.Time{Time: clk.Now()}
		app.Status.Conditions = []metav1.Condition{c}
		if _, err := r.announce(t.Context(), app, &app.Status); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{v1alpha1.ReasonCallbackRefused, v1alpha1.ConditionSubscribed, v1alpha1.ConditionSubscribed}
	if diff := cmp.Diff(want, toldAbout(t, app)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A trouble that comes again is told again, also while the condition stayed False; one that may pass has to last.
func TestReasonsAreToldEachTime(t *testing.T) {
	r, app, clk := newReconciler(t)
	for _, reason := range []string{
		v1alpha1.ReasonWrongCredentials, v1alpha1.ReasonUnreachable, v1alpha1.ReasonSecretNotFound,
		v1alpha1.ReasonWrongCredentials, v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonWrongCredentials,
	} {
		clk.Step(10 * time.Minute)
		app.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionConnected, Status: metav1.ConditionFalse, Reason: reason,
			LastTransitionTime: metav1.Time{Time: time.Unix(0, 0)},
		}}
		for range 2 { // the second time nothing is new
			if _, err := r.announce(t.Context(), app, &app.Status); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{
		v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonSecretNotFound,
		v1alpha1.ReasonWrongCredentials, v1alpha1.ReasonWrongCredentials, v1alpha1.ReasonWrongCredentials,
	}
	if diff := cmp.Diff(want, toldAbout(t, app)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
