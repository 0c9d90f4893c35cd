// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// rightAfter returns how long after a restart every status counted all devices that had been answered until then; 0
// where all did already. It is an error if a status ever counted fewer devices than before.
func rightAfter(answered map[string][]time.Time, seen []sighting, restarted time.Time) (time.Duration, error) {
	due := map[string]int64{} // by task: what has to be counted, and is not
	for operationID, times := range answered {
		for _, at := range times {
			if !at.After(restarted) {
				due[operationID]++
			}
		}
	}
	var after time.Duration
	counted := map[string]int64{}
	for _, s := range seen {
		if s.devices < counted[s.operationID] {
			return 0, fmt.Errorf("the status of task %s counted %d devices, and later %d", s.operationID, counted[s.operationID],
				s.devices)
		}
		counted[s.operationID] = s.devices
		if n, ok := due[s.operationID]; ok && s.devices >= n {
			delete(due, s.operationID)
			after = max(after, s.at.Sub(restarted))
		}
	}
	if len(due) > 0 {
		return 0, fmt.Errorf("%d statuses never counted what was pushed until the restart", len(due))
	}
	return after, nil
}
