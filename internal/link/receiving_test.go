// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/result"
)

// lose has so many results asked for that ended at a time.
func (r *receiving) lose(task result.Task, count int, at time.Time) {
	results := slices.Repeat([]result.Result{{ReceivedAt: at.UnixMicro()}}, count)
	r.repaired(task, results, slices.Repeat([]time.Time{at}, count), 0)
}

// Pushes are missing where many results had to be asked for and none came by push for a quarter of an hour, or some
// that ended so far apart. What was asked for is no push, although it looks like one in the store.
func TestReceiving(t *testing.T) {
	type passFunc = func(time.Duration)
	type nowFunc = func() time.Time
	task, other := result.Task{OperationID: "a"}, result.Task{OperationID: "b"}
	for name, c := range map[string]struct {
		wasMissing bool
		do         func(r *receiving, pass passFunc, now nowFunc)
		reason     string
	}{
		"nothing came, although a task runs": {
			do:     func(r *receiving, _ passFunc, _ nowFunc) { r.look(task, time.Time{}) },
			reason: v1alpha1.ReasonNothingRuns,
		},
		"a push came": {
			do:     func(r *receiving, _ passFunc, now nowFunc) { r.look(task, now()) },
			reason: v1alpha1.ReasonPushesArrive,
		},
		"silence alone says nothing": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(24 * time.Hour)
				r.look(task, now().Add(-24*time.Hour))
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"pushes of a task that all came before it was looked at, after many were missing": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, time.Time{})
				pass(time.Minute)
				r.lose(task, manyLost, now())
				pass(time.Hour)
				r.look(other, now())
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"results of another task that came before this process looked, after many were missing": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, time.Time{})
				began := now()
				pass(time.Minute)
				r.lose(task, manyLost, now())
				pass(time.Hour)
				r.look(other, began)
			},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"one was lost, and none came for days": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(48 * time.Hour)
				r.lose(task, 1, now())
				pass(48 * time.Hour)
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"one was lost, and none ever came": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, time.Time{})
				r.lose(task, 1, now())
				pass(48 * time.Hour)
			},
			reason: v1alpha1.ReasonNothingRuns,
		},
		"some were lost together": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(time.Hour)
				r.lose(task, manyLost-1, now())
				pass(48 * time.Hour)
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"many were lost together, and none came for a quarter of an hour": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(time.Hour)
				r.lose(task, 2*manyLost, now())
				pass(missingAfter)
			},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"many were lost together, a moment ago": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(time.Hour)
				r.lose(task, 2*manyLost, now())
				pass(missingAfter - time.Second)
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"many are lost one after the other": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				for range 3 * manyLost {
					pass(time.Minute / 2)
					r.lose(task, 1, now())
				}
				pass(time.Minute / 2)
			},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"two were lost a quarter of an hour apart": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(time.Hour)
				r.lose(task, 1, now())
				pass(missingAfter)
				r.lose(task, 1, now())
			},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"two were lost a quarter of an hour apart, and between them a push came": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(time.Hour)
				r.lose(task, 1, now())
				pass(time.Minute)
				r.look(task, now())
				pass(missingAfter)
				r.lose(task, 1, now())
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"many of those that ended before the last push were lost": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				r.lose(task, 2*manyLost, now().Add(-time.Second))
				pass(48 * time.Hour)
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"the last push is noticed after what was lost before it": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(time.Minute)
				r.lose(other, manyLost-1, now())
				pass(2 * time.Second)
				r.lose(other, 1, now())
				r.look(task, now().Add(-time.Second))
				pass(48 * time.Hour)
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"they ended long before anybody looked": {
			do: func(r *receiving, _ passFunc, now nowFunc) {
				r.look(task, time.Time{})
				r.lose(task, 1, now().Add(-time.Hour))
				r.lose(task, 1, now())
			},
			reason: v1alpha1.ReasonNothingRuns,
		},
		"what was asked for is no push": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				pass(20 * time.Minute)
				at := now().Add(-time.Minute)
				r.lose(task, manyLost, at)
				r.look(task, at)
				pass(missingAfter)
			},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"a push of another task, which is older": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				began := now()
				r.look(task, now())
				pass(20 * time.Minute)
				r.lose(task, manyLost, now())
				pass(missingAfter)
				r.look(other, began)
			},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"a push of another task that was looked at before": {
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now())
				r.look(other, now())
				pass(20 * time.Minute)
				r.lose(task, manyLost, now())
				pass(missingAfter)
				r.look(other, now())
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
		"they were missing before, which another leader need not find out again": {
			wasMissing: true, do: func(*receiving, passFunc, nowFunc) {},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"they were missing before, and an old result proves nothing": {
			wasMissing: true,
			do: func(r *receiving, pass passFunc, now nowFunc) {
				pass(15 * time.Minute)
				r.look(task, now().Add(-16*time.Minute))
			},
			reason: v1alpha1.ReasonPushesMissing,
		},
		"they were missing before, and a new one came": {
			wasMissing: true,
			do: func(r *receiving, pass passFunc, now nowFunc) {
				r.look(task, now().Add(-time.Hour))
				pass(20 * time.Minute)
				r.look(task, now())
			},
			reason: v1alpha1.ReasonPushesArrive,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clk := clocktesting.NewFakeClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
			r := newReceiving(Options{Clock: clk, WasMissing: c.wasMissing})
			c.do(&r, clk.Step, clk.Now)
			got := r.condition(true)
			want := metav1.ConditionTrue
			if c.reason == v1alpha1.ReasonPushesMissing {
				want = metav1.ConditionFalse
			}
			if got.Reason != c.reason || got.Status != want {
				t.Errorf("want %s for %s, got %+v", want, c.reason, got)
			}
		})
	}
}

// Whether a device ended before the last push is known also where the platform's clock is wrong, or gives no time.
func TestLostByAnotherClock(t *testing.T) {
	const offset = 3 * time.Hour
	for name, c := range map[string]struct {
		ended  func(pushed time.Time) time.Time
		offset time.Duration
		want   bool
	}{
		"ahead, before it": {func(at time.Time) time.Time { return at.Add(offset - time.Minute) }, offset, false},
		"ahead, after it":  {func(at time.Time) time.Time { return at.Add(offset + time.Minute) }, offset, true},
		"behind, after it": {func(at time.Time) time.Time { return at.Add(time.Minute - offset) }, -offset, true},
		"no time is given": {func(time.Time) time.Time { return time.Time{} }, offset, true},
	} {
		t.Run(name, func(t *testing.T) {
			clk := clocktesting.NewFakeClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
			r := newReceiving(Options{Clock: clk})
			pushed := clk.Now()
			r.look(result.Task{}, pushed)
			clk.Step(2 * time.Minute)
			r.repaired(result.Task{}, nil, slices.Repeat([]time.Time{c.ended(pushed)}, manyLost), c.offset)
			clk.Step(missingAfter)
			if got := r.missing(); got != c.want {
				t.Errorf("missing: %v", got)
			}
		})
	}
}

// A message stays the same as long as no push comes: it is a part of the status.
func TestMissingPushesAreSaidInTheSameWords(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
	r := newReceiving(Options{Clock: clk})
	r.lose(result.Task{}, manyLost, clk.Now())
	clk.Step(missingAfter)
	first := r.condition(true)
	clk.Step(time.Hour)
	if again := r.condition(true); again != first || !strings.Contains(first.Message, "docs/connect.md") {
		t.Errorf("%+v, then %+v", first, again)
	}
}

// A single push that is lost, and a third of many, are asked for, and no sign that pushes are missing, however long
// nothing comes then.
func TestLostPushesAreNotMissingOnes(t *testing.T) {
	for name, c := range map[string]struct {
		devices int
		isLost  func(n int) bool
	}{
		"one of three":    {3, func(n int) bool { return n == 0 }},
		"a third of many": {300, func(n int) bool { return n%3 == 0 }},
		"a few of a few":  {5, func(int) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Spread: 5 * time.Minute}}, onlyRounds)
			operation := w.createTask(northbound.TaskSpec{Count: c.devices})
			task := w.follow(operation)
			w.run()
			pushed := map[string]bool{}
			w.await(time.Hour, "the counts do not become equal", func() bool {
				truth, _ := w.Truth(operation)
				for n := range truth.Devices {
					d := &truth.Devices[n]
					if d.Status == "success" && !pushed[d.DeviceID] && !c.isLost(n) {
						pushed[d.DeviceID] = true
						w.store.Add([]result.Result{pushOf(w.AppID(), truth, d)})
					}
				}
				return truth.Status == "success" && w.isEqual(task)
			})
			if len(w.store.added()) == 0 {
				t.Fatal("nothing was asked for")
			}
			w.passUntil(2*time.Hour, func() bool {
				if c := w.State().Receiving; !c.isTrue() {
					t.Fatalf("%+v", c)
				}
				return false
			})
		})
	}
}
