// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// rewriteParallel is how many requests of a rewrite are under way at once.
const rewriteParallel = 4

// rewriter replaces slices by others with the same results. Compaction and retention share it.
type rewriter struct {
	// client reads past the cache: slices are not cached.
	client    client.Client
	namespace string
	index     *sliceIndex
	// sortAt is how many results a task must have that they are worth slices of its own: sortAtResults.
	sortAt  int
	pace    *pace
	metrics *metrics
}

// rewrite replaces the inputs, without the results that drop picks (nil: none).
//
//  1. Read the inputs, those in memory from there. One that is gone was rewritten by another leader, and is none of ours.
//  2. Join their results by task and device.
//  3. Create the outputs. Their names follow from the inputs and the content, so that a repetition after a crash meets
//     AlreadyExists, and only the same content does.
//  4. Delete the inputs, each only if it is still the object that was read.
//
// Inputs of more than maxInputBytes are read several times, for a share of the devices each time. A crash in between
// leaves results twice, which the join does not notice.
func (w *rewriter) rewrite(ctx context.Context, inputs []*storedSlice, drop func(*upgrade.Result) bool) error {
	bytes := 0
	for _, s := range inputs {
		bytes += s.bytes
	}
	passes := 1 + max(0, bytes-1)/maxInputBytes
	for n := range passes {
		m := newMerge(inputs, share{n: n, of: passes}, w.sortAt, drop)
		if err := w.readInto(ctx, m, inputs); err != nil {
			return err
		}
		outputs, err := m.outputs(w.namespace)
		if err != nil {
			return err
		}
		if err := inParallel(len(outputs), func(i int) error { return w.create(ctx, outputs[i]) }); err != nil {
			return err
		}
	}
	return inParallel(len(inputs), func(i int) error { return w.remove(ctx, inputs[i]) })
}

// readInto reads the inputs into a merge.
func (w *rewriter) readInto(ctx context.Context, m *merge, inputs []*storedSlice) error {
	return inParallel(len(inputs), func(i int) error {
		spec, err := w.read(ctx, inputs[i])
		if err != nil || spec == nil {
			return err
		}
		if err := m.add(i, spec); err != nil {
			return fmt.Errorf("slice %s: %w", inputs[i].Name, err)
		}
		return nil
	})
}

// read returns what a slice holds; nil if it is gone, or is another object by now: then another leader has rewritten it.
func (w *rewriter) read(ctx context.Context, s *storedSlice) (*v1alpha1.FirmwareUpgradeResultSliceSpec, error) {
	if s.spec != nil {
		return s.spec, nil
	}
	read := &v1alpha1.FirmwareUpgradeResultSlice{}
	if err := client.IgnoreNotFound(w.client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Name}, read)); err != nil {
		return nil, fmt.Errorf("read slice %s: %w", s.Name, err)
	}
	if read.UID != s.UID {
		return nil, nil
	}
	return &read.Spec, nil
}

// create creates a merged slice, unless an attempt that broke off did.
func (w *rewriter) create(ctx context.Context, out *v1alpha1.FirmwareUpgradeResultSlice) error {
	err := w.pace.write(ctx, func() error { return w.client.Create(ctx, out) })
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil
	case err != nil:
		return fmt.Errorf("create merged slice %s: %w", out.Name, err)
	}
	w.metrics.slicesWritten.Inc()
	return nil
}

// remove deletes a slice, if it is still the same object. The index is told only that there is nothing left to do with
// it: the watch brings what took its place first, so that no task ever seems to be without slices.
func (w *rewriter) remove(ctx context.Context, s *storedSlice) error {
	slice := &v1alpha1.FirmwareUpgradeResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}}
	err := w.pace.write(ctx, func() error { return w.client.Delete(ctx, slice, client.Preconditions{UID: &s.UID}) })
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err): // gone
	case err != nil:
		return fmt.Errorf("delete slice %s: %w", s.Name, err)
	default:
		w.metrics.slicesDeleted.Inc()
	}
	w.index.retire(s)
	return nil
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
