// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/load/receiver"
)

// declareWorkers is how many FirmwareUpgrades are created at a time.
const declareWorkers = 8

// operatorSide is the operator as it is installed: a webhook and controllers, in a process and with a service account
// each; every task is declared.
type operatorSide struct {
	// args are further arguments of the controllers.
	args                 []string
	webhook, controllers *local.Manager
	statuses             *statuses
	events               *events
}

// start implements side. It returns once every FirmwareUpgrade has a status, so that the first status writes, which are
// not the results' cost, are over.
func (s *operatorSide) start(ctx context.Context, turn *turn) (*started, error) {
	if err := s.prepare(ctx, turn); err != nil {
		return nil, err
	}
	if err := s.startControllers(ctx, turn); err != nil {
		return nil, err
	}
	err := s.statuses.await(ctx, func(fwu *v1alpha1.FirmwareUpgrade) string {
		if fwu.Status.ObservedGeneration != fwu.Generation {
			return "has no status"
		}
		return ""
	})
	return &started{pids: s.pids(), address: s.webhook.CallbackAddress, path: receiver.Path}, err
}

// prepare does everything but start the controllers: it declares the tasks, follows what is told and starts the
// webhook.
func (s *operatorSide) prepare(ctx context.Context, turn *turn) (err error) {
	if err := declare(ctx, turn); err != nil {
		return err
	}
	if s.statuses, err = followStatuses(ctx, turn.api, turn.namespace); err != nil {
		return err
	}
	if s.events, err = followEvents(ctx, turn.api, turn.namespace); err != nil {
		return err
	}
	s.webhook, err = local.StartManager(ctx, local.ManagerOptions{
		Config: turn.receiver, Output: turn.log, Components: "webhook",
		Args: []string{
			"--allow-anonymous", "--drain-duration=0s", "--callback-path=" + receiver.Path,
			"--operator-namespace=" + turn.namespace,
		},
	})
	return err
}

// startControllers starts the controllers, for the first time or again.
func (s *operatorSide) startControllers(ctx context.Context, turn *turn) (err error) {
	s.controllers, err = local.StartManager(ctx, local.ManagerOptions{
		Config: turn.controllers, Output: turn.log, Components: "controllers",
		Args: append([]string{
			"--leader-elect=false", "--operator-namespace=" + turn.namespace, "--default-namespace=" + turn.namespace,
		}, s.args...),
	})
	return err
}

// pids returns the ids of the processes that run.
func (s *operatorSide) pids() map[string]int {
	return map[string]int{processReceiver: s.webhook.PID(), processControllers: s.controllers.PID()}
}

// declare creates the FirmwareUpgrade of every task of the plan, as Git would.
func declare(ctx context.Context, turn *turn) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(declareWorkers)
	for i, task := range turn.plan.Counts(nil) {
		group.Go(func() error {
			expected := turn.devicesOf(i, task.Devices)
			fwu := &v1alpha1.FirmwareUpgrade{
				ObjectMeta: metav1.ObjectMeta{Namespace: turn.namespace, Name: upgradeName(i)},
				Spec: v1alpha1.FirmwareUpgradeSpec{
					AppID: task.AppID, OperationID: task.OperationID, ExpectedDevices: &expected,
					TargetVersion: turn.plan.Options().TargetVersion,
					FailurePolicy: &v1alpha1.FailurePolicy{MaxFailed: intstr.FromInt32(int32(maxFailed(expected)))},
					SettleSeconds: new(int64(0)), // an end is to come as soon as it can
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

// upgradeName is the name of the FirmwareUpgrade of a task.
func upgradeName(task int) string { return fmt.Sprintf("task-%04d", task) }

// maxFailed is how many of so many devices may fail by the failure policy: a hundredth, and one at least. As a count it
// is broken by one push and stays broken, so that it is known when somebody waits for it.
func maxFailed(devices int64) int64 { return max(1, devices/100) }

// settle implements side: it returns when every status says what was pushed, all of which was answered 200.
func (s *operatorSide) settle(ctx context.Context, turn *turn) error {
	want := map[string]v1alpha1.DeviceCounts{}
	for i, task := range turn.plan.Counts(nil) {
		expected := turn.devicesOf(i, task.Devices)
		want[task.OperationID] = v1alpha1.DeviceCounts{
			Expected: expected, Succeeded: task.Succeeded, Failed: task.Failed, InProgress: task.InProgress,
			Pending: task.Pending + expected - task.Devices, Recovered: task.Recovered,
		}
	}
	return s.statuses.await(ctx, func(fwu *v1alpha1.FirmwareUpgrade) string {
		causes := int64(0)
		for _, c := range fwu.Status.Details.Causes {
			causes += c.Count
		}
		expected := want[fwu.Spec.OperationID]
		if got := fwu.Status.Devices; got != expected || causes != expected.Failed {
			return fmt.Sprintf("counts %+v and %d causes, but %+v was pushed", got, causes, expected)
		}
		return ""
	})
}

// seen implements side. It waits a while for the Events that have to come.
func (s *operatorSide) seen(ctx context.Context, turn *turn) (*told, error) {
	wanted := newsOf(turn)
	if err := s.events.await(ctx, wanted); err != nil {
		return nil, err
	}
	return &told{statuses: s.statuses.sightings(), wanted: wanted, events: s.events.first()}, nil
}

// stored implements side.
func (s *operatorSide) stored(ctx context.Context, turn *turn) ([]result.Result, bool, error) {
	results, err := storedInSlices(ctx, turn)
	return results, true, err
}

// stop implements side. The FirmwareUpgrades go, lest the next controllers write that their results are missing, and
// the ResultStore, which would tell them that the store is another installation's.
func (s *operatorSide) stop(ctx context.Context, turn *turn) error {
	var errs []error
	for _, process := range []*local.Manager{s.controllers, s.webhook} {
		if process != nil {
			errs = append(errs, process.Stop(ctx))
		}
	}
	s.controllers, s.webhook = nil, nil
	s.stopFollowing()
	if err := turn.api.DeleteAllOf(ctx, &v1alpha1.FirmwareUpgrade{}, client.InNamespace(turn.namespace)); err != nil {
		errs = append(errs, fmt.Errorf("remove the FirmwareUpgrades: %w", err))
	}
	store := &storage.ResultStore{ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}}
	if err := client.IgnoreNotFound(turn.api.Delete(ctx, store)); err != nil {
		errs = append(errs, fmt.Errorf("remove the ResultStore: %w", err))
	}
	return errors.Join(errs...)
}

// stopFollowing ends the watches.
func (s *operatorSide) stopFollowing() {
	if s.statuses != nil {
		s.statuses.stop()
		s.statuses = nil
	}
	if s.events != nil {
		s.events.stop()
		s.events = nil
	}
}
