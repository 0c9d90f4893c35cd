// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

const (
	// capacityInterval is how often the stored results are compared with the limit. In that time 1,000 results a second
	// exceed it by 2,000.
	capacityInterval = 2 * time.Second
	// publishInterval is how often the ResultStore's figures are written, when they hardly change.
	publishInterval = 10 * time.Second
	// A store is nearly full from nearlyFullPercent of the limit on, and until it is below openPercent.
	nearlyFullPercent = 80
	openPercent       = 75
	// reopenPercent is below what a full store takes results again.
	reopenPercent = 95
)

// keepPublished says in the ResultStore and by Events how much is stored, until the context ends or another
// installation owns the ResultStore. The figures keep the number of stored results below a limit: a full etcd would
// refuse everybody's writes, so that an admission policy refuses new slices before, by the state of the ResultStore.
func (s *Store) keepPublished(ctx context.Context) error {
	if err := s.WaitForSync(ctx); err != nil {
		return nil // the context ended before there was anything to say
	}
	ticker := s.options.Clock.NewTicker(capacityInterval)
	defer ticker.Stop()
	s.announcing.started = s.options.Clock.Now()
	for {
		if err := s.publishCapacity(ctx); isOwnedElsewhere(err) {
			return err
		} else if err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not say how much is stored, will try again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// publishCapacity writes the status of the ResultStore, first of all whether storing has to stop, and then announces
// what is in it and was not announced. A ResultStore that somebody deleted is created again.
func (s *Store) publishCapacity(ctx context.Context) error {
	store, err := claim(ctx, s.client, s.options.Namespace)
	if err != nil {
		return err
	}
	now := s.options.Clock.Now()
	next := s.observe(store.Status, now)
	if worthPublishing(store.Status, next) || now.Sub(s.announcing.published) >= publishInterval {
		if err := s.writeStatus(ctx, store, next); err != nil {
			return err
		}
		s.announcing.published = now
	}
	return errors.Join(s.announceState(ctx, store, now), s.announceRejected(ctx, store, now))
}

// observe returns what the status is to be.
func (s *Store) observe(previous storage.ResultStoreStatus, now time.Time) storage.ResultStoreStatus {
	next := previous
	u := s.index.usage()
	next.Load, next.Results, next.Rejected, next.Slices = u.load, u.results, u.rejected, u.slices
	next.Limit = int64(s.options.Limit)
	if next.State = stateOf(next.Load, next.Limit, previous.State); next.State != previous.State {
		next.StateTime = microTime(now)
	}
	if at := s.rejectedToAnnounce(previous, now); at != nil {
		next.RejectTime = at
	}
	return next
}

// stateOf returns the state of a store. It changes back only at a distance, so that it does not hover.
func stateOf(load, limit int64, previous storage.StoreState) storage.StoreState {
	atLeast := func(percent int64) bool { return load*100 >= limit*percent }
	wasFull := previous == storage.StoreFull
	switch {
	case load >= limit, wasFull && atLeast(reopenPercent):
		return storage.StoreFull
	case atLeast(nearlyFullPercent), (wasFull || previous == storage.StoreNearlyFull) && atLeast(openPercent):
		return storage.StoreNearlyFull
	default:
		return storage.StoreOpen
	}
}

// worthPublishing says whether a status says something else than the one before, or the figures have changed by more
// than a hundredth of the limit.
func worthPublishing(before, next storage.ResultStoreStatus) bool {
	moved := func(a, b int64) bool { return max(a-b, b-a)*100 > next.Limit }
	return before.State != next.State || before.Limit != next.Limit || !before.RejectTime.Equal(next.RejectTime) ||
		moved(before.Load, next.Load) || moved(before.Results, next.Results)
}

// writeStatus writes a status that differs from the ResultStore's.
func (s *Store) writeStatus(ctx context.Context, store *storage.ResultStore, next storage.ResultStoreStatus) error {
	if apiequality.Semantic.DeepEqual(store.Status, next) {
		return nil
	}
	store.Status = next
	if err := s.client.Status().Update(ctx, store); err != nil {
		return fmt.Errorf("write the status of ResultStore %s: %w", store.Name, err)
	}
	return nil
}

// microTime is a time as the API keeps it.
func microTime(at time.Time) *metav1.MicroTime {
	return new(metav1.NewMicroTime(at.Truncate(time.Microsecond)))
}
