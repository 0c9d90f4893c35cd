// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Release records that the FirmwareUpgrade of a task was deleted, so that the results received until then bring no
// placeholder back. Of several releases of a task the latest counts, and its record takes the place of the others.
func (s *Store) Release(ctx context.Context, task result.Task, at time.Time) error {
	if err := s.WaitForSync(ctx); err != nil {
		return err
	}
	if at = at.Truncate(time.Microsecond); at.After(s.ReleaseTime(task)) {
		if err := s.record(ctx, "release", releaseOf(task, at)); err != nil {
			return fmt.Errorf("record a release: %w", err)
		}
	}
	last := s.ReleaseTime(task)
	older := s.index.filter((*storedSlice).hasOnlyReleases, func(of *storedSlice) bool {
		for i := range of.releases {
			if r := &of.releases[i]; taskOf(r) != task || !r.ReleaseTime.Time.Before(last) {
				return false
			}
		}
		return true
	})
	for _, of := range older {
		if err := s.remove(ctx, of); err != nil {
			return err
		}
	}
	return nil
}

// record stores the record of a release. Storing it again does nothing.
func (s *Store) record(ctx context.Context, kind string, record *storage.ResultSlice) error {
	r := &record.Releases[0]
	record.Namespace = s.options.Namespace
	record.Name = fmt.Sprintf("%s-%s-%x", kind, taskOf(r).Hash(), r.ReleaseTime.UnixMicro())
	return s.create(ctx, record)
}

// releaseOf is the record of a release.
func releaseOf(task result.Task, at time.Time) *storage.ResultSlice {
	return &storage.ResultSlice{Releases: []storage.Release{{
		AppID: task.AppID, OperationID: task.OperationID, ReleaseTime: metav1.NewMicroTime(at),
	}}}
}

// ReleaseTime returns when the FirmwareUpgrade of a task was deleted last; zero if none was.
func (s *Store) ReleaseTime(task result.Task) time.Time { return s.index.releaseTime(task) }
