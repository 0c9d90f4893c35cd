// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"fwupgrade.io/operator/internal/upgrade"
)

const (
	// statusWindow is how long results of a task gather before it is reconciled: at most one status write a second.
	statusWindow = time.Second
	// maxStatusWindow is how long they gather at most, where many tasks are to be reconciled.
	maxStatusWindow = 8 * time.Second
	// calmStatusWrites is how many reconciles a second make no window longer.
	calmStatusWrites = 125
)

// windows says how long results gather before what they concern is reconciled. A status write costs the API server some
// three milliseconds of a processor, whatever it tells: the more requests wait, the longer a further one does, so that
// each write tells more and they come one after the other. Safe for concurrent use.
type windows[request comparable] struct {
	mu sync.Mutex
	// open are the tasks, by operationId, whose results wait to be told: the requests about them are queued, and none was
	// taken since.
	open map[string]map[upgrade.Task]struct{}
	// waiting are the requests that are queued.
	waiting map[request]struct{}
}

func newWindows[request comparable]() *windows[request] {
	return &windows[request]{open: map[string]map[upgrade.Task]struct{}{}, waiting: map[request]struct{}{}}
}

// add opens a window for a task that changed, unless one is open, and queues what lookup returns for its end. Without
// requests none is opened. The lookup is made under the lock, lest a request comes into being between it and the opening.
func (w *windows[request]) add(task upgrade.Task, lookup func() []request, queue func(request, time.Duration)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, open := w.open[task.OperationID][task]; open {
		return
	}
	for _, r := range lookup() {
		if w.open[task.OperationID] == nil {
			w.open[task.OperationID] = map[upgrade.Task]struct{}{}
		}
		w.open[task.OperationID][task] = struct{}{}
		w.waiting[r] = struct{}{}
		queue(r, w.length())
	}
}

// taken notes that a request was taken from the queue. What is reconciled has to be read after that.
func (w *windows[request]) taken(r request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, r)
}

// close closes the windows of an operationId, which a request that was taken concerns: what comes from now on queues it
// anew.
func (w *windows[request]) close(operationID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, operationID)
}

// current returns how long a window that opened now would be.
func (w *windows[request]) current() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.length()
}

func (w *windows[request]) length() time.Duration {
	return min(max(statusWindow, time.Duration(len(w.waiting))*time.Second/calmStatusWrites), maxStatusWindow)
}
