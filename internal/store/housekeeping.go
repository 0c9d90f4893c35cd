// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// compactionInterval is how often the leader looks for something to compact, and for recorded purges.
	compactionInterval = 5 * time.Second
	// retentionEvery is how many of those intervals are between two looks for results to remove.
	retentionEvery = 6
)

// keepHouse compacts and removes what is over until the context ends.
func (s *Store) keepHouse(ctx context.Context) {
	if err := s.WaitForSync(ctx); err != nil {
		return // the context ended before there was anything to do
	}
	ticker := s.options.Clock.NewTicker(compactionInterval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		s.compact(ctx)
		if err := s.purgeRecorded(ctx); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not remove the results of a deleted FirmwareUpgrade, will try again")
		}
		if n%retentionEvery != 0 {
			continue
		}
		if err := s.retain(ctx); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not remove old results, will try again")
		}
	}
}
