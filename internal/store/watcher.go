// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"fwupgrade.io/operator/internal/result"
)

// Watcher tells which tasks changed.
type Watcher struct {
	store *Store
	// wake holds a token when there is something to tell.
	wake chan struct{}

	mu      sync.Mutex
	begun   bool
	changed map[result.Task]struct{}
}

// Watch returns a watcher. Each has to be drained for as long as the process runs, or remembers every task that
// changed, once.
func (s *Store) Watch() *Watcher {
	w := &Watcher{store: s, wake: make(chan struct{}, 1), changed: map[result.Task]struct{}{}}
	s.watchersMu.Lock()
	defer s.watchersMu.Unlock()
	s.watchers = append(s.watchers, w)
	return w
}

// Next blocks until tasks changed since the last Next, and returns them, each once, in the order of CompareTasks. The
// first one returns all tasks, perhaps none, when all stored slices have been read. A task also changed when it was
// forgotten. It returns an error when the context ends.
func (w *Watcher) Next(ctx context.Context) ([]result.Task, error) {
	if err := w.store.WaitForSync(ctx); err != nil {
		return nil, err
	}
	for {
		if tasks, begun := w.take(); !begun || len(tasks) > 0 {
			return tasks, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for changed tasks: %w", ctx.Err())
		}
	}
}

// take returns the tasks that changed, the first time all, and whether there was a time before.
func (w *Watcher) take() (tasks []result.Task, begun bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	begun, w.begun = w.begun, true
	if !begun {
		for _, task := range w.store.AllTasks() {
			w.changed[task] = struct{}{}
		}
	}
	tasks = slices.SortedFunc(maps.Keys(w.changed), result.CompareTasks)
	clear(w.changed)
	return tasks, begun
}

func (w *Watcher) note(tasks []result.Task) {
	w.mu.Lock()
	for _, task := range tasks {
		w.changed[task] = struct{}{}
	}
	w.mu.Unlock()
	wake(w.wake)
}

// Publish has whoever watches the store look at tasks again, as something else than their results changed.
func (s *Store) Publish(tasks []result.Task) { s.publish(tasks) }

// publish tells all watchers of tasks that changed.
func (s *Store) publish(tasks []result.Task) {
	if len(tasks) == 0 {
		return
	}
	s.watchersMu.Lock()
	defer s.watchersMu.Unlock()
	for _, w := range s.watchers {
		w.note(tasks)
	}
}

// wake puts a token into a channel that has room for one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
