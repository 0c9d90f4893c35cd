// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"k8s.io/client-go/util/workqueue"

	"fwupgrade.io/operator/internal/upgrade"
)

// tallySource makes a controller follow the tally: what a changed task maps to is queued for the end of the status
// window; the queue keeps the earliest deadline, so that a burst of results makes one request. The controller starts
// its workers only when all stored slices have been read.
type tallySource[request comparable] struct {
	reader   *SliceReader
	requests func(context.Context, upgrade.Task) []request
}

// Start implements source.TypedSource.
func (s *tallySource[request]) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[request]) error {
	s.reader.Subscribe(func(changed []upgrade.Task) {
		for _, task := range changed {
			for _, r := range s.requests(ctx, task) {
				queue.AddAfter(r, statusWindow)
			}
		}
	})
	return nil
}

// WaitForSync implements source.TypedSyncingSource.
func (s *tallySource[request]) WaitForSync(ctx context.Context) error {
	return s.reader.WaitForSync(ctx)
}
