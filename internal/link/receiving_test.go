// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Pushes are missing where results had to be asked for and none came by push for a quarter of an hour. What was asked
// for is no push, although it looks like one in the store.
func TestReceiving(t *testing.T) {
	task, other := result.Task{OperationID: "a"}, result.Task{OperationID: "b"}
	for name, c := range map[string]struct {
		wasMissing bool
		do         func(r *receiving, pass func(time.Duration), now func() time.Time)
		running    bool
		reason     string
	}{
		"nothing came": {do: func(*receiving, func(time.Duration), func() time.Time) {}, reason: v1alpha1.ReasonNothingRuns},
		"nothing came, although a task runs": {
			do:      func(r *receiving, _ func(time.Duration), _ func() time.Time) { r.look(task, time.Time{}) },
			running: true, reason: v1alpha1.ReasonNothingRuns,
		},
		"a push came": {
			do:      func(r *receiving, _ func(time.Duration), now func() time.Time) { r.look(task, now()) },
			running: true, reason: v1alpha1.ReasonPushesArrive,
		},
		"silence alone says nothing": {
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now())
				pass(24 * time.Hour)
				r.look(task, now().Add(-24*time.Hour))
			},
			running: true, reason: v1alpha1.ReasonPushesArrive,
		},
		"one was lost, and none came for days": {
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now())
				pass(48 * time.Hour)
				r.repaired(task, received(now().Add(-5*time.Minute)))
				pass(missingAfter - time.Second)
			},
			running: true, reason: v1alpha1.ReasonPushesArrive,
		},
		"one was lost, and none ever came": {
			do: func(r *receiving, _ func(time.Duration), now func() time.Time) {
				r.repaired(task, received(now()))
			},
			running: true, reason: v1alpha1.ReasonNothingRuns,
		},
		"they were missing before, which another leader need not find out again": {
			wasMissing: true, do: func(*receiving, func(time.Duration), func() time.Time) {}, running: true,
			reason: v1alpha1.ReasonPushesMissing,
		},
		"asked for, and a push a moment ago": {
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now())
				pass(14 * time.Minute)
				r.repaired(task, received(now().Add(-5*time.Minute)))
			},
			running: true, reason: v1alpha1.ReasonPushesArrive,
		},
		"asked for, and none for a quarter of an hour": {
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now())
				r.repaired(task, received(now().Add(-5*time.Minute)))
				pass(15 * time.Minute)
			},
			running: true, reason: v1alpha1.ReasonPushesMissing,
		},
		"what was asked for is no push": {
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now())
				pass(20 * time.Minute)
				at := now().Add(-time.Minute)
				r.repaired(task, received(at))
				r.look(task, at)
				pass(missingAfter)
			},
			running: true, reason: v1alpha1.ReasonPushesMissing,
		},
		"a push of another task": {
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now())
				pass(20 * time.Minute)
				r.repaired(task, received(now()))
				pass(missingAfter)
				r.look(other, now())
			},
			running: true, reason: v1alpha1.ReasonPushesMissing,
		},
		"a push of another task that was looked at before": {
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now())
				r.look(other, now())
				pass(20 * time.Minute)
				r.repaired(task, received(now()))
				pass(time.Second)
				r.look(other, now())
			},
			running: true, reason: v1alpha1.ReasonPushesArrive,
		},
		"they were missing before, and an old result proves nothing": {
			wasMissing: true,
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				pass(15 * time.Minute)
				r.look(task, now().Add(-time.Minute))
			},
			running: true, reason: v1alpha1.ReasonPushesMissing,
		},
		"they were missing before, and a new one came": {
			wasMissing: true,
			do: func(r *receiving, pass func(time.Duration), now func() time.Time) {
				r.look(task, now().Add(-time.Hour))
				pass(20 * time.Minute)
				r.look(task, now())
			},
			running: true, reason: v1alpha1.ReasonPushesArrive,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clk := clocktesting.NewFakeClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
			r := newReceiving(Options{Clock: clk, WasMissing: c.wasMissing})
			c.do(&r, clk.Step, clk.Now)
			got := r.condition(c.running)
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

func received(at time.Time) []result.Result { return []result.Result{{ReceivedAt: at.UnixMicro()}} }

// A message stays the same as long as no push comes: it is a part of the status.
func TestMissingPushesAreSaidInTheSameWords(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
	r := newReceiving(Options{Clock: clk})
	r.repaired(result.Task{}, received(clk.Now()))
	clk.Step(missingAfter)
	first := r.condition(true)
	clk.Step(time.Hour)
	if again := r.condition(true); again != first || !strings.Contains(first.Message, "docs/connect.md") {
		t.Errorf("%+v, then %+v", first, again)
	}
}
