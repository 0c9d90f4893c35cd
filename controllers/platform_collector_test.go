// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// Which IoTApplications are told of, and by how much the counts differ.
func TestPlatformCollector(t *testing.T) {
	app := func(name string, status metav1.ConditionStatus, suspended bool) v1alpha1.IoTApplication {
		a := v1alpha1.IoTApplication{ObjectMeta: metav1.ObjectMeta{Name: name}}
		a.Spec.Suspend = suspended
		if status != "" {
			a.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status}}
		}
		return a
	}
	var names []string
	for _, a := range notReady([]v1alpha1.IoTApplication{
		app("d-waits", metav1.ConditionUnknown, false), app("new", "", false), app("ready", metav1.ConditionTrue, false),
		app("b-broken", metav1.ConditionFalse, false), app("suspended", metav1.ConditionFalse, true),
	}) {
		names = append(names, a.Name)
	}
	if diff := cmp.Diff([]string{"b-broken", "d-waits"}, names); diff != "" {
		t.Errorf("not Ready (-want +got):\n%s", diff)
	}

	upgrade := func(synced metav1.ConditionStatus, platform *v1alpha1.PlatformStatus) v1alpha1.FirmwareUpgrade {
		f := v1alpha1.FirmwareUpgrade{}
		f.Status.Devices = v1alpha1.DeviceCounts{Succeeded: 10, Failed: 2}
		f.Status.Platform = platform
		f.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSynced, Status: synced}}
		return f
	}
	archived := upgrade(metav1.ConditionFalse, &v1alpha1.PlatformStatus{Succeeded: 99})
	archived.Status.CompletionTime = &metav1.Time{Time: time.Unix(1, 0)}
	archived.Status.ArchiveTime = archived.Status.CompletionTime
	got := drift([]v1alpha1.FirmwareUpgrade{
		upgrade(metav1.ConditionFalse, &v1alpha1.PlatformStatus{Succeeded: 15, Failed: 2, Stopped: 1}),
		upgrade(metav1.ConditionFalse, &v1alpha1.PlatformStatus{Succeeded: 9, Stopped: 5}),
		upgrade(metav1.ConditionUnknown, &v1alpha1.PlatformStatus{Succeeded: 99}),
		upgrade(metav1.ConditionTrue, &v1alpha1.PlatformStatus{Succeeded: 10, Failed: 2}),
		upgrade(metav1.ConditionFalse, nil),
		archived,
		{},
	})
	if want := int64(5 + 3); got != want {
		t.Errorf("the counts differ by %d devices, want %d", got, want)
	}
}
