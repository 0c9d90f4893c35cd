// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// TestAnyInterleavingAnnouncesOnce lets results come, the spec change, time pass, statuses be written (or not, or
// without an answer), Events be created (or refused, or without an answer), somebody else write the status, and leaders
// change, in any order. In the end there is exactly one Started, one Degraded for each generation in which the policy
// broke, one Finished or DeadlineExceeded for each end, one OutcomeChanged for each time that Ready turned around after
// an end, and the announced failures add up to failed + recovered.
func TestAnyInterleavingAnnouncesOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newEventWorld()
		t.Repeat(map[string]func(*rapid.T){
			"receive":         w.receive,
			"receive more":    w.receive,
			"edit the spec":   w.edit,
			"time passes":     w.pass,
			"write":           w.write,
			"write once more": w.write,
			"deliver":         w.deliver,
			"foreign write":   w.foreignWrite,
			"leader changes":  func(*rapid.T) { w.elect() },
			"":                w.check,
		})
		w.settle(t)
	})
}

// eventWorld is an API server with one FirmwareUpgrade and the Events about it, a leader, and what has to be announced.
type eventWorld struct {
	now      time.Time
	stored   *v1alpha1.FirmwareUpgrade
	events   map[string]v1alpha1.OutboxEvent
	received []result.Result
	edits    int

	// The leader's memory.
	results   *tally.Tally
	written   *v1alpha1.FirmwareUpgradeStatus
	delivered int64

	// want is how many Events of a reason there have to be, from what was stored.
	want map[string]int
	// degraded are the generations in which the policy was stored as broken.
	degraded map[int64]bool
}

func newEventWorld() *eventWorld {
	w := &eventWorld{
		now: first, stored: made().Expected(6).MaxFailed("1", 0).Deadline(time.Hour).Target("2").Obj(),
		events: map[string]v1alpha1.OutboxEvent{}, want: map[string]int{}, degraded: map[int64]bool{},
	}
	w.elect()
	return w
}

// elect replaces the leader by one that has read what is stored.
func (w *eventWorld) elect() {
	w.results, w.written, w.delivered = tally.New(), nil, 0
	w.results.Add(w.received)
	w.results.Seal()
}

func (w *eventWorld) receive(t *rapid.T) {
	batch := rapid.SliceOfN(rapid.Custom(drawResult), 1, 4).Draw(t, "results")
	w.received = append(w.received, batch...)
	w.results.Add(batch)
}

func (w *eventWorld) edit(t *rapid.T) {
	if w.edits++; w.edits > 6 {
		t.Skip("edited often enough")
	}
	w.stored.Generation++
	w.stored.Spec.ExpectedDevices = new(rapid.Int64Range(1, 10).Draw(t, "expected"))
	w.stored.Spec.FailurePolicy = made().MaxFailed(rapid.SampledFrom([]string{"0", "3", "50%"}).Draw(t, "policy"), 0).
		Obj().
		Spec.FailurePolicy
}

func (w *eventWorld) pass(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 1200).Draw(t, "seconds")) * time.Second)
}

// write computes a status as the reconciler does, and stores it, or not, or without an answer.
func (w *eventWorld) write(t *rapid.T) {
	w.writeWith(
		rapid.SampledFrom([]string{"answered", "answered", "answered", "conflict", "failed", "answer lost"}).Draw(t, "write"),
	)
}

func (w *eventWorld) writeWith(outcome string) {
	prev := w.stored.Status
	if w.written != nil {
		prev = *w.written
	}
	sum := w.results.Summary(testTask, tally.Query{TargetVersion: w.stored.Spec.TargetVersion})
	next, _ := Compute(
		w.stored,
		prev,
		Observation{Task: testTask, Summary: sum, Failures: w.results, Delivered: w.delivered, Now: w.now},
	)
	if Compare(w.stored.Status, next) == Nothing {
		return
	}
	if outcome == "answered" || outcome == "answer lost" {
		w.note(prev, next)
		w.stored.Status = *next.DeepCopy()
	}
	switch outcome {
	case "answered":
		own := *next.DeepCopy()
		own.Details = v1alpha1.Details{}
		w.written = &own
	case "conflict":
	default:
		w.written = nil
	}
}

// note takes from what is stored what has to be announced.
func (w *eventWorld) note(prev, next v1alpha1.FirmwareUpgradeStatus) {
	if next.StartTime != nil {
		w.want[EventStarted] = 1
	}
	if next.Devices.Suspect > 0 {
		w.want[EventVersionSuspect] = 1
	}
	if condition(next, v1alpha1.ConditionDegraded).Status == metav1.ConditionTrue && !w.degraded[w.stored.Generation] {
		w.degraded[w.stored.Generation] = true
		w.want[EventDegraded]++
	}
	finished := condition(next, v1alpha1.ConditionFinished)
	wasFinished := condition(prev, v1alpha1.ConditionFinished)
	switch {
	case finished.Status != metav1.ConditionTrue:
	case wasFinished.Status != metav1.ConditionTrue && finished.Reason == v1alpha1.ReasonDeadlineExceeded:
		w.want[EventDeadlineExceeded]++
	case wasFinished.Status != metav1.ConditionTrue:
		w.want[EventFinished]++
	case condition(prev, v1alpha1.ConditionReady).Status != condition(next, v1alpha1.ConditionReady).Status:
		w.want[EventOutcomeChanged]++
	}
}

// deliver creates the Events of the stored outbox; after some of them it may fail, with or without having created it.
func (w *eventWorld) deliver(t *rapid.T) {
	w.deliverUntil(rapid.IntRange(0, 6).Draw(t, "until"), rapid.Bool().Draw(t, "created"))
}

func (w *eventWorld) deliverUntil(until int, created bool) {
	state := w.stored.Status.OperatorState
	for i, e := range state.Outbox {
		number := FirstNumber(state) + int64(i)
		if number <= w.delivered {
			continue
		}
		if i >= until && !created {
			return
		}
		name := fmt.Sprintf("%d-%d", number, e.PlanTime.UnixMicro())
		if _, exists := w.events[name]; !exists {
			w.events[name] = e
		}
		if i >= until {
			return
		}
	}
	w.delivered = max(w.delivered, state.Sequence)
}

// foreignWrite has somebody else write the status: a leader that wrote it before puts it right.
func (w *eventWorld) foreignWrite(t *rapid.T) {
	if w.written == nil {
		t.Skip("the leader has not written the status")
	}
	w.stored.Status = v1alpha1.FirmwareUpgradeStatus{
		Devices: v1alpha1.DeviceCounts{Succeeded: 99},
		Phase:   v1alpha1.PhaseFailed,
	}
	w.writeWith("answered")
	if got := w.stored.Status.Devices.Succeeded; got == 99 {
		t.Fatal("what somebody else wrote stands")
	}
}

// check holds that no Event is there too often.
func (w *eventWorld) check(t *rapid.T) {
	for reason, n := range w.counts() {
		if reason != EventDevicesRecovered && n > w.want[reason] {
			t.Fatalf("%d Events %s, want %d at most", n, reason, w.want[reason])
		}
	}
}

// counts are the Events, but those about failures, by reason.
func (w *eventWorld) counts() map[string]int {
	counts := map[string]int{}
	for _, e := range w.events {
		if e.Failures == 0 {
			counts[e.Reason]++
		}
	}
	return counts
}

func (w *eventWorld) settle(t *rapid.T) {
	for range 6 {
		w.now = w.now.Add(time.Minute)
		w.writeWith("answered")
		w.deliverUntil(maxOutbox, false)
	}
	got := w.counts()
	delete(got, EventDevicesRecovered)
	want := maps.Clone(w.want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Events (-want +got):\n%s", diff)
	}
	failures := int64(0)
	for _, e := range w.events {
		failures += e.Failures
	}
	if d := w.stored.Status.Devices; failures != d.Failed+d.Recovered {
		t.Fatalf("%d failures are announced, want %d failed + %d recovered", failures, d.Failed, d.Recovered)
	}
	if n := len(w.stored.Status.OperatorState.Outbox); n != 0 {
		t.Fatalf("%d Events are left in the outbox", n)
	}
}
