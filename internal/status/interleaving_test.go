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
			"leader changes":  func(t *rapid.T) { w.elect(rapid.IntRange(0, 1).Draw(t, "leader")) },
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
	elected  int

	// leaders are two, of which one may have been deposed without knowing.
	leaders [2]memory

	// told is the last status that a leader stored.
	told v1alpha1.FirmwareUpgradeStatus
	// want is how many Events of a reason there have to be, from what was stored.
	want map[string]int
	// degraded are the generations in which the policy was stored as broken.
	degraded map[int64]bool
}

// memory is what a leader remembers.
type memory struct {
	id        string
	results   *tally.Tally
	written   *v1alpha1.FirmwareUpgradeStatus
	delivered int64
}

func newEventWorld() *eventWorld {
	w := &eventWorld{
		now: first, stored: made().Expected(6).MaxFailed("1", 0).Deadline(time.Hour).Target("2").Obj(),
		events: map[string]v1alpha1.OutboxEvent{}, want: map[string]int{}, degraded: map[int64]bool{},
	}
	for i := range w.leaders {
		w.elect(i)
	}
	return w
}

// elect replaces a leader by one that has read what is stored.
func (w *eventWorld) elect(i int) {
	w.elected++
	w.leaders[i] = memory{id: fmt.Sprint("leader-", w.elected), results: tally.New()}
	w.leaders[i].results.Add(w.received)
	w.leaders[i].results.Seal()
}

// leader draws one of the leaders, the first one mostly.
func (w *eventWorld) leader(t *rapid.T) *memory {
	return &w.leaders[rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "leader")]
}

func (w *eventWorld) receive(t *rapid.T) {
	batch := rapid.SliceOfN(rapid.Custom(drawVersioned), 1, 4).Draw(t, "results")
	w.received = append(w.received, batch...)
	for _, l := range w.leaders {
		l.results.Add(batch)
	}
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
	outcomes := []string{"answered", "answered", "answered", "conflict", "failed", "answer lost"}
	w.writeBy(w.leader(t), rapid.SampledFrom(outcomes).Draw(t, "write"))
}

func (w *eventWorld) writeBy(l *memory, outcome string) {
	prev := w.stored.Status
	if writer := prev.OperatorState.Leader; l.written != nil && (writer == "" || writer == l.id) {
		prev = *l.written
	}
	sum := l.results.Summary(testTask, tally.Query{TargetVersion: w.stored.Spec.TargetVersion})
	delivered := l.delivered
	if delivered > w.stored.Status.OperatorState.Sequence {
		delivered = 0
	}
	next, _ := Compute(w.stored, prev, Observation{
		Task: testTask, Summary: sum, Failures: l.results, Delivered: delivered, Now: w.now,
	})
	if Compare(w.stored.Status, next) == Nothing {
		return
	}
	next.OperatorState.Leader = l.id
	if outcome == "answered" || outcome == "answer lost" {
		w.note(w.told, next)
		w.told = *next.DeepCopy()
		w.stored.Status = *next.DeepCopy()
	}
	switch outcome {
	case "answered":
		own := *next.DeepCopy()
		own.Details = v1alpha1.Details{}
		l.written = &own
	case "conflict":
	default:
		l.written = nil
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
	w.deliverBy(w.leader(t), rapid.IntRange(0, 6).Draw(t, "until"), rapid.Bool().Draw(t, "created"))
}

func (w *eventWorld) deliverBy(l *memory, until int, created bool) {
	state := w.stored.Status.OperatorState
	for i, e := range state.Outbox {
		number := FirstNumber(state) + int64(i)
		if number <= l.delivered {
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
	l.delivered = max(l.delivered, state.Sequence)
}

// foreignWrite has somebody else write the status: a leader that wrote it before puts it right.
func (w *eventWorld) foreignWrite(t *rapid.T) {
	l := &w.leaders[0]
	if l.written == nil || l.id != w.stored.Status.OperatorState.Leader {
		t.Skip("the leader has not written the status")
	}
	w.stored.Status = v1alpha1.FirmwareUpgradeStatus{
		Devices: v1alpha1.DeviceCounts{Succeeded: 99}, Phase: v1alpha1.PhaseFailed,
		OperatorState: v1alpha1.OperatorState{
			Leader: rapid.SampledFrom([]string{"", l.id}).
				Draw(t, "leader"),
			Sequence: rapid.Int64Range(0, 99).Draw(t, "sequence"),
		},
	}
	w.writeBy(l, "answered")
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
	w.now = w.now.Add(2 * time.Hour) // every deadline has passed
	for range 6 {
		w.now = w.now.Add(time.Minute)
		w.writeBy(&w.leaders[0], "answered")
		w.deliverBy(&w.leaders[0], maxOutbox, false)
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
