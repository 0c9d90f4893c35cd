// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

// freeze has whoever records an intent stand still when it is recorded, once: intended is closed then, and it goes on
// when goOn is closed.
func (w *world) freeze() (intended <-chan struct{}, goOn chan<- struct{}) {
	stands, goes := make(chan struct{}), make(chan struct{})
	var stood atomic.Bool
	w.ledger.step = func() {
		w.step()
		if len(w.all()) > 0 && stood.CompareAndSwap(false, true) {
			close(stands)
			<-goes
		}
	}
	return stands, goes
}

// A leader stands still between the intent and the call, while another one takes over. However late it goes on, be it
// when the other still searches or when that has had the task created: it asks for nothing, and nobody has to decide.
func TestFrozenLeader(t *testing.T) {
	for name, frozen := range map[string]time.Duration{"while it is searched for": 20 * time.Minute, "at last": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{})
			q, first := w.upgrade(), w.creator
			intended, goOn := w.freeze()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				mark := func(context.Context, Verdict) error { return nil }
				if _, err := first.Create(t.Context(), w.app(), q, mark); err != nil {
					t.Error(err)
				}
			}()
			<-intended
			w.restart()
			for end := w.clock.Now().Add(frozen); w.clock.Now().Before(end); w.clock.Step(time.Minute) {
				if v, _ := w.turn(q); v.Reason != v1alpha1.ReasonResolving {
					t.Fatalf("%+v", v)
				}
			}
			if frozen == 0 {
				w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreated)
			}
			close(goOn)
			w.await(ended)
			v := w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreated)
			w.expectTasks(1)
			if got := len(w.Report().Creations); got != 1 || v.Attempt != 2 {
				t.Errorf("it was asked for %d times, %+v", got, v)
			}
		})
	}
}

// movedClock is the real clock, with a wall clock and a monotonic one that are each moved by itself, as suspending a
// machine and setting its clock do.
type movedClock struct {
	clock.RealClock
	mu              sync.Mutex
	wall, monotonic time.Duration
}

func (c *movedClock) move(wall, monotonic time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.monotonic = wall, monotonic
}

func (c *movedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return movedWall(c.RealClock.Now().Add(c.monotonic), c.wall-c.monotonic)
}

// movedWall returns a time that is whole seconds later by the wall clock, and the same by the monotonic one. No
// function of package time makes one: of a time.Time with both, the first word is a flag, 33 bits of seconds, and 30 of
// nanoseconds.
func movedWall(t time.Time, by time.Duration) time.Time {
	*(*int64)(unsafe.Pointer(&t)) += int64(by/time.Second) << 30
	return t
}

// A machine is suspended between the intent and the call, so that one of its clocks stands still, or its clock is set
// meanwhile: by either of them, it is too late.
func TestSuspended(t *testing.T) {
	const long = 20 * time.Minute
	now := time.Now()
	if moved := movedWall(now, long); moved.Sub(now) != 0 || moved.Round(0).Sub(now.Round(0)) != long {
		t.Fatalf("%s is not %s later by the wall clock alone", moved, long)
	}
	for name, tc := range map[string]struct {
		wall, monotonic time.Duration
		asks            int
	}{
		"neither":                           {0, 0, 1},
		"the machine was suspended":         {long, 0, 0},
		"its clock was set back by as much": {0, long, 0},
		"its clock was set back":            {-long, 0, 0},
		"it stood still":                    {long, long, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{})
			clk := &movedClock{}
			w.creator = New(Options{
				Ledger: w.ledger, Clock: clk, Holder: "test", Leads: func() bool { return true }, Grace: time.Hour,
			})
			q := w.upgrade(func(r *v1alpha1.TaskRequest) { r.CreateBefore = metav1.NewTime(now.Add(24 * time.Hour)) })
			intended, goOn := w.freeze()
			go func() {
				<-intended
				clk.move(tc.wall, tc.monotonic)
				close(goOn)
			}()
			v, _ := w.turn(q)
			if got := len(w.Report().Creations); got != tc.asks {
				t.Errorf("it was asked for %d times, want %d: %+v", got, tc.asks, v)
			}
			of, err := w.ledger.Get(t.Context(), storage.OutcomeName(v.RequestHash, 1))
			if want := tc.asks > 0; err != nil || (of.Outcome.Result == storage.TaskResultCreated) != want {
				t.Errorf("recorded is %+v, error %v", of, err)
			}
		})
	}
}
