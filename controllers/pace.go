// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// busyWrite is how long a write takes that is followed by a rest as long as itself. Quicker ones are followed by
	// shorter rests in proportion, slower ones by longer rests.
	busyWrite = 20 * time.Millisecond
	// maxRests is how many times as long as its write a rest may be, and maxRest how long at all: a write that failed
	// because the API server was gone takes seconds, and then there is much to tell.
	maxRests = 8
	maxRest  = 2 * time.Second
	// calmResults is how many results a second the platform pushes at most. When more come, which is a backlog that
	// several senders push at once, fewer statuses and Events are written, in proportion, but minWrites of each a second.
	calmResults = 1000
	minWrites   = 5
	// writeBurst is how many of them may be written at once after a pause.
	writeBurst = workers
	// eventsPerSecond is how many Events a second are created over all FirmwareUpgrades, when many begin or end at once.
	eventsPerSecond = 50
)

// pace keeps what the leader tells about results from being in the way of storing them:
//
//   - There are limits of status writes and of Events a second, which fall when results come faster than one platform
//     pushes them.
//   - Whoever writes rests afterwards, the longer the slower the write was, so that an API server that is busy, and
//     answers later, is asked less often.
type pace struct {
	statusWrites, events *rate.Limiter
	maxStatusWrites      int
	clock                clock.Clock

	mu sync.Mutex
	// second is when the counting of results began anew, results how many have come since.
	second  time.Time
	results int
	// backlog says that they came faster than calmResults in the last second that was counted.
	backlog bool
}

func newPace(maxStatusWrites int, clk clock.Clock) *pace {
	return &pace{
		statusWrites:    rate.NewLimiter(rate.Limit(maxStatusWrites), writeBurst),
		events:          rate.NewLimiter(eventsPerSecond, writeBurst),
		maxStatusWrites: maxStatusWrites,
		clock:           clk,
	}
}

// received notes that results were stored, and once a second sets the limits by how many these were.
func (p *pace) received(results int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results += results
	now := p.clock.Now()
	if passed := now.Sub(p.second); passed >= time.Second {
		perSecond := float64(p.results) / passed.Seconds()
		p.backlog = perSecond > calmResults
		p.statusWrites.SetLimit(writeLimit(p.maxStatusWrites, perSecond))
		p.events.SetLimit(writeLimit(eventsPerSecond, perSecond))
		p.second, p.results = now, 0
	}
}

// hasBacklog says whether results come faster than one platform pushes them.
func (p *pace) hasBacklog() bool {
	p.received(0) // perhaps no more come
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.backlog
}

// writeLimit returns how many statuses or Events a second may be written, most if not so many results a second come.
func writeLimit(most int, resultsPerSecond float64) rate.Limit {
	least := min(most, minWrites)
	return rate.Limit(max(float64(least), float64(most)*min(1, calmResults/resultsPerSecond)))
}

// awaitStatusWrite returns when a status may be written.
func (p *pace) awaitStatusWrite(ctx context.Context) error {
	p.received(0) // perhaps no more results come
	if err := p.statusWrites.Wait(ctx); err != nil {
		return fmt.Errorf("wait for the turn to write a status: %w", err)
	}
	return nil
}

// awaitEvent returns when an Event may be created.
func (p *pace) awaitEvent(ctx context.Context) error {
	p.received(0)
	if err := p.events.Wait(ctx); err != nil {
		return fmt.Errorf("wait for the turn to create an event: %w", err)
	}
	return nil
}

// write writes, then rests. It returns the error of the write.
func (p *pace) write(ctx context.Context, write func() error) error {
	started := p.clock.Now()
	err := write()
	if rest := restAfter(p.clock.Since(started)); rest > 0 {
		timer := p.clock.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-timer.C():
		case <-ctx.Done():
		}
	}
	return err
}

// restAfter returns how long to rest after a write that took so long.
func restAfter(took time.Duration) time.Duration {
	return min(maxRest, time.Duration(float64(took)*min(maxRests, float64(took)/float64(busyWrite))))
}
