// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

const (
	// sliceOverhead is what a slice has beside its results: metadata, managed fields, field names.
	sliceOverhead = 4 << 10
	// rewriteParallel is how many reads or deletes of a rewrite are under way at once.
	rewriteParallel = 4
	// mergedPrefix begins the names of slices that were rewritten.
	mergedPrefix = "c-"
)

// rewriter replaces slices by others with the same results. Compaction and retention share it.
type rewriter struct {
	// client reads past the cache: slices are not cached.
	client    client.Client
	namespace string
	index     *sliceIndex
	pace      *pace
	metrics   *metrics
}

// rewrite replaces the inputs by slices of one task each (sort) or of several, without the tasks that drop picks (nil:
// none).
//
//  1. Read the inputs that are not in memory. One that is gone was rewritten by another leader, and is none of ours.
//  2. Join their results by task.
//  3. Create the outputs. Their names follow from the inputs and the content, so that a repetition after a crash meets
//     AlreadyExists, and only the same content does.
//  4. Delete the inputs, each only if it is still the object that was read.
//
// A crash in between leaves results twice, which the join does not notice.
func (w *rewriter) rewrite(ctx context.Context, inputs []*storedSlice, sort bool, drop func(upgrade.Task) bool) error {
	read, err := w.read(ctx, inputs)
	if err != nil {
		return err
	}
	outputs, err := merge(read, w.namespace, sort, drop)
	if err != nil {
		return err
	}
	if err := inParallel(len(outputs), func(i int) error { return w.create(ctx, outputs[i]) }); err != nil {
		return err
	}
	return inParallel(len(read), func(i int) error { return w.remove(ctx, &read[i]) })
}

// create creates a merged slice. The index learns of it at once, and not only when it is
// read back: no task may seem to be without slices meanwhile.
func (w *rewriter) create(ctx context.Context, out *v1alpha1.FirmwareUpgradeResultSlice) error {
	err := w.pace.write(ctx, func() error { return w.client.Create(ctx, out) })
	if apierrors.IsAlreadyExists(err) {
		err = w.client.Get(ctx, client.ObjectKeyFromObject(out), out)
	}
	if err != nil {
		return fmt.Errorf("create merged slice %s: %w", out.Name, err)
	}
	stored, _ := newStoredSlice(out)
	w.index.add(stored)
	w.metrics.slicesWritten.Inc()
	return nil
}

// remove deletes a slice, if it is still the same object.
func (w *rewriter) remove(ctx context.Context, s *v1alpha1.FirmwareUpgradeResultSlice) error {
	err := w.pace.write(ctx, func() error { return w.client.Delete(ctx, s, client.Preconditions{UID: &s.UID}) })
	switch {
	case apierrors.IsConflict(err): // another object by that name
		return nil
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("delete slice %s: %w", s.Name, err)
	default:
		w.metrics.slicesDeleted.Inc()
	}
	w.index.remove(s.Name)
	return nil
}

// removeStored deletes a slice that is known from the index.
func (w *rewriter) removeStored(ctx context.Context, s *storedSlice) error {
	return w.remove(ctx, &v1alpha1.FirmwareUpgradeResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, UID: s.UID},
	})
}

// read reads the inputs. One that is gone, or is another object by now, was rewritten by another leader.
func (w *rewriter) read(ctx context.Context, inputs []*storedSlice) ([]v1alpha1.FirmwareUpgradeResultSlice, error) {
	read := make([]v1alpha1.FirmwareUpgradeResultSlice, len(inputs))
	err := inParallel(len(inputs), func(i int) error {
		if spec := inputs[i].spec; spec != nil {
			read[i] = v1alpha1.FirmwareUpgradeResultSlice{ObjectMeta: inputs[i].ObjectMeta, Spec: *spec}
			return nil
		}
		key := client.ObjectKey{Namespace: inputs[i].Namespace, Name: inputs[i].Name}
		if err := client.IgnoreNotFound(w.client.Get(ctx, key, &read[i])); err != nil {
			return fmt.Errorf("read slice %s: %w", key.Name, err)
		}
		if read[i].UID != inputs[i].UID {
			read[i] = v1alpha1.FirmwareUpgradeResultSlice{}
			w.index.remove(key.Name)
		}
		return nil
	})
	gone := func(s v1alpha1.FirmwareUpgradeResultSlice) bool { return s.UID == "" }
	return slices.DeleteFunc(read, gone), err
}

// inParallel calls do with 0 to n-1, a few at a time, and returns the first error.
func inParallel(n int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(rewriteParallel)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}

// merge returns the slices that take the place of the inputs.
func merge(inputs []v1alpha1.FirmwareUpgradeResultSlice, namespace string, sort bool, drop func(upgrade.Task) bool) ([]*v1alpha1.FirmwareUpgradeResultSlice, error) {
	var results []upgrade.Result
	var rest v1alpha1.FirmwareUpgradeResultSliceSpec
	for i := range inputs {
		unpacked, err := upgrade.Unpack(&inputs[i].Spec)
		if err != nil { // what can't be read would be lost
			return nil, fmt.Errorf("read slice %s: %w", inputs[i].Name, err)
		}
		results = append(results, unpacked...)
		rest.Rejected = append(rest.Rejected, inputs[i].Spec.Rejected...)
		rest.Released = append(rest.Released, inputs[i].Spec.Released...)
	}
	var outputs []*v1alpha1.FirmwareUpgradeResultSlice
	var errs []error
	add := func(labels map[string]string, spec v1alpha1.FirmwareUpgradeResultSliceSpec) {
		name, err := outputName(inputs, &spec)
		errs = append(errs, err)
		outputs = append(outputs, &v1alpha1.FirmwareUpgradeResultSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, Spec: spec,
		})
	}
	merged := upgrade.Merge(results)
	if drop != nil {
		merged = slices.DeleteFunc(merged, func(of upgrade.TaskResults) bool { return drop(of.Task) })
	}
	pack := func(labels map[string]string, results []upgrade.Result) {
		for _, tables := range upgrade.Split(results, v1alpha1.MaxSliceBytes-sliceOverhead) {
			add(labels, v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: tables})
		}
	}
	var together []upgrade.Result
	for _, of := range merged {
		if sort {
			pack(map[string]string{v1alpha1.LabelTask: of.Task.Hash()}, of.Results)
		} else {
			together = append(together, of.Results...)
		}
	}
	pack(nil, together)
	for _, chunk := range splitRest(rest) {
		add(nil, chunk)
	}
	return outputs, errors.Join(errs...)
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

// outputName hashes the inputs' UIDs and the content, so that what has the same name is the same.
func outputName(inputs []v1alpha1.FirmwareUpgradeResultSlice, spec *v1alpha1.FirmwareUpgradeResultSliceSpec) (string, error) {
	uids := make([]string, 0, len(inputs))
	for i := range inputs {
		uids = append(uids, string(inputs[i].UID))
	}
	slices.Sort(uids)
	content, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("encode merged slice: %w", err)
	}
	sum := sha256.Sum256(append([]byte(strings.Join(uids, ",")), content...))
	return mergedPrefix + hex.EncodeToString(sum[:16]), nil
}
