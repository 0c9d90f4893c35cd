// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// Whatever the pages of sub-tasks do while they are read, the counts are equal in the end.
func TestShiftingPages(t *testing.T) {
	w := start(t, northbound.Options{
		Devices: northbound.DeviceOptions{Fail: 0.3, UpgradeTime: 3 * time.Minute, Spread: 3 * time.Minute},
		Faults: northbound.Faults{
			PushLost:    northbound.Fault{Share: 0.4},
			PagesShift:  northbound.Fault{Share: 0.3},
			PagesRepeat: northbound.Fault{Share: 0.2},
			TotalSize:   true, NumbersAsStrings: true, ExpiresInAsString: true, TimeoutBeside: true,
		},
	})
	w.connect()
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	fwu, operation := w.upgrade("shifting", "", 500)
	truth, _ := w.platform.Truth(operation)
	if d := fwu.Status.Devices; d.Succeeded != int64(truth.Counts.Success) || d.Failed != int64(truth.Counts.Fail) {
		t.Errorf("counted are %+v, true is %+v", d, truth.Counts)
	}
	w.expectNothingAskedTwice(operation)
}

// expectNothingAskedTwice looks into the slices with results that were asked for: each device once.
func (w *world) expectNothingAskedTwice(operation string) {
	w.t.Helper()
	all := &storage.ResultSliceList{}
	if err := k8s.List(w.t.Context(), all); err != nil {
		w.t.Fatal(err)
	}
	rows := 0
	for _, slice := range all.Items {
		if !strings.HasPrefix(slice.Name, "polled-") {
			continue
		}
		for _, table := range slice.Tables {
			if table.OperationID == operation {
				rows += strings.Count(table.Rows, "\n") - 1
			}
		}
	}
	if lost := w.platform.Report().Pushes.Lost; rows > lost {
		w.t.Errorf("%d results were asked for and stored, %d pushes were lost", rows, lost)
	}
}

// Who knows the callback's URL can say that devices succeeded. The platform says otherwise: no gate opens.
func TestForged(t *testing.T) {
	w := start(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1, UpgradeTime: time.Minute}})
	w.connect()
	w.awaitDrift()
}

// awaitDrift forges pushes, and waits until that is known.
func (w *world) awaitDrift() *v1alpha1.FirmwareUpgrade {
	t := w.t
	t.Helper()
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	var ids []string
	for n := range 3 {
		ids = append(ids, fmt.Sprintf("device-%d", n))
	}
	operation := w.createTask(northbound.TaskSpec{Devices: ids})
	fwu := wrappers.MakeFirmwareUpgrade("forged", w.namespace).Operation(operation).App(w.app.Spec.AppID).
		Devices(ids...).Settle(0).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		body := fmt.Sprintf(`{"notifyType":"fwUpgradeResultNotify","appId":%q,"operationId":%q,"deviceId":%q,`+
			`"status":"SUCCESS","targetVersion":"1.6","curVersion":"1.6"}`, w.app.Spec.AppID, operation, id)
		response, err := http.Post(w.callbackURL(), "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("the forged push was answered %d", response.StatusCode)
		}
	}
	w.await(fwu, func() string {
		if meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionReady) {
			t.Fatal("it is Ready")
		}
		if fwu.Status.Phase != v1alpha1.PhaseStalled {
			return "it is not Stalled"
		}
		return synced(fwu, v1alpha1.ReasonDrift)
	})
	return fwu
}

// That the counts are wrong stays known while nobody can look again: while the application is suspended, and after a
// change of leader, which calls nobody for a minute. The last result came long ago by then, so that no patience is
// left. A new link asks for the results again before it says that this does not help.
func TestDriftStaysKnown(t *testing.T) {
	w := start(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1, UpgradeTime: time.Minute}})
	w.connect()
	fwu := w.awaitDrift()
	opened := w.watchGate(fwu)
	w.clock.step(20 * time.Minute)
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) { s.Suspend = true })
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionFalse, v1alpha1.ReasonSuspended)
	w.stop()
	w.registry = prometheus.NewRegistry()
	w.startControllers()
	w.expectLooked(fwu)
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) { s.Suspend, s.CallsPerMinute = false, 80 })
	w.stepOverQuiet()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	calls := w.platform.Report().Calls.Total
	harness.EventuallyWithin(t, time.Minute, func() string { // more than one round of the new link
		if w.platform.Report().Calls.Total < calls+6 {
			return "the platform is not asked again"
		}
		return ""
	})
	for _, was := range opened() {
		t.Errorf("the drift was forgotten: %s", was)
	}
}

// expectLooked waits until the controllers have looked at a FirmwareUpgrade since a change of its spec.
func (w *world) expectLooked(fwu *v1alpha1.FirmwareUpgrade) {
	w.t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"retainResultsSeconds":86400}}`))
	if err := k8s.Patch(w.t.Context(), fwu, patch); err != nil {
		w.t.Fatal(err)
	}
	w.await(fwu, func() string {
		if fwu.Status.ObservedGeneration != fwu.Generation {
			return "the controllers have not looked"
		}
		return ""
	})
}

// watchGate watches a FirmwareUpgrade whose counts are wrong, until it is asked for what else was said of it.
func (w *world) watchGate(fwu *v1alpha1.FirmwareUpgrade) (opened func() []string) {
	w.t.Helper()
	watcher, err := k8s.Watch(w.t.Context(), &v1alpha1.FirmwareUpgradeList{}, client.InNamespace(fwu.Namespace))
	if err != nil {
		w.t.Fatal(err)
	}
	var said []string
	uid := fwu.UID
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e := range watcher.ResultChan() {
			f, ok := e.Object.(*v1alpha1.FirmwareUpgrade)
			if !ok || f.UID != uid {
				continue
			}
			gate := f.Status.Conditions
			if !meta.IsStatusConditionFalse(gate, v1alpha1.ConditionSynced) ||
				meta.IsStatusConditionTrue(gate, v1alpha1.ConditionReady) ||
				meta.IsStatusConditionTrue(gate, v1alpha1.ConditionFinished) {
				said = append(said, fmt.Sprintf("%s %+v", f.Status.Phase, gate))
			}
		}
	}()
	return func() []string {
		watcher.Stop()
		<-ended
		return said
	}
}
