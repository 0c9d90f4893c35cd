// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// TestCapacity fills and empties the store, and looks at what the ConfigMap and the Events say after each step.
func TestCapacity(t *testing.T) {
	namespace := harness.NewNamespace(t, k8s)
	clock := clocktesting.NewFakeClock(first)
	index := newSliceIndex()
	c := &capacity{client: k8s, index: index, namespace: namespace, limit: 1000, instance: "test", clock: clock}
	for i, step := range []struct {
		results, rejected int
		full              string
		event             string
	}{
		{0, 0, "false", ""},
		{799, 0, "false", ""},
		{800, 0, "false", EventStoreNearlyFull},
		{780, 0, "false", ""},
		{810, 0, "false", ""}, // it hovers: one warning
		{740, 0, "false", ""},
		{810, 0, "false", EventStoreNearlyFull},
		{1000, 0, "true", EventStoreFull},
		{950, 0, "true", ""},
		{949, 0, "false", EventStoreReopened},
		{0, 0, "false", ""},
		{968, 1, "true", EventStoreFull}, // a rejected notification counts as 32 results
	} {
		s := &storedSlice{results: step.results, rejected: step.rejected}
		s.Name = "all"
		index.put(s)
		clock.Step(capacityInterval)
		if err := c.check(t.Context()); err != nil {
			t.Fatal(err)
		}
		cm := &corev1.ConfigMap{}
		if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: StoreConfigMap}, cm); err != nil {
			t.Fatal(err)
		}
		events := &eventsv1.EventList{}
		if err := k8s.List(t.Context(), events, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		event := ""
		for i := range events.Items {
			event += events.Items[i].Reason
			if err := k8s.Delete(t.Context(), &events.Items[i]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{step.full, step.event}, []string{cm.Data[StoreFullKey], event}); diff != "" {
			t.Errorf("step %d, %d results (-want +got):\n%s", i, step.results, diff)
		}
	}
}

// Beyond the newest maxRejected rejected notifications go, old or not.
func TestRejectedAreBounded(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	const perSlice = 250
	for n := range maxRejected/perSlice + 2 {
		spec := v1alpha1.FirmwareUpgradeResultSliceSpec{}
		for range perSlice {
			spec.Rejected = append(spec.Rejected, v1alpha1.RejectedNotification{ReceivedAt: metav1.NowMicro(), Reason: "no JSON"})
		}
		s.create(fmt.Sprintf("r-%d", n), spec)
	}
	s.awaitRead()
	if err := s.retention(1 << 60).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitRead()
	if got := len(s.stored()) * perSlice; got != maxRejected {
		t.Errorf("%d rejected notifications are left, want %d", got, maxRejected)
	}
}
