// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// StoreResults stores results in one slice, as the webhook does.
func StoreResults(t *testing.T, c client.Client, namespace string, results ...result.Result) *storage.ResultSlice {
	t.Helper()
	for i := range results {
		results[i].Normalize()
	}
	slice := &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "r-"},
		Tables:     result.Pack(results),
	}
	if err := c.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	return slice
}

// AwaitReleased waits until it is recorded that the FirmwareUpgrade of a task was deleted, a moment ago.
func AwaitReleased(t *testing.T, c client.Client, namespace, operation string) {
	t.Helper()
	Eventually(t, func() string {
		slices := &storage.ResultSliceList{}
		if err := c.List(t.Context(), slices, client.InNamespace(namespace)); err != nil {
			return err.Error()
		}
		for i := range slices.Items {
			for _, r := range slices.Items[i].Releases {
				if r.OperationID == operation && time.Since(r.ReleaseTime.Time) < time.Minute {
					return ""
				}
			}
		}
		return "the release is not recorded"
	})
}
