// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	open, closed := newSchedule(at(0), 100, 50), newSchedule(at(0), 0, 50)
	cases := map[string]struct {
		schedule schedule
		push     int
		now      time.Time
		due      time.Time
		over     bool
	}{
		"the first, open":           {schedule: open, now: at(0), due: at(0)},
		"before it is due":          {schedule: open, push: 7, now: at(3), due: at(70)},
		"long after it was due":     {schedule: open, push: 7, now: at(900), due: at(70)},
		"within the grace":          {schedule: open, push: 49, now: at(490).Add(openGrace), due: at(490)},
		"after the grace":           {schedule: open, push: 49, now: at(491).Add(openGrace), due: at(490), over: true},
		"closed":                    {schedule: closed, push: 7, now: at(3), due: at(3)},
		"closed, however late":      {schedule: closed, push: 49, now: at(99_999), due: at(99_999)},
		"a rate that divides badly": {schedule: newSchedule(at(0), 3000, 9), push: 3, now: at(0), due: at(0).Add(3 * 333_333)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.schedule.due(c.push, c.now); !got.Equal(c.due) {
				t.Errorf("due %s, want %s", got, c.due)
			}
			if got := c.schedule.over(c.now); got != c.over {
				t.Errorf("over: %v, want %v", got, c.over)
			}
		})
	}
}
