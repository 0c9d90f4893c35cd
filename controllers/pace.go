// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// busyWrite is how long a write takes that is followed by a rest as long as itself. Quicker ones are followed by
	// shorter rests in proportion, slower ones by longer rests.
	busyWrite = 10 * time.Millisecond
	// maxRests is how many times as long as its write a rest may be.
	maxRests = 8
)

// pace keeps what the leader tells about results from being in the way of storing them. There is a limit of status
// writes a second; and whoever writes rests afterwards, the longer the slower the write was, so that an API server that
// is busy, and answers later, is asked less often.
type pace struct {
	statusWrites *rate.Limiter
	clock        clock.Clock
}

func newPace(statusWritesPerSecond int, clk clock.Clock) *pace {
	return &pace{statusWrites: rate.NewLimiter(rate.Limit(statusWritesPerSecond), statusWritesPerSecond), clock: clk}
}

// awaitStatusWrite returns when a status may be written.
func (p *pace) awaitStatusWrite(ctx context.Context) error {
	if err := p.statusWrites.Wait(ctx); err != nil {
		return fmt.Errorf("wait for the turn to write a status: %w", err)
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
	return time.Duration(float64(took) * min(maxRests, float64(took)/float64(busyWrite)))
}
