// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// awaitAll returns when the condition finds nothing wrong with any FirmwareUpgrade of the turn. It watches, because
// reading them again and again would be a load beside the one that is measured. When ctx ends before, the error says
// what is wrong with one of them.
func awaitAll(ctx context.Context, turn *turn, problemOf func(*v1alpha1.FirmwareUpgrade) string) error {
	problems := map[string]string{}
	note := func(fwu *v1alpha1.FirmwareUpgrade) {
		if problem := problemOf(fwu); problem != "" {
			problems[fwu.Name] = problem
		} else {
			delete(problems, fwu.Name)
		}
	}
	for {
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := turn.api.List(ctx, list, client.InNamespace(turn.namespace)); err != nil {
			return fmt.Errorf("list FirmwareUpgrades: %w", firstProblem(err, problems))
		}
		clear(problems)
		for i := range list.Items {
			note(&list.Items[i])
		}
		if len(problems) == 0 {
			return nil
		}
		list.Items = nil
		if err := follow(ctx, turn, list, func(fwu *v1alpha1.FirmwareUpgrade) bool {
			note(fwu)
			return len(problems) == 0
		}); err != nil {
			return fmt.Errorf("wait for FirmwareUpgrades: %w", firstProblem(err, problems))
		}
		if len(problems) == 0 {
			return nil
		}
	}
}

// follow passes on what changes after the list until seen returns true or the watch ends, as watches do.
func follow(ctx context.Context, turn *turn, list *v1alpha1.FirmwareUpgradeList, seen func(*v1alpha1.FirmwareUpgrade) bool) error {
	watcher, err := turn.api.Watch(ctx, list, client.InNamespace(turn.namespace),
		&client.ListOptions{Raw: watchFrom(list.ResourceVersion)})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case event, open := <-watcher.ResultChan():
			fwu, ok := event.Object.(*v1alpha1.FirmwareUpgrade)
			if !open || !ok || event.Type == watch.Error {
				return nil // it has to be read anew
			}
			if seen(fwu) {
				return nil
			}
		}
	}
}

// firstProblem adds one of the problems to an error.
func firstProblem(err error, problems map[string]string) error {
	for name, problem := range problems {
		return fmt.Errorf("%w: %d are not as they have to be; one of them, %s: %s", err, len(problems), name, problem)
	}
	return err
}
