// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tally is what results add up to: counts, causes of failure, and the log of failures. It is kept in memory; it
// does no I/O and reads no clock.
package tally

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Tally is what the results of every task add up to. Any order, repetition and compaction of the same slices makes the
// same summaries. It keeps a small record for a device that succeeded or is in progress, and more only for those that
// failed. It is safe for concurrent use.
type Tally struct {
	mu          sync.RWMutex
	keys        keyring
	tasks       map[result.Task]*taskTally
	byOperation map[string][]result.Task // sorted by AppID
	devices     int64
	// shrinks counts how often something may have been dropped.
	shrinks int64
}

// New returns an empty tally.
func New() *Tally {
	return &Tally{
		keys:        keyring{maphash.MakeSeed(), maphash.MakeSeed()},
		tasks:       map[result.Task]*taskTally{},
		byOperation: map[string][]result.Task{},
	}
}

// Add joins results to what is known, and returns the tasks of which they told something new, each once. It keeps no
// memory of the results.
func (t *Tally) Add(results []result.Result) []result.Task {
	t.mu.Lock()
	defer t.mu.Unlock()
	var changed []*taskTally
	var task *taskTally
	for _, r := range results {
		if task == nil || task.id != r.Task {
			task = t.task(r.Task)
		}
		r.Normalize()
		before := len(task.devices)
		if task.add(t.keys, &r) && !task.changed {
			task.changed = true
			changed = append(changed, task)
		}
		t.devices += int64(len(task.devices) - before)
	}

	tasks := make([]result.Task, len(changed))
	for i, task := range changed {
		task.changed = false
		tasks[i] = task.id
	}
	return tasks
}

// Forget drops all that is known of a task.
func (t *Tally) Forget(task result.Task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tally, known := t.tasks[task]
	if !known {
		return
	}
	t.shrinks++
	t.devices -= int64(len(tally.devices))
	delete(t.tasks, task)
	others := slices.DeleteFunc(t.byOperation[task.OperationID], func(other result.Task) bool { return other == task })
	if len(others) == 0 {
		delete(t.byOperation, task.OperationID)
		return
	}
	t.byOperation[task.OperationID] = others
}

// Sibling returns an empty tally whose tasks Replace can take over.
func (t *Tally) Sibling() *Tally {
	sibling := New()
	sibling.keys = t.keys
	return sibling
}

// Replace takes what is known of a task from a sibling, which is not used for that task any more. What the sibling does
// not know is forgotten. In the failure log the devices that were in it stay in their order, before all others: what
// was announced stays announced, as far as it was not deleted.
func (t *Tally) Replace(task result.Task, sibling *Tally) {
	sibling.mu.Lock()
	defer sibling.mu.Unlock()
	recounted, known := sibling.tasks[task]
	if !known {
		t.Forget(task)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	current := t.task(task)
	recounted.failures.sortAfter(&current.failures)
	recounted.id = current.id
	t.shrinks++
	t.devices += int64(len(recounted.devices) - len(current.devices))
	t.tasks[current.id] = recounted
}

// Seal is called once, when all stored slices have been added. It sorts the failure log of every task by the time of
// the failure, then by device, so that the next leader continues announcing about where the last one stopped. From then
// on the logs grow in the order of arrival.
func (t *Tally) Seal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, task := range t.tasks {
		task.failures.sort()
	}
}

// Tasks returns the tasks with an operation id, one for each application that reports it, sorted by AppID.
func (t *Tally) Tasks(operationID string) []result.Task {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.byOperation[operationID])
}

// All returns all tasks, sorted by OperationID, then AppID.
func (t *Tally) All() []result.Task {
	t.mu.RLock()
	tasks := make([]result.Task, 0, len(t.tasks))
	for task := range t.tasks {
		tasks = append(tasks, task)
	}
	t.mu.RUnlock()
	slices.SortFunc(tasks, result.CompareTasks)
	return tasks
}

// Heard is what is known of a device: whether it counts less than it would with a state, and when anything of it
// arrived last, in microseconds since 1970-01-01 UTC; 0 where nothing did.
func (t *Tally) Heard(task result.Task, deviceID string, state storage.State) (lacks bool, last int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	of, known := t.tasks[task]
	if !known {
		return true, 0
	}
	record, known := of.devices[t.keys.key(deviceID)]
	if !known {
		return true, 0
	}
	return record.rank < result.RankOf(state), record.lastReceivedAt()
}

// Size returns how many devices have reported, added up over all tasks.
func (t *Tally) Size() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.devices
}

// Devices returns how many devices of a task have reported.
func (t *Tally) Devices(task result.Task) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if of, known := t.tasks[task]; known {
		return int64(len(of.devices))
	}
	return 0
}

// LastReceivedAt returns when the newest notification of a task arrived, in microseconds since 1970-01-01 UTC; 0 if
// none did.
func (t *Tally) LastReceivedAt(task result.Task) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if of, known := t.tasks[task]; known {
		return of.received.Last
	}
	return 0
}

// Count returns how many tasks there are.
func (t *Tally) Count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.tasks)
}

// task returns the tally of a task, a new one if there is none.
func (t *Tally) task(id result.Task) *taskTally {
	if task, known := t.tasks[id]; known {
		return task
	}
	id = result.Task{AppID: strings.Clone(id.AppID), OperationID: strings.Clone(id.OperationID)}
	task := newTaskTally(id)
	t.tasks[id] = task
	others := t.byOperation[id.OperationID]
	at, _ := slices.BinarySearchFunc(others, id, result.CompareTasks)
	t.byOperation[id.OperationID] = slices.Insert(others, at, id)
	return task
}

// deviceKey stands for a device id: 128 bits that nobody outside can choose, so that two ids practically never share
// them.
type deviceKey [2]uint64

// keyring makes device keys.
type keyring [2]maphash.Seed

func (k keyring) key(deviceID string) deviceKey {
	return deviceKey{maphash.String(k[0], deviceID), maphash.String(k[1], deviceID)}
}
