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
		record := releaseOf(task, at)
		record.Namespace, record.Name = s.options.Namespace, fmt.Sprintf("release-%s-%x", task.Hash(), at.UnixMicro())
		if err := s.create(ctx, record); err != nil {
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

// releaseOf is the record of a release.
func releaseOf(task result.Task, at time.Time) *storage.ResultSlice {
	return &storage.ResultSlice{Releases: []storage.Release{{
		AppID: task.AppID, OperationID: task.OperationID, ReleaseTime: metav1.NewMicroTime(at),
	}}}
}

// ReleaseTime returns when the FirmwareUpgrade of a task was deleted last; zero if none was.
func (s *Store) ReleaseTime(task result.Task) time.Time { return s.index.releaseTime(task) }
