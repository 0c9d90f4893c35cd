// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
)

// TestNewsOf compares the decisive pushes with counting anew after every answer.
func TestNewsOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const devices = 30
		plan, err := platform.NewPlan(platform.PlanOptions{
			Devices: devices, Tasks: rapid.IntRange(1, 4).Draw(t, "tasks"), Fail: rapid.Float64Range(0, 0.6).Draw(t,
				"fail"), Seed: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		spare := rapid.Int64Range(0, 1).Draw(t, "devices that don't push")
		turn := &turn{plan: plan, expected: func(_ int, devices int64) int64 { return devices + spare },
			answers: make(pushed, devices)}
		for i := range turn.answers {
			turn.answers[i] = answered(0, 0, rapid.IntRange(0, 1000).Draw(t, "answered")*devices+i) // each at another time
			if rapid.IntRange(0, 9).Draw(t, "refused") == 0 {
				turn.answers[i].status = http.StatusServiceUnavailable
			}
		}
		want := map[newsOfUpgrade]time.Time{}
		for _, a := range turn.answers {
			until := func(i int) bool { return turn.answers[i].ok() && !turn.answers[i].at.After(a.at) }
			for task, c := range plan.Counts(until) {
				for what, is := range map[news]bool{
					newsFailure: c.Failed > 0, newsDegraded: c.Failed > 1, newsFinished: c.Pending+spare == 0,
				} {
					key := newsOfUpgrade{name: upgradeName(task), what: what}
					if known, ok := want[key]; is && (!ok || a.at.Before(known)) {
						want[key] = a.at
					}
				}
			}
		}
		got := map[newsOfUpgrade]time.Time{}
		for _, w := range newsOf(turn) {
			got[w.newsOfUpgrade] = w.decided
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("news (-want +got):\n%s", diff)
		}
	})
}

func TestNewsFigures(t *testing.T) {
	wanted := func(name string, what news, ms int) wantedNews {
		return wantedNews{newsOfUpgrade: newsOfUpgrade{name: name, what: what}, operationID: "op-" + name, decided: at(ms)}
	}
	told := &told{
		wanted: []wantedNews{
			wanted("a", newsFailure, 100), wanted("b", newsFailure, 100), wanted("a", newsFinished, 500), wanted("c",
				newsFailure, 100),
		},
		statuses: []sighting{
			{operationID: "op-b", at: at(90), tells: newsFailure}, // stored before it was answered
			{operationID: "op-a", at: at(150)},
			{operationID: "op-a", at: at(1100), tells: newsFailure},
			{operationID: "op-a", at: at(1500), tells: newsFailure | newsFinished},
			{operationID: "op-a", at: at(1700), tells: newsFailure | newsFinished},
			{operationID: "op-c", at: at(1700), tells: newsFailure}, // without an Event
		},
		events: map[newsOfUpgrade]time.Time{
			{"a", newsFailure}: at(2100), {"b", newsFailure}: at(300), {"a", newsFinished}: at(1600), {"c", newsDegraded}: at(1),
		},
	}
	want := &newsFigures{
		Count: 4, Missing: 1,
		Status: seconds{P50: 1, P99: 1, Max: 1}, Event: seconds{P50: 1.1, P99: 2, Max: 2},
		Kinds: map[string]kindFigures{
			"first failure": {Count: 3, Status: seconds{P50: 0, P99: 1, Max: 1}, Event: seconds{P50: 0.2, P99: 2, Max: 2}},
			"Finished":      {Count: 1, Status: seconds{P50: 1, P99: 1, Max: 1}, Event: seconds{P50: 1.1, P99: 1.1, Max: 1.1}},
		},
	}
	got := told.figures()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	if got.behind() != 2 {
		t.Errorf("%v s behind, want 2", got.behind())
	}
	told.wanted = nil
	if got := told.figures(); got != nil {
		t.Errorf("figures of nothing: %+v", got)
	}
}

func TestNewsInAStatus(t *testing.T) {
	fwu := fwuWith("a", v1alpha1.DeviceCounts{Succeeded: 3})
	fwu.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse}, {Type: v1alpha1.ConditionFinished, Status: metav1.ConditionUnknown},
	}
	if got := newsIn(fwu); got != 0 {
		t.Errorf("news %b, want none", got)
	}
	fwu.Status.Devices.Recovered = 1
	for i := range fwu.Status.Conditions {
		fwu.Status.Conditions[i].Status = metav1.ConditionTrue
	}
	if got := newsIn(fwu); got != newsFailure|newsDegraded|newsFinished {
		t.Errorf("news %b, want all", got)
	}
}

func eventOf(name, reason string) *eventsv1.Event {
	e := &eventsv1.Event{Reason: reason}
	e.Regarding.Name = name
	return e
}

func newTestEvents() *events {
	e := newEvents()
	e.follower = &follower{ended: make(chan struct{})}
	return e
}

func TestFirstEvents(t *testing.T) {
	e := newTestEvents()
	e.note(eventOf("a", "Started"), at(1))
	e.note(eventOf("a", "DevicesFailed"), at(2))
	e.note(eventOf("a", "DeviceFailed"), at(3))
	e.note(eventOf("b", "Degraded"), at(4))
	e.note(eventOf("b", "Finished"), at(5))
	want := map[newsOfUpgrade]time.Time{{"a", newsFailure}: at(2), {"b", newsDegraded}: at(4), {"b", newsFinished}: at(5)}
	if diff := cmp.Diff(want, e.first()); diff != "" {
		t.Errorf("first Events (-want +got):\n%s", diff)
	}
}

func TestAwaitEvents(t *testing.T) {
	e := newTestEvents()
	wanted := []wantedNews{
		{newsOfUpgrade: newsOfUpgrade{"a", newsFailure}}, {newsOfUpgrade: newsOfUpgrade{"a", newsFinished}},
	}
	ended := make(chan error, 1)
	go func() { ended <- e.await(t.Context(), wanted) }()
	e.note(eventOf("a", "Finished"), at(1))
	e.note(eventOf("a", "DeviceFailed"), at(2))
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	why := errors.New("the reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := newTestEvents().await(ctx, wanted); !errors.Is(err, why) {
		t.Errorf("error %v, want that of the context", err)
	}
}
