// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"slices"
	"time"
)

// The statuses of tasks and of sub-tasks. Documented; a task that failed is "failed", a sub-task "fail".
const (
	statusWait       = "wait"
	statusProcessing = "processing"
	statusSuccess    = "success"
	statusFail       = "fail"
	statusStop       = "stop"
	statusFailed     = "failed"
)

const firmwareUpgrade = "firmware_upgrade"

// task is an upgrade task.
type task struct {
	id      string
	request request
	version string // of its package
	hash    string // of targets and package
	// console is true where it was created without a client, as by the platform's console.
	console bool

	status                    string
	created, started, stopped time.Time
	listed                    time.Time // from when on the list has it
	counts                    Counts
	history                   []snapshot
	devices                   []device
	retries                   int // how often its failed devices are still tried again
	deleted                   bool
}

// device is a device in a task: a sub-task.
type device struct {
	id               string
	status           string
	detail           string
	started, stopped time.Time
	turn             int32 // grows with everything that happens to it
	step             int8  // what it does: see proceed
	attempt          uint8
	timedOut         bool
	failed           bool // an attempt failed
	pushes           DevicePushes
}

// Counts are the sub-tasks of a task by status. Those that timed out are among those that failed.
type Counts struct {
	Total      int `json:"total"`
	Wait       int `json:"wait"`
	Processing int `json:"processing"`
	Success    int `json:"success"`
	Fail       int `json:"fail"`
	Stop       int `json:"stop"`
	Timeout    int `json:"timeout"`
}

func (c *Counts) add(status string, timedOut bool, n int) {
	switch status {
	case statusWait:
		c.Wait += n
	case statusProcessing:
		c.Processing += n
	case statusSuccess:
		c.Success += n
	case statusFail:
		c.Fail += n
		if timedOut {
			c.Timeout += n
		}
	case statusStop:
		c.Stop += n
	}
}

// open is how many sub-tasks have not ended.
func (c *Counts) open() int { return c.Wait + c.Processing }

// snapshot is what the figures of a task were.
type snapshot struct {
	at     time.Time
	counts Counts
}

// set changes the status of a sub-task, at a time.
func (t *task) set(d *device, status string, at time.Time) {
	t.counts.add(d.status, d.timedOut, -1)
	d.status = status
	d.turn++
	t.counts.add(d.status, d.timedOut, 1)
	t.remember(at)
}

// remember notes the figures, at most once a second.
func (t *task) remember(at time.Time) {
	now := snapshot{at: at, counts: t.counts}
	if last := len(t.history) - 1; last >= 0 && at.Sub(t.history[last].at) < time.Second {
		t.history[last].counts = t.counts
		return
	}
	t.history = append(t.history, now)
}

// countsAt returns the figures as they were at a time.
func (t *task) countsAt(at time.Time) Counts {
	i, found := slices.BinarySearchFunc(t.history, at, func(s snapshot, at time.Time) int { return s.at.Compare(at) })
	if found {
		return t.history[i].counts
	}
	if i == 0 {
		return Counts{Total: t.counts.Total, Wait: t.counts.Total}
	}
	return t.history[i-1].counts
}

// tasks are all tasks, deleted ones, too.
type tasks struct {
	byID  map[string]*task
	order []*task // as they were created
	made  int
	// devices are all devices that were ever in a task.
	devices map[string]registered
}

// registered is what the platform knows of a device.
type registered struct {
	version string
	busy    *task // that it is being upgraded by
}

func newTasks() tasks {
	return tasks{byID: map[string]*task{}, devices: map[string]registered{}}
}

// get returns a task that is there.
func (t *tasks) get(id string) (*task, bool) {
	found, ok := t.byID[id]
	return found, ok && !found.deleted
}
