// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
)

// storeSource makes a controller follow the store: what a changed task maps to is queued. While that is slow, changes
// gather in the watcher. The controller starts its workers when all stored slices have been read.
type storeSource[request comparable] struct {
	store    *store.Store
	requests func(context.Context, result.Task) []request
	// delay is how long a request waits in the queue, so that several changes make one.
	delay time.Duration
}

// Start implements source.TypedSource. What it starts ends with the context.
func (s *storeSource[request]) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[request]) error {
	watcher := s.store.Watch()
	go func() {
		for {
			changed, err := watcher.Next(ctx)
			if err != nil {
				return
			}
			for _, task := range changed {
				for _, r := range s.requests(ctx, task) {
					queue.AddAfter(r, s.delay)
				}
			}
		}
	}()
	return nil
}

// WaitForSync implements source.TypedSyncingSource.
func (s *storeSource[request]) WaitForSync(ctx context.Context) error {
	return s.store.WaitForSync(ctx)
}
