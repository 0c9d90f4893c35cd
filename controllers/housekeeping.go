// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// compactionInterval is how often the leader looks for something to compact.
	compactionInterval = 5 * time.Second
	// retentionEvery is how many of those intervals are between two looks for results to remove.
	retentionEvery = 6
)

// housekeeping runs compaction and retention, one after the other, so that neither works on slices the other replaces.
// It is a manager.Runnable of the leader.
type housekeeping struct {
	reader     *SliceReader
	compaction *compaction
	retention  *retention
	clock      clock.WithTicker
}

// Start works until the context ends.
func (h *housekeeping) Start(ctx context.Context) error {
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithName("housekeeping"))
	if err := h.reader.WaitForSync(ctx); err != nil {
		return nil // the context ended before there was anything to do
	}
	ticker := h.clock.NewTicker(compactionInterval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-h.retention.wake:
			h.retain(ctx)
		case <-ticker.C():
			h.compaction.run(ctx)
			if n%retentionEvery == 0 {
				h.retain(ctx)
			}
		}
	}
}

func (h *housekeeping) retain(ctx context.Context) {
	if err := h.retention.run(ctx); err != nil && ctx.Err() == nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not remove old results, will try again")
	}
}
