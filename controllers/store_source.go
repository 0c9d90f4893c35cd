// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
)

// storeSource makes a controller follow the store: enqueue queues what a changed task concerns. While that is slow,
// changes gather in the watcher. The controller starts its workers when all stored slices have been read.
type storeSource[request comparable] struct {
	store   *store.Store
	enqueue func(context.Context, workqueue.TypedRateLimitingInterface[request], result.Task)
	// pause is how long changes gather before they are looked at again.
	pause func() time.Duration
	clock clock.Clock
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
				s.enqueue(ctx, queue, task)
			}
			select {
			case <-ctx.Done():
				return
			case <-s.clock.After(s.pause()):
			}
		}
	}()
	return nil
}

// WaitForSync implements source.TypedSyncingSource.
func (s *storeSource[request]) WaitForSync(ctx context.Context) error {
	return s.store.WaitForSync(ctx)
}
