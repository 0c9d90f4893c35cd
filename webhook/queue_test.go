// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
)

// takeBatches takes the batches of a queue, and returns a function that says how large they were, in the
// order of their size.
func takeBatches(q *queue) func() []int {
	var mu sync.Mutex
	var sizes []int
	go func() {
		for batch := q.nextBatch(); batch != nil; batch = q.nextBatch() {
			mu.Lock()
			sizes = append(sizes, len(batch))
			mu.Unlock()
		}
	}()
	return func() []int {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(slices.Values(sizes))
	}
}

// TestBatchIsDueBySizeOrDelay has a queue whose clock moves only where the test says so.
func TestBatchIsDueBySizeOrDelay(t *testing.T) {
	type steps []func(*queue, *testclock.FakeClock)
	push := func(n int) func(*queue, *testclock.FakeClock) {
		return func(q *queue, clk *testclock.FakeClock) {
			for range n {
				q.push(newRejectedEntry(clk.Now(), "x", nil))
			}
		}
	}
	step := func(d time.Duration) func(*queue, *testclock.FakeClock) {
		return func(_ *queue, clk *testclock.FakeClock) { clk.Step(d) }
	}
	closed := func(q *queue, _ *testclock.FakeClock) { q.close() }
	cases := map[string]struct {
		steps steps
		want  []int
	}{
		"one entry, at once":             {steps{push(1)}, nil},
		"one entry, before the delay":    {steps{push(1), step(batchDelay - 1)}, nil},
		"one entry, after the delay":     {steps{push(1), step(batchDelay)}, []int{1}},
		"the first entry counts":         {steps{push(1), step(batchDelay - 1), push(5), step(1)}, []int{6}},
		"the delay begins again":         {steps{push(2), step(batchDelay), push(1), step(batchDelay - 1)}, []int{2}},
		"a batch after the other":        {steps{push(2), step(batchDelay), push(1), step(batchDelay)}, []int{1, 2}},
		"one fewer than the size":        {steps{push(batchSize - 1), step(batchDelay - 1)}, nil},
		"as many as the size":            {steps{push(batchSize)}, []int{batchSize}},
		"the size is reached bit by bit": {steps{push(batchSize - 1), step(batchDelay - 1), push(1)}, []int{batchSize}},
		"closed":                         {steps{push(3), closed}, []int{3}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk := testclock.NewFakeClock(startTime())
				q := newQueue(clk, func(int) {})
				defer q.close()
				taken := takeBatches(q)
				for _, step := range tc.steps {
					synctest.Wait()
					step(q, clk)
				}
				if diff := cmp.Diff(tc.want, taken()); diff != "" {
					t.Errorf("batches (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestQueueKeepsOrderAndBounds(t *testing.T) {
	var length int
	q := newQueue(clock.RealClock{}, func(n int) { length = n })
	for i := range maxQueueEntries {
		if !q.push(deviceEntry(i)) {
			t.Fatalf("refused entry %d", i)
		}
	}
	if q.push(deviceEntry(0)) {
		t.Error("accepted one too many")
	}
	if length != maxQueueEntries {
		t.Errorf("%d entries wait", length)
	}
	batch := q.nextBatch()
	if len(batch) != maxBatchEntries {
		t.Fatalf("took %d entries", len(batch))
	}
	q.putBack(batch[100:])
	q.close()
	got := batch[:100]
	for batch = q.nextBatch(); batch != nil; batch = q.nextBatch() {
		got = append(got[:len(got):len(got)], batch...)
	}
	if len(got) != maxQueueEntries {
		t.Fatalf("got %d entries back", len(got))
	}
	for i, e := range got {
		if e.result.ReceivedAt != int64(i+1) {
			t.Fatalf("entry %d came at place %d", e.result.ReceivedAt-1, i)
		}
	}
	if length != 0 {
		t.Errorf("%d entries wait", length)
	}
}

func TestQueueBoundsRejectedInABatch(t *testing.T) {
	q := newQueue(clock.RealClock{}, func(int) {})
	for range maxBatchRejected + 1 {
		q.push(newRejectedEntry(time.Unix(1, 0), "x", nil))
	}
	if got := len(q.nextBatch()); got != maxBatchRejected {
		t.Errorf("took %d rejected notifications, want %d", got, maxBatchRejected)
	}
}
