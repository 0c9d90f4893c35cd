// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// exists tells the store whether a FirmwareUpgrade exists, by the cache: what is asked about was in it before.
func exists(c client.Reader) func(context.Context, types.UID) (bool, error) {
	return func(ctx context.Context, object types.UID) (bool, error) {
		all := &v1alpha1.FirmwareUpgradeList{}
		if err := c.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
			return false, fmt.Errorf("list FirmwareUpgrades: %w", err)
		}
		return slices.ContainsFunc(all.Items, func(f v1alpha1.FirmwareUpgrade) bool { return f.UID == object }), nil
	}
}
