// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

func slice(name, rows string) *v1alpha1.FirmwareUpgradeResultSlice {
	return &v1alpha1.FirmwareUpgradeResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: []v1alpha1.ResultTable{{
			OperationID: "op", ResultFields: v1alpha1.ResultFields{State: v1alpha1.StateSucceeded}, Rows: rows,
		}}},
	}
}

func TestSlicesAreImmutable(t *testing.T) {
	s := slice("immutable", "deviceId,receivedAt\nd,1\n")
	if err := k8s.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for name, patch := range map[string]string{
		"a change":             `{"spec":{"tables":[]}}`,
		"an addition":          `{"spec":{"rejected":[{"receivedAt":"2026-01-01T00:00:00.000000Z","reason":"r"}]}}`,
		"taken away":           `{"spec":null}`,
		"emptied to come anew": `{"spec":{"tables":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			err := k8s.Patch(t.Context(), s.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch)))
			if !apierrors.IsInvalid(err) {
				t.Errorf("want a refusal, got %v", err)
			}
		})
	}
	labelled := s.DeepCopy()
	labelled.Labels = map[string]string{v1alpha1.LabelTask: "x"}
	if err := k8s.Update(t.Context(), labelled); err != nil {
		t.Errorf("a label: %v", err)
	}
}

// A slice as large as the webhook and compaction make them is accepted.
func TestLargestSlice(t *testing.T) {
	s := slice("large", strings.Repeat("d", v1alpha1.MaxSliceBytes))
	if err := k8s.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.Labels = map[string]string{"a": "b"} // so that the rule of immutability runs over all of it
	if err := k8s.Update(t.Context(), s); err != nil {
		t.Error(err)
	}
	err := k8s.Create(t.Context(), slice("larger", strings.Repeat("d", v1alpha1.MaxSliceBytes+1)), client.DryRunAll)
	if !apierrors.IsInvalid(err) {
		t.Errorf("one more: want a refusal, got %v", err)
	}
}
