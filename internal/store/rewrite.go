// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// parallelRequests is how many requests of a step are under way at once. More would finish a step sooner, and slow down
// what is stored meanwhile.
const parallelRequests = 2

// rewrite replaces slices by others with the same results, without those that drop picks (nil: none):
//
//  1. Read the inputs, those in memory from there. One that is gone was rewritten or deleted by somebody else: it stays
//     in the index until the watch tells where its results are.
//  2. Join their results by task and device.
//  3. Create the outputs. Their names follow from the inputs and the content, so that a repetition after a crash meets
//     AlreadyExists. Where what exists is not the same, nothing is deleted.
//  4. Delete the inputs, each only if it is still the object that was read.
//
// A crash in between leaves results twice, which the join does not notice. The caller has begun a step. Inputs of more
// than maxInputBytes are read several times, for a share of the devices each time, and others have their turn in
// between; when these rewrite inputs, the rest is left undone.
func (s *Store) rewrite(ctx context.Context, inputs []*storedSlice, drop func(*result.Result) bool) error {
	gone := make([]bool, len(inputs))
	passes := passesOf(inputs)
	for n := range passes {
		if n > 0 {
			if err := s.giveWay(ctx); err != nil {
				return err
			}
			if !s.index.hasAll(inputs) {
				return nil
			}
		}
		m := newMerge(inputs, share{n: n, of: passes}, s.ownSlicesAt, drop)
		if err := s.readInto(ctx, m, inputs, gone); err != nil {
			return err
		}
		outputs, err := m.outputs(s.options.Namespace)
		if err != nil {
			return err
		}
		if err := inParallel(len(outputs), func(i int) error { return s.create(ctx, outputs[i]) }); err != nil {
			return err
		}
	}
	return inParallel(len(inputs), func(i int) error {
		if gone[i] {
			return nil
		}
		return s.remove(ctx, inputs[i])
	})
}

// passesOf returns in how many shares the inputs are rewritten, so that none is larger than maxInputBytes.
func passesOf(inputs []*storedSlice) int {
	bytes := 0
	for _, s := range inputs {
		bytes += s.bytes
	}
	return 1 + max(0, bytes-1)/maxInputBytes
}

// readInto reads the inputs into a merge, and notes which are gone.
func (s *Store) readInto(ctx context.Context, m *merge, inputs []*storedSlice, gone []bool) error {
	return inParallel(len(inputs), func(i int) error {
		slice, err := s.readSlice(ctx, inputs[i])
		if err != nil {
			return err
		}
		if slice == nil {
			gone[i] = true
			return nil
		}
		if err := m.add(i, slice); err != nil {
			return fmt.Errorf("slice %s: %w", inputs[i].Name, err)
		}
		return nil
	})
}

// readSlice returns what a slice holds; nil if it is gone, or is another object by now.
func (s *Store) readSlice(ctx context.Context, of *storedSlice) (*storage.ResultSlice, error) {
	if of.cached != nil {
		return of.cached, nil
	}
	read := &storage.ResultSlice{}
	err := client.IgnoreNotFound(s.client.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: of.Name}, read))
	if err != nil {
		return nil, fmt.Errorf("read slice %s: %w", of.Name, err)
	}
	if read.UID != of.UID { // it has no UID where it is gone
		return nil, nil
	}
	return read, nil
}

// create creates a slice, and tells the index. Its results are counted already.
func (s *Store) create(ctx context.Context, slice *storage.ResultSlice) error {
	created, err := s.put(ctx, slice)
	if err != nil {
		return err
	}
	stored, _ := newStoredSlice(created)
	s.index.created(stored)
	return nil
}

// put creates a slice, unless an attempt that broke off did, and returns it as it is stored. What has the name and
// holds something else was made by somebody else: then nothing that the slice was to replace may be deleted.
func (s *Store) put(ctx context.Context, slice *storage.ResultSlice) (*storage.ResultSlice, error) {
	created := slice.DeepCopy()
	err := s.client.Create(ctx, created)
	if apierrors.IsAlreadyExists(err) {
		created = &storage.ResultSlice{}
		err = s.client.Get(ctx, client.ObjectKeyFromObject(slice), created)
		if err == nil && !isSameSlice(slice, created) {
			err = errors.New("the one of that name holds something else: look who made it, and delete it")
		}
	} else if err == nil {
		s.metrics.slicesWritten.Inc()
	}
	if err != nil {
		return nil, fmt.Errorf("create slice %s: %w", slice.Name, err)
	}
	return created, nil
}

// isSameSlice says whether a stored slice is what was to be stored: it holds the same, and means the same to the store.
// Others may have labelled it since.
func isSameSlice(wanted, stored *storage.ResultSlice) bool {
	return stored.DeletionTimestamp.IsZero() &&
		stored.Labels[storage.LabelTask] == wanted.Labels[storage.LabelTask] &&
		stored.Annotations[annotationStored] == wanted.Annotations[annotationStored] &&
		equality.Semantic.DeepEqual(stored.Tables, wanted.Tables) &&
		equality.Semantic.DeepEqual(stored.Rejected, wanted.Rejected) &&
		equality.Semantic.DeepEqual(stored.Releases, wanted.Releases)
}

// remove deletes a slice, if it is still the same object, and tells the index. When somebody else has deleted it, the
// watch tells.
func (s *Store) remove(ctx context.Context, of *storedSlice) error {
	slice := &storage.ResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name}}
	s.index.deleting(of)
	err := s.client.Delete(ctx, slice, client.Preconditions{UID: &of.UID})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		s.index.notDeleted(of)
	case err != nil:
		s.index.notDeleted(of)
		return fmt.Errorf("delete slice %s: %w", of.Name, err)
	default:
		s.metrics.slicesDeleted.Inc()
		s.index.deleted(of)
	}
	return nil
}

// inParallel calls do with 0 to n-1, a few at a time, and returns the first error.
func inParallel(n int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(parallelRequests)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}
