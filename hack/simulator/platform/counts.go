// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"cmp"
	"slices"
)

// Other is the name of the row that sums up the causes beyond the most frequent ones.
const Other = "Other"

// TaskCounts is what a receiver has to count for one task.
type TaskCounts struct {
	AppID       string `json:"appId"`
	OperationID string `json:"operationId"`
	// Devices is how many devices the task has, whether they reported or not.
	Devices int64 `json:"devices"`
	// Succeeded, Failed and InProgress are how many devices reported that and nothing better; Pending, how many
	// reported nothing.
	Succeeded  int64 `json:"succeeded"`
	Failed     int64 `json:"failed"`
	InProgress int64 `json:"inProgress"`
	Pending    int64 `json:"pending"`
	// Recovered is how many of the succeeded devices reported a failure, too.
	Recovered int64 `json:"recovered"`
	// Causes are the failed devices by cause.
	Causes map[string]int64 `json:"causes,omitempty"`
}

// Failures is how many devices ever reported a failure: so many have to be announced.
func (c TaskCounts) Failures() int64 { return c.Failed + c.Recovered }

// CauseCount is how many devices failed for a cause.
type CauseCount struct {
	Cause string
	Count int64
}

// TopCauses returns the n most frequent causes, the more frequent first, then by name, and what is left as Other.
func (c TaskCounts) TopCauses(n int) []CauseCount {
	rows := make([]CauseCount, 0, len(c.Causes))
	for cause, count := range c.Causes {
		rows = append(rows, CauseCount{Cause: cause, Count: count})
	}
	slices.SortFunc(rows, func(a, b CauseCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cause, b.Cause))
	})
	if len(rows) <= n {
		return rows
	}
	other := CauseCount{Cause: Other}
	for _, row := range rows[n:] {
		other.Count += row.Count
	}
	return append(rows[:n], other)
}

// Counts returns what a receiver has to count for each task when it gets those notifications for which delivered,
// given their number, is true, in any order and any number of times. Nil stands for all of them.
func (p *Plan) Counts(delivered func(i int) bool) []TaskCounts {
	best := make([]int8, p.options.Devices) // the greatest Kind reported, plus one
	failed := make([]bool, p.options.Devices)
	for i, m := range p.messages {
		if delivered != nil && !delivered(i) {
			continue
		}
		best[m.device] = max(best[m.device], int8(m.kind)+1)
		failed[m.device] = failed[m.device] || m.kind == Fail
	}
	counts := make([]TaskCounts, p.options.Tasks)
	for task := range counts {
		counts[task] = TaskCounts{
			AppID: p.options.AppID, OperationID: p.OperationID(task), Causes: map[string]int64{},
		}
	}
	for device := range best {
		c := &counts[p.taskOf(device)]
		c.Devices++
		switch {
		case best[device] == 0:
			c.Pending++
		case Kind(best[device]-1) == Success:
			c.Succeeded++
			if failed[device] {
				c.Recovered++
			}
		case Kind(best[device]-1) == Fail:
			c.Failed++
			group, _ := p.failureOf(device)
			c.Causes[group]++
		default:
			c.InProgress++
		}
	}
	return counts
}
