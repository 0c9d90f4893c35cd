// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// requestTimeout is after which time a deletion that began before an object got its finalizer is over for certain:
// twice the API server's own limit for a request, unless its --request-timeout says else.
const requestTimeout = 2 * time.Minute

// recordingTakes is how long after its time a record of an intended purge is created at the latest. One that is created
// later was restored from a backup, or moved.
const recordingTakes = 30 * time.Second

// IntendPurge records, before an object gets the finalizer that holds its deletion up, that the results of its task
// which were received until now are to be removed with it. A deletion that began before that removes the object at
// once, whoever leads by then: the record is what is left, and the purge is done by it. A record that is younger than
// half of requestTimeout will do for a repetition.
func (s *Store) IntendPurge(ctx context.Context, task result.Task, object storage.ObjectReference) error {
	now := s.options.Clock.Now()
	for _, of := range s.index.purgesIn(storage.PurgeIntended) {
		r := &of.releases[0]
		if isOf(r, object) && taskOf(r) == task && now.Sub(r.ReleaseTime.Time) < requestTimeout/2 {
			return nil
		}
	}
	if err := s.recordPurge(ctx, task, now, storage.PurgeIntended, &object); err != nil {
		return fmt.Errorf("record an intended purge: %w", err)
	}
	return nil
}

// ForgetPurge removes what IntendPurge recorded of an object: its results are removed, or are to be kept.
func (s *Store) ForgetPurge(ctx context.Context, object storage.ObjectReference) error {
	if err := s.WaitForSync(ctx); err != nil { // what is not read yet would outlive the object
		return err
	}
	var errs []error
	for _, of := range s.index.purgesIn(storage.PurgeIntended) {
		if isOf(&of.releases[0], object) {
			errs = append(errs, s.remove(ctx, of))
		}
	}
	return errors.Join(errs...)
}

// Purging says whether a recorded purge of the task is due and not done.
func (s *Store) Purging(task result.Task) bool { return s.index.hasPurge(task, storage.PurgeDue) }

// ConfirmPurgesOf looks at the intended purges of FirmwareUpgrades with a name: one of them is gone.
func (s *Store) ConfirmPurgesOf(ctx context.Context, namespace, name string) error {
	return s.confirm(ctx, func(r *storage.Release) bool {
		return r.FirmwareUpgrade != nil && r.FirmwareUpgrade.Namespace == namespace && r.FirmwareUpgrade.Name == name
	})
}

// ConfirmPurges looks at the intended purges of tasks with an operationId: somebody is about to count one of them.
func (s *Store) ConfirmPurges(ctx context.Context, operationID string) error {
	return s.confirm(ctx, func(r *storage.Release) bool { return r.OperationID == operationID })
}

// confirm looks at intended purges. What fails does not keep the others from being looked at.
func (s *Store) confirm(ctx context.Context, meant func(*storage.Release) bool) error {
	var errs []error
	for _, of := range s.index.purgesIn(storage.PurgeIntended) {
		if meant(&of.releases[0]) {
			errs = append(errs, s.confirmPurge(ctx, of))
		}
	}
	return errors.Join(errs...)
}

// confirmPurge makes an intended purge due if its object is gone, and forgets it if the results are to be kept by now,
// or the finalizer holds the deletion up. A record that somebody restored from a backup tells of an object that is not
// the one which was restored with it.
func (s *Store) confirmPurge(ctx context.Context, of *storedSlice) error {
	r := &of.releases[0]
	isRestored := of.CreationTimestamp.Sub(r.ReleaseTime.Time) > recordingTakes
	if r.FirmwareUpgrade == nil || isRestored {
		ctrl.LoggerFrom(ctx).Info("Forgot an intended purge that is older than its record: it was restored or moved, or the "+
			"clocks differ", "slice", of.Name)
		return s.remove(ctx, of)
	}
	exists, purges, err := s.options.LookUp(ctx, *r.FirmwareUpgrade)
	switch {
	case err != nil:
		return fmt.Errorf("look up a FirmwareUpgrade whose results are to be removed with it: %w", err)
	case exists && purges && s.options.Clock.Since(r.ReleaseTime.Time) < requestTimeout:
		return nil
	case !exists:
		if err := s.recordPurge(ctx, taskOf(r), r.ReleaseTime.Time, storage.PurgeDue, nil); err != nil {
			return err
		}
		s.publish([]result.Task{taskOf(r)})
	}
	return s.remove(ctx, of)
}

// isOf says whether a record tells of an object.
func isOf(r *storage.Release, object storage.ObjectReference) bool {
	return r.FirmwareUpgrade != nil && *r.FirmwareUpgrade == object
}

// purgeRecorded goes on with the purges that are due, and removes the records of those that are done. What fails does
// not keep the others from being done.
func (s *Store) purgeRecorded(ctx context.Context) error {
	errs := []error{s.confirm(ctx, func(*storage.Release) bool { return true })}
	for _, of := range s.index.purgesIn(storage.PurgeDue) {
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
	ctx context.Context, task result.Task, until time.Time, state storage.PurgeState, object *storage.ObjectReference,
) error {
	if err := s.WaitForSync(ctx); err != nil {
		return err
	}
	record := releaseOf(task, until.Truncate(time.Microsecond))
	record.Releases[0].Purge, record.Releases[0].FirmwareUpgrade = state, object
	kind := map[storage.PurgeState]string{storage.PurgeIntended: "intended-purge", storage.PurgeDue: "purge"}[state]
	return s.record(ctx, kind, record)
}
