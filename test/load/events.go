// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"maps"
	"sync"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/internal/status"
)

// newsTimeout is how long Events are awaited after every status is right.
const newsTimeout = 30 * time.Second

// events follows the Events of a namespace. It notes when the first one about each news was seen.
type events struct {
	*follower
	changed chan struct{} // has something when an Event was noted since it was last read

	mu   sync.Mutex // guards seen
	seen map[newsOfUpgrade]time.Time
}

// newsOfUpgrade is a news about the FirmwareUpgrade with a name.
type newsOfUpgrade struct {
	name string
	what news
}

// followEvents reads the Events and follows them until it is stopped or ctx ends.
func followEvents(ctx context.Context, api client.WithWatch, namespace string) (_ *events, err error) {
	e := newEvents()
	e.follower, err = follow(ctx, api, namespace, &eventsv1.EventList{}, func(object client.Object, at time.Time) {
		if event, ok := object.(*eventsv1.Event); ok {
			e.note(event, at)
		}
	})
	return e, err
}

func newEvents() *events {
	return &events{changed: make(chan struct{}, 1), seen: map[newsOfUpgrade]time.Time{}}
}

// note takes an Event that was seen at a time.
func (e *events) note(event *eventsv1.Event, at time.Time) {
	what := newsByReason()[event.Reason]
	if what == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	key := newsOfUpgrade{name: event.Regarding.Name, what: what}
	if _, known := e.seen[key]; !known {
		e.seen[key] = at
	}
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// newsByReason says which news an Event tells.
func newsByReason() map[string]news {
	return map[string]news{
		status.EventDeviceFailed: newsFailure, status.EventDevicesFailed: newsFailure,
		status.EventDegraded: newsDegraded, status.EventFinished: newsFinished,
	}
}

// first returns when the first Event about each news was seen.
func (e *events) first() map[newsOfUpgrade]time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.seen)
}

// await returns when there was an Event about every news or, for those that never come, when the time for them has
// passed; with an error when ctx or the watch ends before.
func (e *events) await(ctx context.Context, wanted []wantedNews) error {
	timeout := time.NewTimer(newsTimeout)
	defer timeout.Stop()
	for {
		seen, missing := e.first(), false
		for _, w := range wanted {
			if _, ok := seen[w.newsOfUpgrade]; !ok {
				missing = true
				break
			}
		}
		if !missing {
			return nil
		}
		select {
		case <-e.changed:
		case <-timeout.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.ended:
			return e.err
		}
	}
}
