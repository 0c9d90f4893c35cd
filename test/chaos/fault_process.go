// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

func killWebhook(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	return kill(ctx, s.webhooks[f.target], f.lasts)
}

func killControllers(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	return kill(ctx, s.controllers[f.target], f.lasts)
}

func kill(ctx context.Context, slot *slot, lasts time.Duration) error {
	err := slot.kill()
	sleep(ctx, lasts)
	return errors.Join(err, slot.up(ctx))
}

func stopWebhook(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	return stop(ctx, s.webhooks[f.target].signal, f.lasts)
}

func stopControllers(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	return stop(ctx, s.controllers[f.target].signal, f.lasts)
}

// stop lets a process hang for a time, as a machine does that swaps, or a virtual one that is moved.
func stop(ctx context.Context, signal func(syscall.Signal) error, lasts time.Duration) error {
	err := signal(syscall.SIGSTOP)
	sleep(ctx, lasts)
	return errors.Join(err, signal(syscall.SIGCONT))
}

func rollWebhooks(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	return roll(ctx, s.webhooks, f.lasts)
}

func rollControllers(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	return roll(ctx, s.controllers, f.lasts)
}

// roll restarts one after the other in order. The next one waits until the one before is ready, for a while, as a
// Deployment does.
func roll(ctx context.Context, slots []*slot, pause time.Duration) error {
	for _, slot := range slots {
		if err := slot.restart(ctx, slot.extra...); err != nil {
			return err
		}
		for range 60 {
			if slot.ready.Load() || !sleep(ctx, probeInterval) {
				break
			}
		}
		sleep(ctx, pause)
	}
	return nil
}
