// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/harness"
)

// The results of a task go when KeepUntil says so, those of others stay. One that can't be asked about stays, and does
// not keep others from going.
func TestRetention(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	s.clock.SetTime(last)
	s.create("r-shared", sharedSlice(1, 4))
	s.create("r-own", sharedSlice(2, 1))
	s.awaitRead()
	asked := map[result.Task]time.Time{}
	s.options.KeepUntil = func(_ context.Context, task result.Task, received time.Time) (time.Time, error) {
		asked[task] = received.UTC()
		switch task {
		case taskNumber(0):
			return last, nil // now
		case taskNumber(1):
			return last.Add(time.Second), nil
		case taskNumber(2):
			return time.Time{}, nil
		default:
			return time.Time{}, errors.New("not now")
		}
	}
	want := s.summaries()
	if err := s.retain(t.Context()); err == nil {
		t.Error("the failure is not told")
	}
	delete(want, taskNumber(0))
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	s.expectTrue()
	wantAsked := map[result.Task]time.Time{taskNumber(0): first.Add(2 * time.Second)}
	for n := 1; n < 4; n++ {
		wantAsked[taskNumber(n)] = first.Add(time.Second)
	}
	if diff := cmp.Diff(wantAsked, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	s.clock.Step(time.Second)
	if err := s.retain(t.Context()); err == nil {
		t.Error("the failure is not told")
	}
	delete(want, taskNumber(1))
	if diff := cmp.Diff(want, s.summaries()); diff != "" {
		t.Errorf("a second later (-want +got):\n%s", diff)
	}
	s.expectTrue()
}

// Beyond the newest keptRejected rejected notifications go, however they lie in slices, and so do old ones.
func TestRejectedAreBounded(t *testing.T) {
	// Each case has the sizes of slices, from the oldest to the newest, and how many of them are left.
	for name, c := range map[string]struct {
		sizes []int
		age   time.Duration
		left  int
	}{
		"few":                     {[]int{1, 1}, time.Hour, 2},
		"just as many":            {[]int{250, 250, 250, 250}, time.Hour, 4},
		"more":                    {[]int{250, 250, 250, 250, 250, 250}, time.Hour, 4},
		"one more":                {[]int{1000, 1}, time.Hour, 2},
		"one more, in a new one":  {[]int{1, 1000}, time.Hour, 1},
		"the oldest is not alone": {[]int{2, 1, 999}, time.Hour, 2},
		"old":                     {[]int{1, 1}, 25 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, harness.NewNamespace(t, k8s), k8s)
			at := first
			for n, size := range c.sizes {
				var times []time.Time
				for range size {
					at = at.Add(time.Millisecond)
					times = append(times, at)
				}
				s.create(fmt.Sprintf("r-%d", n), rejectedSlice(times...))
			}
			s.awaitRead()
			s.clock.SetTime(at.Add(c.age))
			if err := s.retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			stored := s.stored()
			if len(stored) != c.left {
				t.Errorf("want %d slices left, got %d", c.left, len(stored))
			}
			for i := range stored { // the newest ones
				if want := len(c.sizes) - c.left + i; stored[i].Name != fmt.Sprintf("r-%d", want) {
					t.Errorf("want slice %d left, got %s", want, stored[i].Name)
				}
			}
		})
	}
}

// Results that arrive while their task is removed stay and count.
func TestRetentionSparesWhatComesLater(t *testing.T) {
	s := newStore(t, harness.NewNamespace(t, k8s), k8s, keptADay)
	s.clock.SetTime(first.Add(48 * time.Hour))
	s.create("r-0", sharedSlice(0, 1))
	s.awaitRead()
	ask := s.options.KeepUntil
	s.options.KeepUntil = func(ctx context.Context, task result.Task, received time.Time) (time.Time, error) {
		s.create("r-1", sliceOf(failure(99, last, "Invalid URI")))
		s.awaitRead()
		return ask(ctx, task, received)
	}
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.expectTrue()
	if got := s.Summary(taskNumber(0), tally.Query{}).Reported(); got != 1 {
		t.Errorf("want the later device alone, got %d", got)
	}
}
