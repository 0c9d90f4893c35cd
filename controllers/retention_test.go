// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// What a FirmwareUpgrade has counted is kept also while no IoTApplication lets it claim that, as where one is replaced;
// what one merely names that may not claim it is kept as what nobody claims.
func TestWhatWasCountedIsKept(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	for name, c := range map[string]struct {
		status v1alpha1.FirmwareUpgradeStatus
		appID  string
		kept   bool
	}{
		"counted":         {v1alpha1.FirmwareUpgradeStatus{AppID: "app", StartTime: &now}, "app", true},
		"counted-another": {v1alpha1.FirmwareUpgradeStatus{AppID: "other", StartTime: &now}, "app", false},
		"named":           {v1alpha1.FirmwareUpgradeStatus{AppID: "app"}, "app", false},
		"archived": {v1alpha1.FirmwareUpgradeStatus{
			AppID: "app", StartTime: &now, CompletionTime: &now, ArchiveTime: &now,
		}, "app", false},
	} {
		t.Run(name, func(t *testing.T) {
			fwu := create(t, wrappers.MakeFirmwareUpgrade(name, ns).Operation(name+"-"+ns).Expected(1))
			fwu.Status = c.status
			fwu.Status.ObservedGeneration = fwu.Generation
			if err := k8s.Status().Update(t.Context(), fwu); err != nil {
				t.Fatal(err)
			}
			cached := cachedClient(t)
			until := keepUntil(cached, claim.Rules{Applications: applicationClaims{cached}}, time.Hour)
			touched := now.Add(-30 * 24 * time.Hour)
			want := touched.Add(time.Hour)
			if c.kept {
				want = time.Time{}
			}
			task := result.Task{AppID: c.appID, OperationID: fwu.Spec.OperationID}
			got, err := until(t.Context(), task, touched)
			if err != nil || !got.Equal(want) {
				t.Errorf("kept until %s, not %s; error %v", got, want, err)
			}
			if err := k8s.Delete(t.Context(), fwu); err != nil {
				t.Fatal(err)
			}
		})
	}
}
