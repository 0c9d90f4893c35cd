// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
)

// keepUntil tells the store until when it keeps the results of a task, the newest of which arrived at lastReceived:
//
//   - while a FirmwareUpgrade that is not archived has the task, for now (zero);
//   - those of an archived one until it was archived, but what came later as long as what nobody claims;
//   - what nobody claims, a while from the newest result on.
func keepUntil(
	c client.Reader,
	rules claim.Rules,
	unclaimed time.Duration,
) func(context.Context, result.Task, time.Time) (time.Time, error) {
	return func(ctx context.Context, task result.Task, lastReceived time.Time) (time.Time, error) {
		holder, err := holder(ctx, c, task, rules)
		switch {
		case err != nil || holder != nil && holder.Status.ArchiveTime == nil:
			return time.Time{}, err
		// The API keeps seconds.
		case holder != nil && !lastReceived.Truncate(time.Second).After(holder.Status.ArchiveTime.Time):
			return holder.Status.ArchiveTime.Time, nil
		}
		return lastReceived.Add(unclaimed), nil
	}
}
