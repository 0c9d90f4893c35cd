// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/wrappers"
)

// What Flux and everything else that reads kstatus makes of our conditions.
func TestKstatus(t *testing.T) {
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		seen tally.Summary
		want kstatus.Status
	}{
		"pending":                   {made().Expected(3), tally.Summary{}, kstatus.InProgressStatus},
		"running":                   {made().Expected(3), summary(1, 0, 0), kstatus.InProgressStatus},
		"running, policy broken":    {made().Expected(9).MaxFailed("1", 0), summary(1, 2, 0), kstatus.FailedStatus},
		"finished well":             {made().Expected(3), summary(3, 0, 0), kstatus.CurrentStatus},
		"finished within policy":    {made().Expected(3).MaxFailed("1", 0), summary(2, 1, 0), kstatus.CurrentStatus},
		"finished without a policy": {made().Expected(3), summary(2, 1, 0), kstatus.FailedStatus},
		"devices missing":           {made().Expected(3).Deadline(time.Minute), summary(2, 0, 0), kstatus.FailedStatus},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Obj()
			fwu.Status, _ = Compute(fwu, fwu.Status, Observation{Summary: c.seen, Now: last, Failures: tally.New()})
			checkKstatus(t, fwu, c.want)
		})
	}
	t.Run("not yet seen", func(t *testing.T) { checkKstatus(t, made().Obj(), kstatus.InProgressStatus) })
	t.Run("spec changed since", func(t *testing.T) {
		fwu := made().Expected(3).Obj()
		step(fwu, summary(3, 0, 0), last)
		fwu.Generation++
		checkKstatus(t, fwu, kstatus.InProgressStatus)
	})
}

func checkKstatus(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want kstatus.Status) {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(fwu)
	if err != nil {
		t.Fatal(err)
	}
	got, err := kstatus.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != want {
		t.Errorf("want %s, got %s: %s", want, got.Status, got.Message)
	}
}
