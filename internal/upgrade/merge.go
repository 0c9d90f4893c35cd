// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"slices"

	"fwupgrade.io/operator/api/v1alpha1"
)

// TaskMerge is what some slices hold about one task, with one result a device.
type TaskMerge struct {
	// Task is the task.
	Task Task
	// Entries are the packed results. The first entry has the first and last receive time of all that went into the
	// merge, where no result has it.
	Entries []v1alpha1.TaskResults
	// Results is how many results the entries have, which is how many devices.
	Results int
}

// Merge joins the results of slices by task and device, for compaction. It is sorted by operation, then application.
// The same results, in whatever slices and order, make the same merge, and a tally of the merge equals a tally of the
// slices. The strings share the memory of the slices.
func Merge(specs []v1alpha1.FirmwareUpgradeResultSliceSpec) []TaskMerge {
	tasks := map[Task]*joined{}
	for i := range specs {
		for j := range specs[i].Tasks {
			entry := &specs[i].Tasks[j]
			if len(entry.Results) == 0 {
				continue
			}
			id := Task{AppID: entry.AppID, OperationID: entry.OperationID}
			task, known := tasks[id]
			if !known {
				task = &joined{devices: make(map[string]Result, len(entry.Results))}
				tasks[id] = task
			}
			task.add(entry)
		}
	}

	merges := make([]TaskMerge, 0, len(tasks))
	for id, task := range tasks {
		merges = append(merges, TaskMerge{Task: id, Entries: task.pack(), Results: len(task.devices)})
	}
	slices.SortFunc(merges, func(a, b TaskMerge) int { return compareTasks(a.Task, b.Task) })
	return merges
}

// joined are the joined results of one task.
type joined struct {
	devices  map[string]Result
	received span
}

func (j *joined) add(entry *v1alpha1.TaskResults) {
	j.received.include(entry.FirstReceivedAt)
	j.received.include(entry.LastReceivedAt)
	for i := range entry.Results {
		result := unpackResult(entry, &entry.Results[i])
		j.received.include(result.ReceivedAt)
		if other, known := j.devices[result.DeviceID]; known {
			result = Join(result, other)
		}
		j.devices[result.DeviceID] = result
	}
}

func (j *joined) pack() []v1alpha1.TaskResults {
	results := make([]Result, 0, len(j.devices))
	var kept span
	for _, result := range j.devices {
		results = append(results, result)
		kept.include(result.ReceivedAt)
	}
	entries := Pack(results)
	if j.received.first < kept.first {
		entries[0].FirstReceivedAt = j.received.first
	}
	if j.received.last > kept.last {
		entries[0].LastReceivedAt = j.received.last
	}
	return entries
}
