// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// sliceOverhead is what a slice has beside its results: metadata, managed fields, field names.
const sliceOverhead = 4 << 10

// rewriter replaces slices by others with the same results. Compaction and retention share it.
type rewriter struct {
	// client reads past the cache: slices are not cached.
	client    client.Client
	namespace string
	clock     clock.PassiveClock
	metrics   *metrics
}

// rewrite replaces the inputs by slices of one task each, without the tasks that drop picks (nil: none). It returns the
// slowest write.
//
//  1. Read the inputs. One that is gone was rewritten by another leader, and is none of ours.
//  2. Join their results by task.
//  3. Create the outputs. Their names follow from the inputs, so that a repetition after a crash meets AlreadyExists.
//  4. Delete the inputs, each only if it is still the object that was read.
//
// A crash in between leaves results twice, which the join does not notice.
func (w *rewriter) rewrite(ctx context.Context, inputs []*storedSlice, drop func(upgrade.Task) bool) (slowest time.Duration, err error) {
	read, err := w.read(ctx, inputs)
	if err != nil {
		return 0, err
	}
	for _, out := range merge(read, w.namespace, drop) {
		started := w.clock.Now()
		if err := w.client.Create(ctx, out); err != nil && !apierrors.IsAlreadyExists(err) {
			return slowest, fmt.Errorf("create merged slice %s: %w", out.Name, err)
		}
		slowest = max(slowest, w.clock.Since(started))
		w.metrics.slicesWritten.Inc()
	}
	for i := range read {
		if err := w.remove(ctx, &read[i]); err != nil {
			return slowest, err
		}
	}
	return slowest, nil
}

// remove deletes a slice, if it is still the same object.
func (w *rewriter) remove(ctx context.Context, s *v1alpha1.FirmwareUpgradeResultSlice) error {
	err := w.client.Delete(ctx, s, client.Preconditions{UID: &s.UID})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete slice %s: %w", s.Name, err)
	}
	w.metrics.slicesDeleted.Inc()
	return nil
}

// removeStored deletes a slice that is known from the index.
func (w *rewriter) removeStored(ctx context.Context, s *storedSlice) error {
	return w.remove(ctx, &v1alpha1.FirmwareUpgradeResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, UID: s.UID},
	})
}

func (w *rewriter) read(ctx context.Context, inputs []*storedSlice) ([]v1alpha1.FirmwareUpgradeResultSlice, error) {
	read := make([]v1alpha1.FirmwareUpgradeResultSlice, 0, len(inputs))
	for _, in := range inputs {
		var s v1alpha1.FirmwareUpgradeResultSlice
		err := w.client.Get(ctx, client.ObjectKey{Namespace: in.Namespace, Name: in.Name}, &s)
		switch {
		case apierrors.IsNotFound(err) || err == nil && s.UID != in.UID:
		case err != nil:
			return nil, fmt.Errorf("read slice %s: %w", in.Name, err)
		default:
			read = append(read, s)
		}
	}
	return read, nil
}

// merge returns the slices that take the place of the inputs.
func merge(inputs []v1alpha1.FirmwareUpgradeResultSlice, namespace string, drop func(upgrade.Task) bool) []*v1alpha1.FirmwareUpgradeResultSlice {
	specs := make([]v1alpha1.FirmwareUpgradeResultSliceSpec, 0, len(inputs))
	var rest v1alpha1.FirmwareUpgradeResultSliceSpec
	for i := range inputs {
		specs = append(specs, inputs[i].Spec)
		rest.Rejected = append(rest.Rejected, inputs[i].Spec.Rejected...)
		rest.Released = append(rest.Released, inputs[i].Spec.Released...)
	}
	name := outputName(inputs)
	var outputs []*v1alpha1.FirmwareUpgradeResultSlice
	add := func(labels map[string]string, spec v1alpha1.FirmwareUpgradeResultSliceSpec) {
		outputs = append(outputs, &v1alpha1.FirmwareUpgradeResultSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: fmt.Sprintf("%s-%d", name, len(outputs)), Labels: labels,
			},
			Spec: spec,
		})
	}
	for _, merged := range upgrade.Merge(specs) {
		if drop != nil && drop(merged.Task) {
			continue
		}
		for _, chunk := range upgrade.Split(merged.Entries, v1alpha1.MaxSliceBytes-sliceOverhead) {
			add(map[string]string{v1alpha1.LabelTask: merged.Task.Hash()}, v1alpha1.FirmwareUpgradeResultSliceSpec{Tasks: chunk})
		}
	}
	for _, chunk := range splitRest(rest) {
		add(nil, chunk)
	}
	return outputs
}

// splitRest cuts what is not results into slices: rejected notifications are up to 4 KiB each.
func splitRest(rest v1alpha1.FirmwareUpgradeResultSliceSpec) []v1alpha1.FirmwareUpgradeResultSliceSpec {
	const perSlice = 32
	var out []v1alpha1.FirmwareUpgradeResultSliceSpec
	for chunk := range slices.Chunk(rest.Rejected, perSlice) {
		out = append(out, v1alpha1.FirmwareUpgradeResultSliceSpec{Rejected: chunk})
	}
	for chunk := range slices.Chunk(rest.Released, perSlice) {
		out = append(out, v1alpha1.FirmwareUpgradeResultSliceSpec{Released: chunk})
	}
	return out
}

// outputName hashes the inputs' UIDs.
func outputName(inputs []v1alpha1.FirmwareUpgradeResultSlice) string {
	uids := make([]string, 0, len(inputs))
	for i := range inputs {
		uids = append(uids, string(inputs[i].UID))
	}
	slices.Sort(uids)
	sum := sha256.Sum256([]byte(strings.Join(uids, ",")))
	return "c-" + hex.EncodeToString(sum[:16])
}
