// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"fwupgrade.io/operator/api/v1alpha1"
)

// committer stores entries by group commit: while slices are being written, what arrives gathers into the next one. A
// lone push is stored at once and a burst hundreds at a time: the queue says when a slice is worth writing.
//
// The way of a batch:
//  1. A worker takes what has gathered and packs as much of it as a slice may hold.
//  2. It creates the slice under a random name, again and again under the same name while the outcome is unclear,
//     until the youngest entry's deadline passed. So nothing is stored twice, and what an attempt stored whose answer
//     was lost is found by the next one.
//  3. A slice whose content is refused is split in halves, down to the entry that is to blame. That one is stored as
//     a rejected notification.
//  4. Every entry gets its one outcome; "recorded" only if the slice that holds it is stored.
type committer struct {
	queue   *queue
	store   creator
	clock   clock.WithDelayedExecution
	log     logr.Logger
	metrics *metrics
	// failing is whether the last attempt of any worker failed, to log when that changes and not each time.
	failing atomic.Bool
}

func newCommitter(store creator, clk clock.WithDelayedExecution, log logr.Logger, m *metrics) *committer {
	return &committer{
		queue:   newQueue(clk, func(n int) { m.queueEntries.Set(float64(n)) }),
		store:   store,
		clock:   clk,
		log:     log,
		metrics: m,
	}
}

// submit hands an entry over and waits for its outcome, until StoreDeadline after its arrival at most. It doesn't ask
// whether the sender is still there: the entry is stored either way, and a sender that saw no answer pushes again.
func (c *committer) submit(e *entry) outcome {
	if !c.queue.push(e) {
		return outcome{answer: answerNotStored}
	}
	deadline := c.clock.NewTimer(e.arrived.Add(StoreDeadline).Sub(c.clock.Now()))
	defer deadline.Stop()
	select {
	case o := <-e.done:
		return o
	case <-deadline.C():
		return outcome{answer: answerNotStored}
	}
}

// run writes slices until close was called and the queue is empty. When ctx ends first, what is left gets the outcome
// "not stored". It returns when all workers have.
func (c *committer) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range commitWorkers {
		workers.Go(func() {
			for batch := c.queue.take(); batch != nil; batch = c.queue.take() {
				c.commitTaken(ctx, batch)
				c.queue.written()
			}
		})
	}
	workers.Wait()
}

// close refuses further entries; run returns after the last batch.
func (c *committer) close() { c.queue.close() }

// commitTaken commits what fits of a taken batch into one slice and puts the rest back.
func (c *committer) commitTaken(ctx context.Context, taken []*entry) {
	spec, fitting := fit(taken)
	batch := taken[:fitting]
	if fitting < len(taken) {
		c.queue.putBack(taken[fitting:])
	}
	youngest := batch[0].arrived
	for _, e := range batch {
		if e.arrived.After(youngest) {
			youngest = e.arrived
		}
	}
	c.metrics.batchEntries.Observe(float64(fitting))
	c.commit(ctx, batch, &spec, youngest.Add(StoreDeadline))
}

// commit stores the entries, which spec holds, in one slice if it can, and gives each its outcome.
func (c *committer) commit(ctx context.Context, entries []*entry, spec *v1alpha1.FirmwareUpgradeResultSliceSpec, deadline time.Time) {
	result, err := c.write(ctx, spec, deadline)
	switch {
	case result == writeStored:
		c.answer(entries, (*entry).stored)
	case result == writeUnclear || !c.clock.Now().Before(deadline):
		c.giveUp(entries)
	case len(entries) > 1:
		for _, half := range [][]*entry{entries[:len(entries)/2], entries[len(entries)/2:]} {
			spec := pack(half)
			c.commit(ctx, half, &spec, deadline)
		}
	case entries[0].rejected == nil:
		c.log.Info("Rejected a result that the API server refused", "reason", apierrors.ReasonForError(err))
		entries[0].turnRejected(fmt.Sprintf("the API server refused it: %s", err))
		spec := pack(entries)
		c.commit(ctx, entries, &spec, deadline)
	default:
		c.giveUp(entries)
	}
}

func (c *committer) giveUp(entries []*entry) {
	c.answer(entries, func(*entry) outcome { return outcome{answer: answerNotStored} })
}

// answer gives entries their outcomes.
func (c *committer) answer(entries []*entry, outcomeOf func(*entry) outcome) {
	c.queue.answering(len(entries))
	for _, e := range entries {
		e.done <- outcomeOf(e)
	}
}

// write creates one slice, under one name however often it takes. It tries once even after the
// deadline: the senders were told to push again by then, but some never do.
func (c *committer) write(ctx context.Context, spec *v1alpha1.FirmwareUpgradeResultSliceSpec, deadline time.Time) (writeResult, error) {
	body, err := encodeSlice(sliceName(), spec)
	if err != nil {
		return writeRefused, err
	}
	start := c.clock.Now()
	defer func() { c.metrics.commitSeconds.Observe(c.clock.Since(start).Seconds()) }()

	pause := wait.Backoff{Duration: minBackoff, Factor: 2, Jitter: 0.2, Steps: 10, Cap: maxBackoff}
	for {
		err := c.attempt(ctx, body, deadline)
		result := judge(err)
		c.note(result, err)
		if result != writeUnclear {
			return result, err
		}
		if !c.sleep(ctx, max(pause.Step(), suggestedDelay(err)), deadline) {
			return writeUnclear, err
		}
	}
}

// attempt sends the slice once. The last attempt before the deadline takes what time is left.
func (c *committer) attempt(ctx context.Context, body []byte, deadline time.Time) error {
	timeout := attemptTimeout
	if left := deadline.Sub(c.clock.Now()); left > 0 {
		timeout = min(timeout, left)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.store.create(ctx, body)
}

// sleep waits before the next attempt; false if there is none, because the deadline comes first or ctx ended.
func (c *committer) sleep(ctx context.Context, pause time.Duration, deadline time.Time) bool {
	if ctx.Err() != nil || !c.clock.Now().Add(pause).Before(deadline) {
		return false
	}
	timer := c.clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// note counts a failed attempt and logs when storing began to fail or works again.
func (c *committer) note(result writeResult, err error) {
	if result == writeStored {
		if c.failing.CompareAndSwap(true, false) {
			c.log.Info("Stored results again")
		}
		return
	}
	reason := errorReason(err)
	c.metrics.commitErrors.WithLabelValues(reason).Inc()
	if result == writeUnclear && c.failing.CompareAndSwap(false, true) {
		c.log.Error(loggable(err), "Could not store results, went on trying", "reason", reason)
	}
}

// sliceName is random: the webhook can't read which names are taken, and counters of two replicas would collide.
func sliceName() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return "r-" + hex.EncodeToString(random[:])
}
