// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/hack/simulator/platform"
)

const (
	// settleTimeout is how long after the last push the status may take to be complete, every Event announced; the
	// settleSeconds of the sample are part of it.
	settleTimeout = 45 * time.Second
	pollInterval  = 200 * time.Millisecond
	// countTimeout is how long after an interrupt the status may take to count what was stored.
	countTimeout = 5 * time.Second
)

// push pushes the plan, shows how the status follows, and waits until it is complete.
func (s *stage) push(ctx context.Context, plan *platform.Plan, callbackURL string, want counts) error {
	s.out.Title(fmt.Sprintf("The platform pushes %d notifications of %d devices, %d a second",
		plan.Len(), plan.Options().Devices, pushRate))
	s.out.Styled(console.Bold, header())
	follower := &follower{stage: s}
	follower.look(ctx)
	if err := s.pushAll(ctx, plan, callbackURL, follower); err != nil {
		return err
	}
	if ctx.Err() != nil {
		s.awaitCounted(ctx)
		return context.Cause(ctx)
	}
	if !s.pushed.Complete || s.pushed.Sent != s.pushed.Notifications {
		return fmt.Errorf("not every push was answered 200 at once: %v", s.pushed.Answers)
	}
	return s.settle(ctx, want, follower)
}

// pushAll pushes the plan while the follower looks at the status again and again.
func (s *stage) pushAll(ctx context.Context, plan *platform.Plan, callbackURL string, f *follower) error {
	bar := s.out.Bar(plan.Len())
	defer bar.End()
	following, pushed := context.WithCancel(ctx)
	group := new(errgroup.Group)
	group.Go(func() error {
		wait.UntilWithContext(following, f.look, pollInterval)
		return nil
	})
	report, err := platform.Push(ctx, plan, platform.PushOptions{
		URL: callbackURL, Rate: pushRate,
		Progress: func(settled int) {
			bar.Set(settled, fmt.Sprintf("%d of %d pushed, %d devices counted, %d failed",
				settled, plan.Len(), f.counted.Load(), f.failed.Load()))
		},
	})
	pushed()
	_ = group.Wait() // it returns no error
	if err != nil {
		return err
	}
	s.pushed, s.counted = report, f.counted.Load()
	return nil
}

// settle waits until the status is complete and every Event announced, and says what for.
func (s *stage) settle(ctx context.Context, want counts, f *follower) error {
	fwu, err := s.status(ctx)
	if err != nil {
		return err
	}
	s.out.Line("Every push was answered 200: stored.")
	what := "waits for the last counts and Events"
	if settle := fwu.Spec.SettleSeconds; settle != nil && want.Failed > 0 {
		until := time.Now().Add(time.Duration(*settle) * time.Second)
		what = fmt.Sprintf("waits until %s for retries of the %d failed devices, then for Events",
			until.Format(time.TimeOnly), want.Failed)
	}
	ended := s.out.Step(what)
	// What is still missing is told by the comparison at the end.
	err = wait.PollUntilContextTimeout(ctx, pollInterval, settleTimeout, true, func(ctx context.Context) (bool, error) {
		got, err := s.counts(ctx)
		s.counted = got.Succeeded + got.Failed
		return err == nil && want.diff(got) == "" && f.finished(ctx), nil
	})
	ended(err == nil)
	f.look(ctx)
	return context.Cause(ctx)
}

// awaitCounted reads how many devices the status has with a result, until it has all whose results were answered 200;
// also where ctx is over.
func (s *stage) awaitCounted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTimeout)
	defer cancel()
	stored := s.pushed.Counts[0].Succeeded + s.pushed.Counts[0].Failed
	// What can't be read in time is told as it was read last.
	_ = wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		if got, err := s.counts(ctx); err == nil {
			s.counted = got.Succeeded + got.Failed
		}
		return s.counted >= stored, nil
	})
}

// soFar tells what had been pushed when the demo was interrupted. What was answered 200 is stored; what the interrupt
// broke off, the platform would push again.
func (s *stage) soFar() string {
	if s == nil || s.pushed == nil {
		return "before anything was pushed"
	}
	r := s.pushed
	if r.Complete {
		return fmt.Sprintf("when all %d notifications had been pushed and answered 200, so they were stored", r.Sent)
	}
	return fmt.Sprintf("when %d of %d notifications had been pushed: %d were answered 200, so they are stored, and %d "+
		"had no answer yet; the status counted %d devices", r.Sent, r.Notifications, r.Delivered, r.Sent-r.Delivered,
		s.counted)
}

// follower shows the status whenever it says something new.
type follower struct {
	stage *stage
	last  string
	// counted and failed are how many devices have a result, and a bad one.
	counted, failed atomic.Int64
}

// look reads the status and prints it, unless that was said before. Where a bar moves the counts, only a new phase or
// an answer of Ready is new. What can't be read is read the next time.
func (f *follower) look(ctx context.Context) {
	fwu, err := f.stage.status(ctx)
	if err != nil {
		return
	}
	f.counted.Store(fwu.Status.Devices.Succeeded + fwu.Status.Devices.Failed)
	f.failed.Store(fwu.Status.Devices.Failed)
	news := row(fwu)
	if f.stage.out.Live() {
		news = string(fwu.Status.Phase) + ready(fwu)
	}
	if news == f.last || fwu.Status.Phase == "" {
		return
	}
	f.last = news
	f.stage.out.Styled(styleOf(fwu.Status.Phase), row(fwu))
}

func (f *follower) finished(ctx context.Context) bool {
	fwu, err := f.stage.status(ctx)
	return err == nil && condition(fwu, v1alpha1.ConditionFinished) == "True"
}
