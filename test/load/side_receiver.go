// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/load/receiver"
)

// reader returns what is stored; ok is false where nothing is.
type reader func(ctx context.Context, turn *turn) (results []result.Result, ok bool, err error)

// receiverSide is a receiver of the package receiver, in a process of its own.
type receiverSide struct {
	way     string
	read    reader
	process *local.Manager
}

// fromSlices reads slices.
func fromSlices(ctx context.Context, turn *turn) ([]result.Result, bool, error) {
	results, err := storedInSlices(ctx, turn)
	return results, true, err
}

// fromConfigMaps reads slices that stand in ConfigMaps.
func fromConfigMaps(ctx context.Context, turn *turn) ([]result.Result, bool, error) {
	results, err := storedInConfigMaps(ctx, turn)
	return results, true, err
}

// fromNowhere is for receivers that store nothing.
func fromNowhere(context.Context, *turn) ([]result.Result, bool, error) { return nil, false, nil }

func newObjectSide() side  { return &receiverSide{way: receiver.WayObject, read: fromSlices} }
func newWebhookSide() side { return &receiverSide{way: receiver.WayWebhook, read: fromSlices} }
func newFloorSide() side   { return &receiverSide{way: receiver.WayFloor, read: fromConfigMaps} }
func newDecodeSide() side  { return &receiverSide{way: receiver.WayDecode, read: fromNowhere} }

// start implements side.
func (s *receiverSide) start(ctx context.Context, turn *turn) (*started, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	s.process, err = local.StartManager(ctx, local.ManagerOptions{
		Binary: binary,
		Config: turn.receiver,
		Output: turn.log,
		Env:    []string{envReceiver + "=1"},
		Args:   []string{"--way=" + s.way, "--operator-namespace=" + turn.namespace},
	})
	if err != nil {
		return nil, err
	}
	return &started{
		pids: map[string]int{processReceiver: s.process.PID()}, address: s.process.CallbackAddress, path: receiver.Path,
	}, nil
}

// settle implements side: nothing follows.
func (s *receiverSide) settle(context.Context, *turn) error { return nil }

// seen implements side: there are no statuses.
func (s *receiverSide) seen(context.Context, *turn) (*told, error) { return nil, nil }

// stored implements side.
func (s *receiverSide) stored(ctx context.Context, turn *turn) ([]result.Result, bool, error) {
	return s.read(ctx, turn)
}

// stop implements side.
func (s *receiverSide) stop(ctx context.Context, _ *turn) error {
	if s.process == nil {
		return nil
	}
	defer func() { s.process = nil }()
	return s.process.Stop(ctx)
}
