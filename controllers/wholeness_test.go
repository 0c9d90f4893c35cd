// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// Somebody deletes a slice, another device fails meanwhile, and the slice is put back: each failure is announced once,
// by its own name, whether one process leads all the time or another one begins without the slice.
func TestRestoredSliceIsNotAnnouncedAgain(t *testing.T) {
	for name, changes := range map[string]bool{"one leader": false, "another leader": true} {
		t.Run(name, func(t *testing.T) {
			ns := harness.NewNamespace(t, k8s)
			stop := startControllers(t, nil)
			operation := "restored-" + ns
			fwu := create(t, wrappers.MakeFirmwareUpgrade("restored", ns).Operation(operation).App("app").Expected(9))
			kept := harness.StoreResults(t, k8s, operatorNamespace, reported(operation, 1, storage.StateFailed, "Invalid URI"))
			awaitReported(t, fwu, 1)
			time.Sleep(2 * time.Second) // the API keeps seconds
			harness.StoreResults(t, k8s, operatorNamespace, reported(operation, 2, storage.StateFailed, "Invalid URI"))
			awaitAnnounced(t, fwu, "d000001", "d000002")
			slice := &storage.ResultSlice{
				ObjectMeta: metav1.ObjectMeta{Namespace: kept.Namespace, Name: kept.Name}, Tables: kept.Tables,
			}
			if err := k8s.Delete(t.Context(), kept); err != nil {
				t.Fatal(err)
			}
			if changes {
				stop()
				startControllers(t, nil)
			}
			awaitStalled(t, fwu, v1alpha1.ReasonResultsIncomplete)
			time.Sleep(2 * time.Second)
			storeSlice(t, reported(operation, 3, storage.StateFailed, "Invalid URI"))
			time.Sleep(2 * time.Second)
			awaitStalled(t, fwu, v1alpha1.ReasonResultsIncomplete)
			if err := k8s.Create(t.Context(), slice); err != nil {
				t.Fatal(err)
			}
			awaitReported(t, fwu, 3)
			awaitAnnounced(t, fwu, "d000001", "d000002", "d000003")
		})
	}
}

// awaitAnnounced waits until the failures of just these devices are announced, each once.
func awaitAnnounced(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want ...string) {
	t.Helper()
	harness.Eventually(t, func() string {
		events := &eventsv1.EventList{}
		if err := k8s.List(t.Context(), events, client.InNamespace(fwu.Namespace)); err != nil {
			return err.Error()
		}
		var got []string
		for _, e := range events.Items {
			if id, ok := strings.CutPrefix(e.Note, "Device "); ok && e.Regarding.UID == fwu.UID {
				got = append(got, strings.Fields(id)[0])
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Sprintf("announced (-want +got):\n%s", diff)
		}
		return ""
	})
}
