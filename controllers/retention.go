// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
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
//   - while a FirmwareUpgrade that is not archived has the task, for now (zero);
//   - those of an archived one until it was archived, but what came later as long as what nobody claims;
//   - what nobody claims, a while from then on, so that it can be declared anew.
func keepUntil(
	c client.Reader,
	rules claim.Rules,
	unclaimed time.Duration,
) func(context.Context, result.Task, time.Time) (time.Time, error) {
	return func(ctx context.Context, task result.Task, lastTouched time.Time) (time.Time, error) {
		has, err := holder(ctx, c, task, rules)
		switch {
		case err != nil || has != nil && !status.Archived(has.Status):
			return time.Time{}, err
		// The API keeps seconds.
		case has != nil && !lastTouched.Truncate(time.Second).After(has.Status.ArchiveTime.Time):
			return has.Status.ArchiveTime.Time, nil
		}
		return lastTouched.Add(unclaimed), nil
	}
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
