// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/local"
)

// TestCountsAreDoubted deletes slices by hand, looks as the page says, and restores them.
func TestCountsAreDoubted(t *testing.T) {
	w := start(t, local.Options{})
	w.declare(t, upgradeName, operationID, 60)
	plan := w.push(t, operationID, 60, 0.1)
	w.awaitCounts(t, upgradeName, 54, 6)
	w.write(t, "devices.txt", plan.DeviceID(0)+"\n")
	slices := &storage.ResultSliceList{}
	if err := w.k8s.List(t.Context(), slices, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	w.kubectl(t, "-n", operatorNamespace, "delete", "resultslices", "--all")
	w.kubectl(t, "-n", fleet, "wait", "--for=condition=Stalled", "fwu/"+upgradeName, "--timeout=1m")

	s := w.section(t, "Counts are doubted")
	s.run(t, "verify")
	for i := range slices.Items {
		slices.Items[i].ResourceVersion, slices.Items[i].UID = "", ""
		if err := w.k8s.Create(t.Context(), &slices.Items[i]); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, "--device")
	s.await(t, "conditions")
	w.awaitCounts(t, upgradeName, 54, 6)
}
