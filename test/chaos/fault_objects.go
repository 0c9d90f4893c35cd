// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// applyConfig applies all of config/default, the CRDs among it.
func applyConfig(ctx context.Context, s *system, _ fault, _ *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing)
	defer cancel()
	install := func(ctx context.Context) error { return harness.Install(ctx, s.kubeconfig) }
	return insistWith(ctx, healing/2, install)
}

// takesEffect is how long after it was applied an admission policy may not be in effect yet.
const takesEffect = 10 * time.Second

// renewPolicies deletes the admission policies and their bindings, and applies them again.
func renewPolicies(ctx context.Context, s *system, f fault, rng *rand.Rand) error {
	s.unguarded.Add(1)
	defer func() {
		time.AfterFunc(takesEffect, func() { s.unguarded.Add(-1) })
	}()
	err := insist(ctx, func(ctx context.Context) error {
		return errors.Join(
			s.api.DeleteAllOf(ctx, &admissionv1.ValidatingAdmissionPolicy{}),
			s.api.DeleteAllOf(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{}),
		)
	})
	if err == nil {
		sleep(ctx, f.lasts)
	}
	return applyConfig(ctx, s, f, rng)
}

// removeSlice deletes a slice, as somebody might who cleans up, and restores it from what he kept.
func removeSlice(ctx context.Context, s *system, f fault, rng *rand.Rand) error {
	list := &storage.ResultSliceList{}
	if err := s.api.List(ctx, list, client.InNamespace(local.OperatorNamespace)); err != nil || len(list.Items) == 0 {
		return errNothing // the API server is away
	}
	slice := &list.Items[rng.IntN(len(list.Items))]
	uid := slice.UID
	err := s.api.Delete(ctx, slice, client.Preconditions{UID: &uid})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return errNothing // compaction was faster
	}
	sleep(ctx, f.lasts)
	restored, err := s.withoutPurged(slice)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing)
	defer cancel()
	return s.create(ctx, restored)
}

// withoutPurged copies a slice for being restored, without the results that may have been purged meanwhile.
func (s *system) withoutPurged(slice *storage.ResultSlice) (*storage.ResultSlice, error) {
	results, err := result.Unpack(slice.Tables)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []result.Result
	for _, r := range results {
		firstPhase := strings.HasSuffix(r.OperationID, string(kindPurged)) && strings.Contains(r.DeviceID, "-d0-")
		if _, cleared := s.cleared[r.OperationID]; !firstPhase && !cleared {
			kept = append(kept, r)
		}
	}
	return &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: slice.Namespace, Name: slice.Name, Labels: slice.Labels},
		Tables:     result.Pack(kept), Rejected: slice.Rejected, Releases: slice.Releases,
	}, nil
}

// refuseEvents lets an admission policy refuse the operator's Events, as one of the cluster's own may.
func refuseEvents(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	name := metav1.ObjectMeta{Name: "refuse-events"}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: new(admissionv1.Fail),
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{
					APIGroups: []string{"events.k8s.io"}, APIVersions: []string{"*"}, Resources: []string{"events"},
				},
			},
		}}},
		Validations: []admissionv1.Validation{{Expression: "false", Message: "Events are refused"}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: name,
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	err := errors.Join(s.create(ctx, policy), s.create(ctx, binding))
	if err == nil {
		sleep(ctx, f.lasts)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing)
	defer cancel()
	return insist(ctx, func(ctx context.Context) error {
		return errors.Join(
			client.IgnoreNotFound(s.api.Delete(ctx, binding)), client.IgnoreNotFound(s.api.Delete(ctx, policy)),
		)
	})
}

// removeFinalizers removes the operator's finalizers from what is not being deleted, as who cleans up might. They come
// back.
func removeFinalizers(ctx context.Context, s *system, _ fault, _ *rand.Rand) error {
	list := &v1alpha1.FirmwareUpgradeList{}
	_ = s.api.List(ctx, list) // where the API server is away, nothing is broken
	broken := false
	for i := range list.Items {
		fwu := &list.Items[i]
		if !fwu.DeletionTimestamp.IsZero() || len(fwu.Finalizers) == 0 {
			continue
		}
		before := fwu.DeepCopy()
		fwu.Finalizers = nil
		err := s.api.Patch(ctx, fwu, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		broken = broken || err == nil
	}
	if !broken {
		return errNothing
	}
	return nil
}
