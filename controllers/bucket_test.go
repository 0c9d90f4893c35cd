// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// none says that nothing was received.
func none() int64 { return 0 }

// Mere progress is written as often as the bucket allows; news does not wait, and makes progress wait.
func TestBucketLetsNewsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(9, none, clock.RealClock{})
		began := time.Now()
		for range 5 {
			take(t, b, false)
		}
		if got, want := time.Since(began), 4*time.Second/9; (got - want).Abs() > time.Millisecond {
			t.Errorf("five writes of progress: want %s, got %s", want, got)
		}
		began = time.Now()
		for range 100 {
			take(t, b, true)
		}
		if got := time.Since(began); got != 0 {
			t.Errorf("news waited %s", got)
		}
	})
}

// In a backlog, the bucket fills slowly and news waits for a token, too; afterwards all is as before.
func TestBucketInABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received := int64(0)
		b := newBucket(100, func() int64 { return received }, clock.RealClock{})
		window := func(results int64) {
			received += results
			time.Sleep(backlogWindow)
		}
		window(2000)
		if b.hasBacklog() {
			t.Error("what the platform pushes is taken for a backlog")
		}
		window(40_000)
		for range 11 { // what was saved up
			take(t, b, true)
		}
		for _, isNews := range []bool{true, false} {
			began := time.Now()
			take(t, b, isNews)
			if got, want := time.Since(began), time.Second/backlogWrites; (got - want).Abs() > time.Millisecond {
				t.Errorf("a write in a backlog, news %t: want to wait %s, got %s", isNews, want, got)
			}
		}
		window(0)
		began := time.Now()
		for range 20 {
			take(t, b, true)
		}
		if got := time.Since(began); got != 0 {
			t.Errorf("after the backlog, news waited %s", got)
		}
	})
}

// More results than a window may have are a backlog before the window ends: it would cost storing most of it.
func TestBacklogIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received := int64(0)
		b := newBucket(100, func() int64 { return received }, clock.RealClock{})
		time.Sleep(backlogWindow / 4)
		if received = 4000; b.hasBacklog() {
			t.Error("as many as a window may have are taken for a backlog")
		}
		if received = 4001; !b.hasBacklog() {
			t.Error("more than a window may have are not taken for a backlog")
		}
	})
}

// Who waits for a token ends with its context.
func TestBucketEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(1, none, clock.RealClock{})
		take(t, b, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := b.take(ctx, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("want the context's error, got %v", err)
		}
	})
}

func take(t *testing.T, b *bucket, isNews bool) {
	t.Helper()
	if err := b.take(t.Context(), isNews); err != nil {
		t.Fatal(err)
	}
}
