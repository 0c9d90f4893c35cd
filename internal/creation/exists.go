// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"fmt"

	"fwupgrade.io/operator/api/v1alpha1"
)

// nearRuns is how many runs before and after one are looked for in the records.
const nearRuns = 50

// whyNot says why nothing is created for a request before a person decides; empty where nothing speaks against it. It
// is given the tasks like it that no record names, those that run or are younger than the wish, and those that finished
// before or are of another version, and how many others are recorded.
//
//   - A later run of the request was created: this one was brought back, by a backup or by Git.
//   - There are such tasks that are more than the runs before this one, or of which no run before is recorded: the
//     records may be lost, and with them that one of these is this very run.
func whyNot(q *Asked, b book, running, finished []string, owned int) string {
	before, later := runsOf(q, b)
	if later == nil && len(running) == 0 &&
		(len(finished) == 0 || before && len(finished)+owned < int(max(1, q.Task.Run))) {
		return ""
	}
	next := max(int(q.Task.Run)+1, len(running)+len(finished)+owned+1)
	there := append(running, finished...)
	if later != nil {
		next = max(next, int(later.run)+1)
		there = append(there, later.operationID)
	}
	return fmt.Sprintf("the platform has such a task already: %s. To follow it, replace spec.task by its operationId; to "+
		"have another one created, set spec.task.run to %d", listed(there), next)
}

// run is a task that was created for another run of a request.
type run struct {
	run         int32
	operationID string
}

// runsOf says whether anything is recorded of a run before the one that is asked for, and what was created for the last
// of the runs after it; nil if nothing was.
func runsOf(q *Asked, b book) (before bool, later *run) {
	asked := max(1, q.Task.Run)
	other := *q.Task
	for other.Run = max(1, asked-nearRuns); other.Run <= asked+nearRuns; other.Run++ {
		attempts := b[Hash(q.AppID, &other)]
		switch {
		case other.Run < asked:
			before = before || len(attempts) > 0
		case other.Run > asked:
			if made := newestCreated(attempts); made != nil {
				later = &run{other.Run, made.outcome.OperationID}
			}
		}
	}
	return before, later
}

func exists(v Verdict, a *attempt) Verdict {
	v.State, v.Reason, v.Message = v1alpha1.TaskExists, v1alpha1.ReasonTaskExists, a.outcome.Message
	return v
}
