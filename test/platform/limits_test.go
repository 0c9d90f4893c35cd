// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/wrappers"
)

// In no minute are more calls made than the application may make, also when another process comes to lead, or the
// IoTApplication is renamed. Nothing is sent that is not in the platform's documents, and no token twice that has
// ended.
func TestLimits(t *testing.T) {
	const allowed = 20
	w := start(t, northbound.Options{
		CallsPerMinute: northbound.DefaultCallsPerMinute,
		Devices:        northbound.DeviceOptions{Fail: 0.1, UpgradeTime: time.Hour},
		Faults:         northbound.Faults{PushLost: northbound.Fault{Share: 0.5}},
	})
	w.connect(func(app *v1alpha1.IoTApplication) { app.Spec.CallsPerMinute = allowed })
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	var last *v1alpha1.FirmwareUpgrade
	for _, name := range []string{"a", "b", "c", "d"} {
		operation := w.createTask(northbound.TaskSpec{Count: 10})
		last = wrappers.MakeFirmwareUpgrade(name, w.namespace).Operation(operation).Settle(0).Obj()
		if err := k8s.Create(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	w.leadAnew()
	w.await(last, func() string { return synced(last, v1alpha1.ReasonCountsEqual) })
	if err := k8s.Delete(t.Context(), w.app); err != nil {
		t.Fatal(err)
	}
	renamed := &v1alpha1.IoTApplication{
		ObjectMeta: metav1.ObjectMeta{Name: w.app.Name + "-renamed"}, Spec: *w.app.Spec.DeepCopy(),
	}
	w.declare(renamed)
	w.stepOverQuiet()
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	calls := w.platform.Report().Calls
	if calls.MaxPerMinute > allowed {
		t.Errorf("%d calls in a minute, %d are allowed", calls.MaxPerMinute, allowed)
	}
	if calls.Total <= 5 || calls.StaleTokenAgain > 0 || calls.Beyond > 0 || calls.Throttled > 0 {
		t.Errorf("%+v", calls)
	}
}

// Somebody else who logs in again and again is noticed, and not fought.
func TestContention(t *testing.T) {
	w := start(t, northbound.Options{})
	w.connect()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	operation := w.createTask(northbound.TaskSpec{Count: 10, StartsIn: northbound.Duration(time.Hour)})
	fwu := wrappers.MakeFirmwareUpgrade("contended", w.namespace).Operation(operation).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 120 {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
				w.platform.RevokeToken()
			}
		}
	}()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionFalse, v1alpha1.ReasonTokenContended)
	close(stop)
	<-ended
	ours := 0
	for _, login := range w.platform.Report().Logins {
		if !login.Other {
			ours++
		}
	}
	if ours > 5 {
		t.Errorf("%d logins of ours", ours)
	}
}
