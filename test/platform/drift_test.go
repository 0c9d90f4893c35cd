// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
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
	w.connect(func(app *v1alpha1.IoTApplication) { app.Spec.CallsPerMinute = 100 })
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	operation := w.createTask(northbound.TaskSpec{Count: 500})
	fwu := wrappers.MakeFirmwareUpgrade("shifting", w.namespace).Operation(operation).Settle(0).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	w.await(fwu, func() string {
		if !meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionFinished) {
			return "it has not finished"
		}
		return synced(fwu, v1alpha1.ReasonCountsEqual)
	})
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
		response, err := http.Post(w.callbackURL(), "application/json", strings.NewReader(body)) //nolint:noctx // A test's.
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
}
