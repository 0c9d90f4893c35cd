// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"time"

	"fwupgrade.io/operator/internal/platform"
)

// found is what a search of the platform found.
type found struct {
	// tasks have the fingerprint and are recorded for no request, owned have it and are.
	tasks []platform.Task
	owned int
	// similar are recorded for no request and may be for the same devices, but something about them is not as it was
	// asked for: the version, the policy, the devices.
	similar []platform.Task
	// complete says that the platform's list was read to its end, unsupported that it has none.
	complete, unsupported bool
}

// search searches the platform's list for tasks with a fingerprint. A list of groups is asked for by what their devices
// are, one of devices by one of them: the first, or one of the next two where the platform knows of nothing done to it.
func search(
	ctx context.Context, app *Application, f *fingerprint, b book, p platform.Priority,
) (found, error) {
	filters := make([]platform.TaskFilter, 0, maxProbes)
	if g := f.groups; g != nil {
		filters = append(filters, platform.TaskFilter{
			DeviceType: g.DeviceType, Model: g.Model, ManufacturerName: g.ManufacturerName,
		})
	}
	for _, id := range f.probes {
		filters = append(filters, platform.TaskFilter{DeviceID: id})
	}
	of := found{complete: true}
	for _, filter := range filters {
		list, err := app.Platform.Tasks(ctx, filter, p)
		if platform.KindOf(err) == platform.Unsupported {
			return found{unsupported: true}, nil
		}
		if err != nil {
			return found{}, err
		}
		of.complete = of.complete && list.Complete
		for i := range list.Tasks {
			switch t := &list.Tasks[i]; {
			case b.owner(t.OperationID) != "":
				if f.matches(t) {
					of.owned++
				}
			case f.matches(t):
				of.tasks = append(of.tasks, *t)
			case f.resembles(t):
				of.similar = append(of.similar, *t)
			}
		}
		if len(list.Tasks) > 0 {
			break
		}
	}
	return of, nil
}

// createTime is when a task was created, by this process's clock; zero where the platform did not say.
func createTime(app *Application, t *platform.Task) time.Time {
	if t.CreateTime.IsZero() {
		return t.CreateTime
	}
	return t.CreateTime.Add(-app.Platform.Status().ClockOffset)
}

// isFinished says whether a task has ended. One that failed may be tried again by the platform, as often as its policy
// says; that is not told, so it counts as ended.
func isFinished(t *platform.Task) bool {
	switch t.Status {
	case platform.TaskSucceeded, platform.TaskFailed, platform.TaskStopped:
		return true
	}
	return false
}
