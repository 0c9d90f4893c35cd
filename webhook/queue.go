// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"slices"
	"sync"
)

// queue holds the entries that gather while slices are being written. It is bounded: a full queue refuses.
type queue struct {
	mu      sync.Mutex
	nonIdle *sync.Cond
	entries []*entry
	closed  bool
	// length is told how many entries wait whenever that changes.
	length func(int)
}

func newQueue(length func(int)) *queue {
	q := &queue{length: length}
	q.nonIdle = sync.NewCond(&q.mu)
	return q
}

// push adds an entry, unless the queue is full or closed.
func (q *queue) push(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.entries) >= maxQueueEntries {
		return false
	}
	q.entries = append(q.entries, e)
	q.length(len(q.entries))
	q.nonIdle.Signal()
	return true
}

// take waits for entries and returns those that may go into one slice, the oldest first; nil once the queue is closed
// and empty.
func (q *queue) take() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.entries) == 0 {
		if q.closed {
			return nil
		}
		q.nonIdle.Wait()
	}
	n := countBatch(q.entries)
	batch := slices.Clone(q.entries[:n])
	q.entries = slices.Delete(q.entries, 0, n)
	q.length(len(q.entries))
	return batch
}

// putBack returns entries that didn't fit into the slice after all; they are the next to be taken. They may exceed the
// bound, as they were within it before.
func (q *queue) putBack(entries []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries = slices.Insert(q.entries, 0, entries...)
	q.length(len(q.entries))
	q.nonIdle.Signal()
}

// close refuses further entries and ends take once those that wait were taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.nonIdle.Broadcast()
}

// countBatch is how many of the first entries are worth looking at for one slice; at least one.
func countBatch(entries []*entry) int {
	bytes, rejected := 0, 0
	for i, e := range entries {
		if e.rejected != nil {
			rejected++
		}
		bytes += e.roughBytes()
		if i > 0 && (i == maxBatchEntries || rejected > maxBatchRejected || bytes > maxTakeBytes) {
			return i
		}
	}
	return len(entries)
}
