// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// expectStates holds which of Ready, Reconciling and Stalled are True.
func (w *world) expectStates(want ...string) {
	w.t.Helper()
	harness.Eventually(w.t, func() string {
		if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil {
			return err.Error()
		}
		got := []string{}
		for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
			if meta.IsStatusConditionTrue(w.app.Status.Conditions, kind) {
				got = append(got, kind)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			return "True are " + strings.Join(got, " ") + ", not " + strings.Join(want, " ")
		}
		return ""
	})
}

// updateSpec changes the spec of the application.
func (w *world) updateSpec(change func(*v1alpha1.IoTApplicationSpec)) {
	w.t.Helper()
	harness.Eventually(w.t, func() string {
		if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil {
			return err.Error()
		}
		change(&w.app.Spec)
		if err := k8s.Update(w.t.Context(), w.app); err != nil {
			return err.Error()
		}
		return ""
	})
}

// A callback that the platform refuses is said without its URL, and is taken when it was corrected.
func TestCallbackRefused(t *testing.T) {
	w := start(t, northbound.Options{Faults: northbound.Faults{EchoCallbackURL: true}})
	refused := "https://receiver.example.com:443/v1.0.0/messageReceiver/" + secret // the platform can't reach it
	w.connect(func(app *v1alpha1.IoTApplication) {
		of := &corev1.Secret{}
		if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: app.Name}, of); err != nil {
			t.Fatal(err)
		}
		w.keepSecret(map[string]string{"callback-url": refused})
		of.Data["callback-url"] = []byte(refused)
		if err := k8s.Update(t.Context(), of); err != nil {
			t.Fatal(err)
		}
	})
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionFalse, v1alpha1.ReasonCallbackRefused)
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	w.expectStates(v1alpha1.ConditionStalled)
	text, err := json.Marshal(w.app.Status)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"receiver.example.com", "messageReceiver", secret} {
		if strings.Contains(string(text), part) || strings.Contains(logged.String(), "receiver.example.com") {
			t.Errorf("the callback is shown: %s", text)
		}
	}
	if r := w.platform.Report(); r.Subscriptions.Made != 0 || r.Subscriptions.Refused == 0 {
		t.Errorf("%+v", r.Subscriptions)
	}
	w.patchSecret("callback-url", w.callbackURL())
	w.lookAgain()
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	w.expectStates(v1alpha1.ConditionReady)
}

// Where every push is lost, results are asked for all the same, and it is said that the callback does not work. It is
// said no more when a push came.
func TestPushesMissing(t *testing.T) {
	w := start(t, northbound.Options{
		Devices: northbound.DeviceOptions{Fail: 0.2, UpgradeTime: time.Minute},
		Faults:  northbound.Faults{PushLost: northbound.Fault{Share: 1}},
	})
	// With so few calls nothing is asked for sooner than its push comes.
	w.connect(func(app *v1alpha1.IoTApplication) { app.Spec.CallsPerMinute = 90 })
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	if fwu, _ := w.upgrade("all-lost", w.app.Spec.AppID, 20); fwu.Status.Platform.Repaired != 20 {
		t.Errorf("%+v", fwu.Status.Platform)
	}
	// Half a minute is as much of 15 minutes as a round here is of one of two. It is not stepped over: the webhook goes by
	// the real time, and its pushes would seem to be older than what was asked for.
	w.awaitApp(v1alpha1.ConditionReceiving, metav1.ConditionFalse, v1alpha1.ReasonPushesMissing)
	w.expectStates(v1alpha1.ConditionStalled)
	if err := w.platform.SetFaults(northbound.Faults{}); err != nil {
		t.Fatal(err)
	}
	if fwu, _ := w.upgrade("none-lost", w.app.Spec.AppID, 20); fwu.Status.Platform.Repaired != 0 {
		t.Errorf("%+v", fwu.Status.Platform)
	}
	w.awaitApp(v1alpha1.ConditionReceiving, metav1.ConditionTrue, "")
	w.expectStates(v1alpha1.ConditionReady)
}

// An application that is suspended is not called at all, and goes on where it was.
func TestSuspend(t *testing.T) {
	w := start(t, northbound.Options{})
	w.connect()
	operation := w.createTask(northbound.TaskSpec{Count: 3, StartsIn: northbound.Duration(time.Hour)})
	fwu := wrappers.MakeFirmwareUpgrade("suspended", w.namespace).Operation(operation).App(w.app.Spec.AppID).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	w.await(fwu, func() string { return synced(fwu, v1alpha1.ReasonCountsEqual) })
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) { s.Suspend = true })
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionFalse, v1alpha1.ReasonSuspended)
	w.expectStates()
	calls := w.platform.Report().Calls.Total
	time.Sleep(3 * roundPeriod)
	if got := w.platform.Report().Calls.Total; got != calls {
		t.Errorf("%d calls of an application that is suspended", got-calls)
	}
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) { s.Suspend = false })
	w.stepOverQuiet()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	w.awaitApp(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
}

// Of two IoTApplications with one appId the older one is connected; the other one takes over when it goes. Two logins
// would end each other's tokens.
func TestDuplicateApplication(t *testing.T) {
	w := start(t, northbound.Options{})
	w.connect()
	w.awaitApp(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	older, younger := w.app, &v1alpha1.IoTApplication{
		ObjectMeta: metav1.ObjectMeta{Name: w.app.Name + "-again"}, Spec: *w.app.Spec.DeepCopy(),
	}
	time.Sleep(time.Second) // creation times are in whole seconds
	w.declare(younger)
	said := w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionFalse, v1alpha1.ReasonDuplicateApplication)
	if !strings.Contains(said.Message, older.Name) {
		t.Errorf("it does not say which one has the application: %s", said.Message)
	}
	w.expectStates(v1alpha1.ConditionStalled)
	w.app = older
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	if got := w.platform.Report().Calls.Logins; got != 1 {
		t.Errorf("%d logins", got)
	}
	if err := k8s.Delete(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	w.app = younger
	w.stepOverQuiet()
	w.awaitApp(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
}

// Nobody is called whom --platform-hosts does not list.
func TestEndpointNotAllowed(t *testing.T) {
	w := start(t, northbound.Options{})
	other, err := northbound.Start(t.Context(), northbound.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	w.connect(func(app *v1alpha1.IoTApplication) { app.Spec.Northbound.Endpoint = other.URL() })
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionFalse, v1alpha1.ReasonEndpointNotAllowed)
	w.expectStates(v1alpha1.ConditionStalled)
	if calls := w.platform.Report().Calls.Total + other.Report().Calls.Total; calls != 0 {
		t.Errorf("%d calls", calls)
	}
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) { s.Northbound.Endpoint = w.platform.URL() })
	w.stepOverQuiet()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	if calls := other.Report().Calls.Total; calls != 0 {
		t.Errorf("%d calls of a host that is not listed", calls)
	}
}
