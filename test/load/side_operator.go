// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/upgrade"
	"fwupgrade.io/operator/test/load/receiver"
)

// declareWorkers is how many FirmwareUpgrades are created at a time.
const declareWorkers = 8

// operatorSide is the operator: one manager with all components, every task declared.
type operatorSide struct {
	// args are further arguments of the manager.
	args     []string
	manager  *local.Manager
	statuses *statuses
}

// start implements side. It returns once every FirmwareUpgrade has been seen, so that the first status writes, which
// are not the results' cost, are over.
func (s *operatorSide) start(ctx context.Context, turn *turn) (pid int, address, path string, err error) {
	if err := declare(ctx, turn); err != nil {
		return 0, "", "", err
	}
	if s.statuses, err = followStatuses(ctx, turn.api, turn.namespace); err != nil {
		return 0, "", "", err
	}
	s.manager, err = local.StartManager(ctx, local.ManagerOptions{
		Config: turn.receiver,
		Output: turn.log,
		Args: append([]string{
			"--components=webhook,controllers", "--leader-elect=false", "--allow-anonymous", "--drain-duration=0s",
			"--callback-path=" + receiver.Path, "--operator-namespace=" + turn.namespace, "--default-namespace=" + turn.namespace,
		}, s.args...),
	})
	if err != nil {
		return 0, "", "", err
	}
	err = s.statuses.await(ctx, func(fwu *v1alpha1.FirmwareUpgrade) string {
		if fwu.Status.ObservedGeneration != fwu.Generation {
			return "has no status"
		}
		return ""
	})
	return s.manager.PID(), s.manager.CallbackAddress, receiver.Path, err
}

// declare creates the FirmwareUpgrade of every task of the plan, as Git would.
func declare(ctx context.Context, turn *turn) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(declareWorkers)
	for i, task := range turn.plan.Counts(nil) {
		group.Go(func() error {
			fwu := &v1alpha1.FirmwareUpgrade{
				ObjectMeta: metav1.ObjectMeta{Namespace: turn.namespace, Name: fmt.Sprintf("task-%04d", i)},
				Spec: v1alpha1.FirmwareUpgradeSpec{
					AppID: task.AppID, OperationID: task.OperationID, ExpectedDevices: &task.Devices,
					TargetVersion: turn.plan.Options().TargetVersion,
				},
			}
			// A side that starts again finds it.
			if err := client.IgnoreAlreadyExists(turn.api.Create(ctx, fwu)); err != nil {
				return fmt.Errorf("declare a task: %w", err)
			}
			return nil
		})
	}
	return group.Wait()
}

// settle implements side: it returns when every status says what was pushed, all of which was answered 200.
func (s *operatorSide) settle(ctx context.Context, turn *turn) error {
	want := map[string]v1alpha1.DeviceCounts{}
	for _, task := range turn.plan.Counts(nil) {
		want[task.OperationID] = v1alpha1.DeviceCounts{
			Expected: task.Devices, Succeeded: task.Succeeded, Failed: task.Failed,
			InProgress: task.InProgress, Pending: task.Pending, Recovered: task.Recovered,
		}
	}
	return s.statuses.await(ctx, func(fwu *v1alpha1.FirmwareUpgrade) string {
		reasons := int64(0)
		for _, r := range fwu.Status.Reasons {
			reasons += r.Count
		}
		expected := want[fwu.Spec.OperationID]
		if got := fwu.Status.Devices; got != expected || reasons != expected.Failed {
			return fmt.Sprintf("counts %+v and %d reasons, but %+v was pushed", got, reasons, expected)
		}
		return ""
	})
}

// sightings implements side.
func (s *operatorSide) sightings() []sighting { return s.statuses.sightings() }

// stored implements side.
func (s *operatorSide) stored(ctx context.Context, turn *turn) ([]upgrade.Result, bool, error) {
	results, err := storedInSlices(ctx, turn)
	return results, true, err
}

// stop implements side. The FirmwareUpgrades go, lest the next manager writes that their results are missing.
func (s *operatorSide) stop(ctx context.Context, turn *turn) error {
	var errs []error
	if s.manager != nil {
		errs = append(errs, s.manager.Stop(ctx))
		s.manager = nil
	}
	if s.statuses != nil {
		s.statuses.stop()
		s.statuses = nil
	}
	err := turn.api.DeleteAllOf(ctx, &v1alpha1.FirmwareUpgrade{}, client.InNamespace(turn.namespace))
	if err != nil {
		errs = append(errs, fmt.Errorf("remove the FirmwareUpgrades: %w", err))
	}
	return errors.Join(errs...)
}
