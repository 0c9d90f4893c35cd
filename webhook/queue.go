// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// queue holds the entries that gather while slices are being written. It is bounded: a full queue refuses.
type queue struct {
	mu      sync.Mutex
	nonIdle *sync.Cond
	entries []*entry
	closed  bool
	// writing is how many batches were taken and are not written yet, unanswered how many of their entries have no
	// answer yet.
	writing, unanswered int
	// crowd is how many pushes are expected to wait for their answers at the same time: the most that lately did. Of one
	// sender, which pushes again when it was answered, it is 1, of several that do so it is their number.
	crowd int
	// alone is how many batches of a single entry were taken in a row.
	alone int
	// alarm wakes those that wait.
	alarm clock.Timer
	clock clock.PassiveClock
	// length is told how many entries wait whenever that changes.
	length func(int)
}

func newQueue(clk clock.WithDelayedExecution, length func(int)) *queue {
	q := &queue{clock: clk, length: length, crowd: 1}
	q.nonIdle = sync.NewCond(&q.mu)
	q.alarm = clk.AfterFunc(time.Hour, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.nonIdle.Broadcast()
	})
	q.alarm.Stop()
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
	q.crowd = max(q.crowd, min(len(q.entries)+q.unanswered, gatherEntries))
	q.length(len(q.entries))
	q.nonIdle.Signal()
	return true
}

// take waits until it is worth to write a slice and returns the entries that may go into it, the oldest first; nil once
// the queue is closed and empty. Who takes a batch calls written when it is done.
func (q *queue) take() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.isDue() {
		if q.closed && len(q.entries) == 0 {
			return nil
		}
		if len(q.entries) > 0 {
			q.alarm.Reset(q.patience() - q.clock.Since(q.entries[0].arrived))
		}
		q.nonIdle.Wait()
	}
	n := countBatch(q.entries)
	q.learn(n)
	q.writing++
	q.unanswered += n
	batch := slices.Clone(q.entries[:n])
	q.entries = slices.Delete(q.entries, 0, n)
	q.length(len(q.entries))
	return batch
}

// isDue says whether it is worth to write a slice: the crowd, or many, have gathered, or the oldest entry has waited for
// patience. Beside another write, part of the crowd waits for that one's answers.
func (q *queue) isDue() bool {
	n := len(q.entries)
	switch {
	case n == 0:
		return false
	case q.closed || n >= gatherEntries || q.writing == 0 && n >= q.crowd:
		return true
	default:
		return q.clock.Since(q.entries[0].arrived) >= q.patience()
	}
}

// patience is how long an entry waits for others.
func (q *queue) patience() time.Duration {
	if q.writing > 0 {
		return besideTime
	}
	return gatherTime
}

// learn is told how many entries are taken. Where fewer came than were waited for, fewer are waited for from then on. Of
// pushes that always came alone, a few are waited for now and then: they may be those of many senders, that only never
// met.
func (q *queue) learn(n int) {
	if q.writing == 0 && n < q.crowd {
		q.crowd = (q.crowd + n) / 2
	}
	if q.alone++; n > 1 {
		q.alone = 0
	}
	if q.alone >= probeEvery {
		q.alone, q.crowd = 0, max(q.crowd, probeCrowd)
	}
}

// answering tells that n entries that were taken are about to get their answers.
func (q *queue) answering(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unanswered -= n
}

// written tells that a batch that was taken is written, or given up.
func (q *queue) written() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing--
	q.nonIdle.Broadcast()
}

// putBack returns entries that didn't fit into the slice after all; they are the next to be taken. They may exceed the
// bound, as they were within it before.
func (q *queue) putBack(entries []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unanswered -= len(entries)
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
