// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"

	"fwupgrade.io/operator/internal/upgrade"
)

// tallySource makes a controller follow the tally: what a changed task maps to is queued for the end of the task's window,
// so that a burst of results makes one request. The controller starts its workers only when all stored slices have been
// read.
type tallySource[request comparable] struct {
	reader   *SliceReader
	windows  *windows[request]
	requests func(context.Context, upgrade.Task) []request
}

// Start implements source.TypedSource.
func (s *tallySource[request]) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[request]) error {
	s.reader.Subscribe(func(changed []upgrade.Task) {
		for _, task := range changed {
			lookup := func() []request { return s.requests(ctx, task) }
			s.windows.add(task, lookup, func(r request, window time.Duration) { queue.AddAfter(r, window) })
		}
	})
	return nil
}

// WaitForSync implements source.TypedSyncingSource.
func (s *tallySource[request]) WaitForSync(ctx context.Context) error {
	return s.reader.WaitForSync(ctx)
}
