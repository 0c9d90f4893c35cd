// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"maps"
	"slices"
	"strings"
)

// TaskResults are results of one task.
type TaskResults struct {
	Task    Task
	Results []Result
}

// Merge joins results by task and device, for compaction. What it returns is sorted by operation, then application,
// and within a task by device. The same results in any order make the same merge, and a tally of the merge equals a
// tally of the results.
func Merge(results []Result) []TaskResults {
	tasks := map[Task]map[string]Result{}
	for _, result := range results {
		devices, known := tasks[result.Task]
		if !known {
			devices = map[string]Result{}
			tasks[result.Task] = devices
		}
		if other, known := devices[result.DeviceID]; known {
			result = Join(result, other)
		} else {
			result.Normalize()
		}
		devices[result.DeviceID] = result
	}
	merged := make([]TaskResults, 0, len(tasks))
	for task, devices := range tasks {
		sorted := slices.SortedFunc(maps.Values(devices), func(a, b Result) int {
			return strings.Compare(a.DeviceID, b.DeviceID)
		})
		merged = append(merged, TaskResults{Task: task, Results: sorted})
	}
	slices.SortFunc(merged, func(a, b TaskResults) int { return CompareTasks(a.Task, b.Task) })
	return merged
}
