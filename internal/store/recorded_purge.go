// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// requestTimeout is after which time a deletion that began before an object got its finalizer is over for certain:
// twice the API server's own limit for a request.
const requestTimeout = 2 * time.Minute

// IntendPurge records, before an object gets the finalizer that holds its deletion up, that the results of its task
// which were received until now are to be removed with it. A deletion that began before that removes the object at
// once, whoever leads by then: the record is what is left, and the purge is done by it.
func (s *Store) IntendPurge(ctx context.Context, task result.Task, object types.UID) error {
	if err := s.recordPurge(ctx, task, s.options.Clock.Now(), storage.PurgeIntended, object); err != nil {
		return fmt.Errorf("record an intended purge: %w", err)
	}
	return nil
}

// ForgetPurge removes what IntendPurge recorded of an object: its results are removed, or are to be kept.
func (s *Store) ForgetPurge(ctx context.Context, object types.UID) error {
	for _, of := range s.index.filter((*storedSlice).isIntendedPurge) {
		if of.releases[0].UID == string(object) {
			if err := s.remove(ctx, of); err != nil {
				return err
			}
		}
	}
	return nil
}

// Purging says whether a recorded purge of the task is due and not done, and makes one due whose object is gone.
func (s *Store) Purging(ctx context.Context, task result.Task) (bool, error) {
	if s.index.hasPurge(task, storage.PurgeIntended) {
		if err := s.ConfirmPurges(ctx); err != nil {
			return false, err
		}
	}
	return s.index.hasPurge(task, storage.PurgeDue), nil
}

// ConfirmPurges makes the intended purges of objects that are gone due, and forgets those of objects whose deletion the
// finalizer holds up by now.
func (s *Store) ConfirmPurges(ctx context.Context) error {
	var errs []error
	for _, of := range s.index.filter((*storedSlice).isIntendedPurge) {
		r := &of.releases[0]
		exists, err := s.options.Exists(ctx, types.UID(r.UID))
		switch {
		case err != nil:
		case exists && s.options.Clock.Since(r.ReleaseTime.Time) < requestTimeout:
			continue
		case !exists:
			if err = s.recordPurge(ctx, taskOf(r), r.ReleaseTime.Time, storage.PurgeDue, ""); err == nil {
				s.publish([]result.Task{taskOf(r)})
			}
		}
		if err == nil {
			err = s.remove(ctx, of)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// purgeRecorded goes on with the purges that are due, and removes the records of those that are done. What fails does
// not keep the others from being done.
func (s *Store) purgeRecorded(ctx context.Context) error {
	errs := []error{s.ConfirmPurges(ctx)}
	for _, of := range s.index.filter((*storedSlice).isDuePurge) {
		task := taskOf(&of.releases[0])
		done, err := s.Purge(ctx, task, of.releases[0].ReleaseTime.Time)
		if err == nil && done {
			err = s.remove(ctx, of)
			s.publish([]result.Task{task})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// recordPurge stores the record of a purge.
func (s *Store) recordPurge(
	ctx context.Context, task result.Task, until time.Time, state storage.PurgeState, object types.UID,
) error {
	if err := s.WaitForSync(ctx); err != nil {
		return err
	}
	record := releaseOf(task, until.Truncate(time.Microsecond))
	record.Releases[0].Purge, record.Releases[0].UID = state, string(object)
	kind := map[storage.PurgeState]string{storage.PurgeIntended: "intended-purge", storage.PurgeDue: "purge"}[state]
	return s.record(ctx, kind, record)
}
