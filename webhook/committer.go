// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// committer stores entries by group commit: what arrives while a slice is being written is gathered into the next one.
// The queue says when a batch is due.
//
// The way of a batch:
//  1. It takes a batch that is due and puts as much of it into a slice as the slice may hold.
//  2. It creates the slice under a random name, again and again under the same name while the outcome is unclear,
//     until the youngest entry's deadline passed. So nothing is stored twice, and what an attempt stored whose answer
//     was lost is found by the next one.
//  3. A slice whose content is refused is split in halves, down to the entry that is to blame. That one is stored as
//     a rejected notification.
//  4. A slice that the cluster's store doesn't take, because it is full or another installation's, is not tried again:
//     its senders are told at once to come again.
//  5. Every entry gets its one outcome; "recorded" only if the slice that holds it is stored.
type committer struct {
	queue   *queue
	store   creator
	clock   clock.Clock
	log     logr.Logger
	metrics *metrics
	// failing is whether the last attempt failed, to log when that changes and not each time.
	failing bool
}

func newCommitter(store creator, clk clock.Clock, log logr.Logger, m *metrics) *committer {
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
// "not stored". It writes one slice at a time.
func (c *committer) run(ctx context.Context) {
	for batch := c.queue.nextBatch(); batch != nil; batch = c.queue.nextBatch() {
		c.commitBatch(ctx, batch)
	}
}

// close refuses further entries; run returns after the last batch.
func (c *committer) close() { c.queue.close() }

// commitBatch commits what fits of a batch into one slice and puts the rest back.
func (c *committer) commitBatch(ctx context.Context, batch []*entry) {
	slice, fitting := sliceOf(batch)
	if fitting < len(batch) {
		c.queue.putBack(batch[fitting:])
		batch = batch[:fitting]
	}
	youngest := batch[0].arrived
	for _, e := range batch {
		if e.arrived.After(youngest) {
			youngest = e.arrived
		}
	}
	c.metrics.batchEntries.Observe(float64(fitting))
	c.commit(ctx, batch, slice, youngest.Add(StoreDeadline))
}

// commit stores the entries, which slice holds, in one slice if it can, and gives each its outcome.
func (c *committer) commit(ctx context.Context, entries []*entry, slice *storage.ResultSlice, deadline time.Time) {
	result, err := c.write(ctx, slice, deadline)
	switch {
	case result == writeStored:
		c.answer(entries, (*entry).stored)
	case result == writeUnclear || result == writeFull || !c.clock.Now().Before(deadline):
		c.giveUp(entries)
	case len(entries) > 1:
		for _, half := range [][]*entry{entries[:len(entries)/2], entries[len(entries)/2:]} {
			c.commit(ctx, half, sliceOfAll(half), deadline)
		}
	case entries[0].rejected == nil:
		c.log.Info("Rejected a result that the API server refused", "reason", apierrors.ReasonForError(err))
		entries[0].turnRejected(fmt.Sprintf("the API server refused it: %s", err))
		c.commit(ctx, entries, sliceOfAll(entries), deadline)
	default:
		c.giveUp(entries)
	}
}

func (c *committer) giveUp(entries []*entry) {
	c.answer(entries, func(*entry) outcome { return outcome{answer: answerNotStored} })
}

// answer gives entries their outcomes.
func (c *committer) answer(entries []*entry, outcomeOf func(*entry) outcome) {
	for _, e := range entries {
		e.done <- outcomeOf(e)
	}
}

// write creates one slice, under one name however many attempts it takes. It tries once even after the deadline: the
// senders were told to push again by then, but some never do.
func (c *committer) write(
	ctx context.Context, slice *storage.ResultSlice, deadline time.Time,
) (writeResult, error) {
	body, err := encodeSlice(sliceName(), slice)
	if err != nil {
		return writeRefused, err
	}
	start := c.clock.Now()
	defer func() { c.metrics.commitSeconds.Observe(c.clock.Since(start).Seconds()) }()

	pause := wait.Backoff{Duration: minBackoff, Factor: 2, Jitter: 0.2, Steps: 10, Cap: maxBackoff}
	for {
		err := c.attempt(ctx, body, deadline)
		result := writeResultOf(err)
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
		if c.failing {
			c.failing = false
			c.log.Info("Stored results again")
		}
		return
	}
	reason := errorReason(err)
	c.metrics.commitErrors.WithLabelValues(reason).Inc()
	if c.failing || result == writeRefused {
		return
	}
	c.failing = true
	if result == writeFull {
		c.log.Error(err, "Could not store results, asked senders to come again", "reason", reason)
		return
	}
	c.log.Error(loggable(err), "Could not store results, went on trying", "reason", reason)
}

// sliceName is random: the webhook can't read which names are taken, and counters of two replicas would collide.
func sliceName() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return "r-" + hex.EncodeToString(random[:])
}
