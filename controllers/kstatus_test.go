// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
	"fwupgrade.io/operator/test/wrappers"
)

// What Flux and everything else that reads kstatus makes of our conditions.
func TestKstatus(t *testing.T) {
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		seen upgrade.Summary
		want status.Status
	}{
		"pending":                   {made().Expected(3), upgrade.Summary{}, status.InProgressStatus},
		"running":                   {made().Expected(3), summary(1, 0, 0), status.InProgressStatus},
		"running, policy broken":    {made().Expected(9).MaxFailed("1", 0), summary(1, 2, 0), status.FailedStatus},
		"finished well":             {made().Expected(3), summary(3, 0, 0), status.CurrentStatus},
		"finished within policy":    {made().Expected(3).MaxFailed("1", 0), summary(2, 1, 0), status.CurrentStatus},
		"finished without a policy": {made().Expected(3), summary(2, 1, 0), status.FailedStatus},
		"devices missing":           {made().Expected(3).Deadline(time.Minute), summary(2, 0, 0), status.FailedStatus},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Obj()
			fwu.Status, _ = computeStatus(fwu, observation{summary: c.seen, now: last})
			checkKstatus(t, fwu, c.want)
		})
	}
	t.Run("not yet seen", func(t *testing.T) { checkKstatus(t, made().Obj(), status.InProgressStatus) })
	t.Run("spec changed since", func(t *testing.T) {
		fwu := made().Expected(3).Obj()
		step(fwu, summary(3, 0, 0), last)
		fwu.Generation++
		checkKstatus(t, fwu, status.InProgressStatus)
	})
}

func checkKstatus(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want status.Status) {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(fwu)
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != want {
		t.Errorf("want %s, got %s: %s", want, got.Status, got.Message)
	}
}
