// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
)

// keepUntil tells the store until when it keeps the results of a task, the newest of which arrived, or whose
// FirmwareUpgrade was deleted, at lastTouched:
//
//   - while a FirmwareUpgrade that is not archived has the task, for now (zero); and so while one has counted it that
//     may not claim it at the moment: a mapping that is replaced or mistyped must not remove for good what was counted;
//   - those of an archived one until it was archived, but what came later as long as what nobody claims;
//   - what nobody claims, a while from then on, so that it can be declared anew.
func keepUntil(
	c client.Reader,
	rules claim.Rules,
	unclaimed time.Duration,
) func(context.Context, result.Task, time.Time) (time.Time, error) {
	return func(ctx context.Context, task result.Task, lastTouched time.Time) (time.Time, error) {
		same, err := sameOperation(ctx, c, task.OperationID)
		if err != nil {
			return time.Time{}, err
		}
		has := claim.HolderOf(task, same, rules)
		switch {
		case has != nil && !status.Archived(has.Status), has == nil && isCounted(task, same):
			return time.Time{}, nil
		// The API keeps seconds.
		case has != nil && !lastTouched.Truncate(time.Second).After(has.Status.ArchiveTime.Time):
			return has.Status.ArchiveTime.Time, nil
		}
		return lastTouched.Add(unclaimed), nil
	}
}

// isCounted says whether one of the FirmwareUpgrades has counted a task and is neither archived nor being deleted. All
// must have the task's operationId.
func isCounted(task result.Task, same []v1alpha1.FirmwareUpgrade) bool {
	return slices.ContainsFunc(same, func(f v1alpha1.FirmwareUpgrade) bool {
		return f.DeletionTimestamp.IsZero() && f.Status.StartTime != nil && f.Status.AppID == task.AppID &&
			!status.Archived(f.Status)
	})
}

// lookUp tells the store what became of a FirmwareUpgrade. What the cache does not know is asked of the API server: the
// cache of a new leader may be behind.
func lookUp(
	cached, direct client.Reader,
) func(context.Context, storage.ObjectReference) (exists, purges bool, err error) {
	return func(ctx context.Context, object storage.ObjectReference) (exists, purges bool, err error) {
		fwu := &v1alpha1.FirmwareUpgrade{}
		err = cached.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Name}, fwu)
		if err == nil && string(fwu.UID) == object.UID && wantsPurge(fwu) {
			return true, true, nil
		}
		named := &v1alpha1.FirmwareUpgradeList{} // who may list need not have the right to get, too
		byName := client.MatchingFields{"metadata.name": object.Name}
		err = direct.List(ctx, named, client.InNamespace(object.Namespace), byName)
		if err != nil {
			return false, false, fmt.Errorf("list FirmwareUpgrades by name: %w", err)
		}
		for i := range named.Items {
			if f := &named.Items[i]; string(f.UID) == object.UID {
				return true, wantsPurge(f), nil
			}
		}
		return false, false, nil
	}
}
