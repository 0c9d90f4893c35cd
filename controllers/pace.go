// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// pace keeps what the leader tells about results from being in the way of storing them. There is a limit of status
// writes a second; and whoever writes rests afterwards for as long as the write took, so that an API server that is
// busy, and answers later, is asked less often.
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
	if took := p.clock.Since(started); took > 0 {
		rest := p.clock.NewTimer(took)
		defer rest.Stop()
		select {
		case <-rest.C():
		case <-ctx.Done():
		}
	}
	return err
}
