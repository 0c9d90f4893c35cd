// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"math"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// queue holds the entries that wait for the next slice. It is bounded: a full queue refuses.
type queue struct {
	mu      sync.Mutex
	entries []*entry
	closed  bool
	// changed wakes nextBatch, to look again whether a batch is due.
	changed chan struct{}
	clock   clock.Clock
	// length is told how many entries wait whenever that changes.
	length func(int)
}

func newQueue(clk clock.Clock, length func(int)) *queue {
	return &queue{changed: make(chan struct{}, 1), clock: clk, length: length}
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
	q.wake()
	return true
}

// nextBatch blocks until a batch is due and returns its entries, the oldest first. It returns nil once the queue is
// closed and empty. It is called by one goroutine.
func (q *queue) nextBatch() []*entry {
	for {
		batch, wait := q.takeBatch()
		if wait <= 0 {
			return batch
		}
		due := q.clock.NewTimer(wait)
		select {
		case <-q.changed:
		case <-due.C():
		}
		due.Stop()
	}
}

// takeBatch takes the entries of a batch that is due, or says how long to wait.
func (q *queue) takeBatch() (batch []*entry, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if wait := q.untilDue(); wait > 0 {
		return nil, wait
	}
	if len(q.entries) == 0 {
		return nil, 0
	}
	n := countBatch(q.entries)
	batch = slices.Clone(q.entries[:n])
	q.entries = slices.Delete(q.entries, 0, n)
	q.length(len(q.entries))
	return batch, 0
}

// untilDue is how long it takes until a batch is due if nothing more arrives. It is due when batchSize entries wait,
// when the first of them arrived batchDelay ago, and when the queue is closed.
func (q *queue) untilDue() time.Duration {
	switch {
	case q.closed || len(q.entries) >= batchSize:
		return 0
	case len(q.entries) == 0:
		return math.MaxInt64
	default:
		return batchDelay - q.clock.Since(q.entries[0].arrived)
	}
}

// putBack returns entries that didn't fit into the slice after all. They are the first of the next batch. They may
// exceed the bound, as they were within it before.
func (q *queue) putBack(entries []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries = slices.Insert(q.entries, 0, entries...)
	q.length(len(q.entries))
	q.wake()
}

// close refuses further entries. nextBatch returns nil once those that wait were taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}

// wake has nextBatch look again, unless it is about to do so anyway.
func (q *queue) wake() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// countBatch is how many of the first entries may go into one slice, by a rough measure; at least one.
func countBatch(entries []*entry) int {
	bytes, rejected := 0, 0
	for i, e := range entries {
		if e.rejected != nil {
			rejected++
		}
		bytes += e.roughBytes()
		if i > 0 && (i == maxBatchEntries || rejected > maxBatchRejected || bytes > maxBatchBytes) {
			return i
		}
	}
	return len(entries)
}
