// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// answeredDevices returns, for every task, when each of its devices was first answered 200, in ascending order. A
// device that pushes twice counts once in the status, and so here. The numbers of the answers are those of the plan.
func answeredDevices(plan *platform.Plan, answers pushed) map[string][]time.Time {
	first := map[int]time.Time{}
	for i, a := range answers {
		if !a.ok() {
			continue
		}
		device := plan.At(i).Device
		if known, ok := first[device]; !ok || a.at.Before(known) {
			first[device] = a.at
		}
	}
	byTask := map[string][]time.Time{}
	for i := range answers {
		n := plan.At(i)
		if at, ok := first[n.Device]; ok {
			id := plan.OperationID(n.Task)
			byTask[id] = append(byTask[id], at)
			delete(first, n.Device)
		}
	}
	for _, times := range byTask {
		slices.SortFunc(times, time.Time.Compare)
	}
	return byTask
}

// maxBehind returns how far behind a status ever was until the time end: the age of the oldest result that was answered
// 200 and not yet counted, at its greatest over time and tasks. A status says how many devices it counts, not which, so
// those answered first are taken for counted first; answers that overtake each other make it too small by at most the
// time that a push takes. Sightings of a task are in the order in which they were seen.
func maxBehind(answered map[string][]time.Time, seen []sighting, end time.Time) time.Duration {
	var most time.Duration
	counted := map[string]int{}
	// note takes the age, at a moment, of the oldest result of a task that was not counted until then.
	note := func(operationID string, at time.Time) {
		times, n := answered[operationID], counted[operationID]
		if n < len(times) && times[n].Before(at) {
			most = max(most, at.Sub(times[n]))
		}
	}
	for _, s := range seen {
		if s.at.After(end) {
			continue
		}
		note(s.operationID, s.at) // the age grew up to this moment
		counted[s.operationID] = int(s.devices)
	}
	for operationID := range answered {
		note(operationID, end)
	}
	return most
}
