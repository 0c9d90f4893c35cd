// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// openGrace is how long after the last push of an open loop was due pushes still leave. What has not left by then never
// does, lest a side that can't keep the rate takes as long as it likes: beside the operator, which has to take them
// all.
const openGrace = 5 * time.Second

// schedule says when pushes are due.
type schedule struct {
	// start is when the first one is.
	start time.Time
	// interval is the time from one to the next, whatever the answers do: an open loop. With 0 a push is due when it
	// leaves, as soon as a connection is free for it: a closed loop.
	interval time.Duration
	// count is how many there are.
	count int
}

func newSchedule(start time.Time, perSecond, count int) schedule {
	s := schedule{start: start, count: count}
	if perSecond > 0 {
		s.interval = time.Second / time.Duration(perSecond)
	}
	return s
}

// due returns when the push with the number i, from 0, has to leave; in a closed loop the time that is given.
func (s schedule) due(i int, now time.Time) time.Time {
	if s.interval == 0 {
		return now
	}
	return s.start.Add(time.Duration(i) * s.interval)
}

// over tells whether it is too late for anything to leave.
func (s schedule) over(now time.Time) bool {
	return s.interval > 0 && now.After(s.due(s.count-1, now).Add(openGrace))
}

// waitUntil returns at the time, at once if that has passed, or with an error when ctx ends.
func waitUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
