// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"fmt"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
)

// Restore records the task that a status names although no record does, once the platform says that there is such a
// task: the records were lost, or are older than the status, as in a backup. It may be called for whatever Known says
// that there is an operationId of and that something is to begin. Without app, which is nil where the application is
// not connected, nothing is recorded yet.
func (c *Creator) Restore(ctx context.Context, app *Application, q *Asked) (Verdict, error) {
	records, err := c.o.Ledger.All(ctx)
	if err != nil {
		return Verdict{}, fmt.Errorf("read what was created so far: %w", err)
	}
	attempts := bookOf(records)[Hash(q.AppID, q.Task)]
	v, begin := c.judge(q, attempts)
	if !begin || v.OperationID == "" {
		return v, nil
	}
	if app == nil {
		v.After = lookAgain
		return v, nil
	}
	switch _, err := app.Platform.Task(ctx, q.OperationID, platform.PriorityResolve); {
	case platform.KindOf(err) == platform.NotFound:
		v.State, v.Reason, v.OperationID, v.After = v1alpha1.TaskUncertain, v1alpha1.ReasonCreationUncertain, "", lookHourly
		v.Message = "the status names the task " + q.OperationID + ", which neither the records of creations nor the " +
			"platform know. Replace spec.task by the operationId of the right one, or increase spec.task.run to have another " +
			"one created"
		return v, nil
	case err != nil:
		v.After = lookAgain
		return v, nil //nolint:nilerr // The task is followed all the same.
	}
	number := v.Attempt + 1
	if a := undecidedOf(attempts); a != nil {
		number = a.number
	}
	made, err := c.conclude(ctx, q.AppID, v.RequestHash, number, &storage.TaskOutcome{
		Result: storage.TaskResultCreated, OperationID: q.OperationID, How: storage.TaskDeclared,
	})
	if err != nil {
		return v, err
	}
	v, _ = c.judge(q, append(attempts, *made))
	return v, nil
}
