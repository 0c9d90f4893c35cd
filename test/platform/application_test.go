// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

// An application that is declared is subscribed; one whose callback changes is subscribed anew.
func TestSubscription(t *testing.T) {
	w := start(t, northbound.Options{Faults: northbound.Faults{EchoCallbackURL: true}})
	w.connect()
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	w.awaitApp(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	before := w.app.Status.Subscriptions
	if len(before) != 1 || before[0].Notification != v1alpha1.NotificationResult {
		t.Fatalf("subscriptions: %+v", before)
	}
	w.patchSecret("callback-url", w.callbackURL()+"/again")
	harness.EventuallyWithin(t, 2*time.Minute, func() string { // Secrets are read every minute
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil {
			return err.Error()
		}
		if s := w.app.Status.Subscriptions; len(s) != 1 || s[0].SecretVersion == before[0].SecretVersion {
			return "it is not subscribed anew"
		}
		return ""
	})
	events := &eventsv1.EventList{}
	if err := k8s.List(t.Context(), events, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, e := range events.Items {
		if e.Regarding.UID == w.app.UID {
			told[e.Reason] = true
		}
	}
	if !told["Connected"] || !told["Subscribed"] {
		t.Errorf("told: %v", told)
	}
}

func TestWrongCredentials(t *testing.T) {
	w := start(t, northbound.Options{})
	w.connect()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	w.patchSecret("secret", "not-the-secret")
	w.platform.RevokeToken()
	w.lookAgain()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionFalse, v1alpha1.ReasonWrongCredentials)
	w.patchSecret("secret", w.platform.Secret())
	w.lookAgain()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
}
