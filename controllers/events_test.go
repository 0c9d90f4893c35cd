// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
	"fwupgrade.io/operator/test/wrappers"
)

var testTask = upgrade.Task{AppID: "app", OperationID: "op"}

// leader plays the part of the reconciler that concerns the outbox, without an API server.
type leader struct {
	tally *upgrade.Tally
	fwu   *v1alpha1.FirmwareUpgrade
	told  []v1alpha1.PendingEvent
}

func newLeader(fwu *v1alpha1.FirmwareUpgrade) *leader {
	tally := upgrade.NewTally()
	tally.Seal()
	return &leader{tally: tally, fwu: fwu}
}

func (l *leader) receive(results ...upgrade.Result) {
	for i := range results {
		results[i].Normalize()
	}
	l.tally.Add(results)
}

// reconcile writes one status and delivers what it put into the outbox.
func (l *leader) reconcile(at time.Time) (due time.Time) {
	sum := l.tally.Summary(testTask, upgrade.Query{})
	seen := observation{task: testTask, summary: sum, now: at, placeholder: l.fwu.Labels[v1alpha1.LabelPlaceholder] == "true"}
	next, _ := computeStatus(l.fwu, seen)
	next.Events, due = planEvents(l.fwu, next, seen, l.tally)
	l.fwu.Status = next
	l.told = append(l.told, next.Events.Pending...)
	return due
}

func failure(device int, at time.Time, desc string) upgrade.Result {
	return upgrade.Result{
		Task: testTask, DeviceID: fmt.Sprintf("d%06d", device), ReceivedAt: at.UnixMicro(),
		ResultFields: v1alpha1.ResultFields{State: v1alpha1.StateFailed, StatusDesc: desc},
	}
}

func success(device int, at time.Time) upgrade.Result {
	r := failure(device, at, "")
	r.State = v1alpha1.StateSucceeded
	return r
}

func tellings(events []v1alpha1.PendingEvent) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Type+" "+e.Reason+": "+e.Note)
	}
	return out
}

func TestEventsOfASmallUpgrade(t *testing.T) {
	l := newLeader(made().Expected(3).Settle(time.Minute).Obj())
	l.reconcile(created)
	l.receive(failure(1, first, "Invalid URI"))
	l.reconcile(first)
	l.receive(success(2, last), success(3, last), success(1, last))
	l.reconcile(last)
	l.reconcile(last.Add(time.Second))
	want := []string{
		"Normal Started: The first device has reported",
		"Warning DeviceFailed: Device d000001 failed: Invalid URI",
		"Normal DevicesRecovered: 1 device failed first and succeeded in the end",
		"Normal Finished: Succeeded: 3/3 devices done",
	}
	if diff := cmp.Diff(want, tellings(l.told)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := l.fwu.Status.Events; got.Announced != 1 || got.Sequence != 4 || len(got.Pending) != 0 {
		t.Errorf("outbox: %+v", got)
	}
}

func TestEventsOfADegradedUpgrade(t *testing.T) {
	l := newLeader(made().Expected(100).MaxFailed("1", 0).Deadline(time.Hour).Target("2").Obj())
	suspect := success(3, first)
	suspect.CurVersion = "1"
	l.receive(failure(1, first, "Invalid URI"), failure(2, first, "Task Conflict"), suspect)
	sum := l.tally.Summary(testTask, upgrade.Query{TargetVersion: "2"})
	seen := observation{task: testTask, summary: sum, now: first}
	next, _ := computeStatus(l.fwu, seen)
	next.Events, _ = planEvents(l.fwu, next, seen, l.tally)
	l.fwu.Status, l.told = next, next.Events.Pending
	l.reconcile(first.Add(time.Hour))
	var got []string
	for _, e := range l.told {
		got = append(got, e.Type+" "+e.Reason)
	}
	want := []string{
		"Normal Started", "Warning DeviceFailed", "Warning DeviceFailed", "Warning Degraded", "Warning VersionSuspect", "Warning DeadlineExceeded",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestManyFailuresMakeFewEvents(t *testing.T) {
	const failures = 100_000
	l := newLeader(made().Expected(failures).Obj())
	at := first
	for i := 0; i < failures; i += 1000 { // 1,000 a second
		var batch []upgrade.Result
		for d := i; d < i+1000; d++ {
			batch = append(batch, failure(d, at, []string{"Invalid URI", "Task Conflict", ""}[d%3]))
		}
		l.receive(batch...)
		at = at.Add(time.Second)
		l.reconcile(at)
	}
	l.reconcile(at.Add(time.Second))
	if got := l.fwu.Status.Events.Announced; got != failures {
		t.Errorf("announced: want %d, got %d", failures, got)
	}
	if n := len(l.told); n > 40 {
		t.Errorf("%d events are too many", n)
	}
	for _, e := range l.told {
		if e.Failures > 0 && (e.Type != corev1.EventTypeWarning || len(e.Devices) == 0 || e.Cause == "") {
			t.Errorf("a digest without its parts: %+v", e)
		}
	}
}

func TestDigestsKeepTheirDistanceButNotAtTheEnd(t *testing.T) {
	l := newLeader(made().Expected(100).Obj())
	l.receive(failures(0, 20)...)
	l.reconcile(first)
	l.receive(failures(20, 40)...)
	due := l.reconcile(first.Add(time.Second))
	if want := first.Add(digestDistance); !due.Equal(want) {
		t.Errorf("due: want %s, got %s", want, due)
	}
	if got := l.fwu.Status.Events.Announced; got != 20 {
		t.Errorf("announced too early: want 20, got %d", got)
	}
	l.receive(failures(40, 100)...)
	l.reconcile(first.Add(2 * time.Second))
	l.reconcile(first.Add(3 * time.Second))
	if got := l.fwu.Status.Events.Announced; got != 100 {
		t.Errorf("announced at the end: want 100, got %d", got)
	}
}

func TestManyCausesShareTheLastDigest(t *testing.T) {
	l := newLeader(made().Obj())
	for i := range 300 {
		l.receive(failure(i, first, fmt.Sprintf("cause %c%c", 'a'+i%26, 'a'+i/26)))
	}
	l.reconcile(first)
	var sum int64
	for _, e := range l.told {
		sum += e.Failures
	}
	if sum != 300 {
		t.Errorf("announced: want 300, got %d", sum)
	}
	if n := len(l.told); n != maxDigests+2 { // Started, and Other
		t.Errorf("events: want %d, got %d", maxDigests+2, n)
	}
}

func failures(from, to int) []upgrade.Result {
	var out []upgrade.Result
	for d := from; d < to; d++ {
		out = append(out, failure(d, first, "Invalid URI"))
	}
	return out
}

// Whatever comes in whatever order, and whenever leaders change, the announced counts add up to failed + recovered.
func TestAnnouncedAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLeader(made().Obj())
		at := first
		var stored []upgrade.Result
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			var batch []upgrade.Result
			for range rapid.IntRange(0, 12).Draw(t, "results") {
				batch = append(batch, drawResult(t))
			}
			stored = append(stored, batch...)
			l.tally.Add(batch)
			at = at.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "leader changes") {
				l.tally = upgrade.NewTally()
				l.tally.Add(stored)
				l.tally.Seal()
			}
			l.reconcile(at)
		}
		l.reconcile(at.Add(time.Minute))
		l.reconcile(at.Add(2 * time.Minute))
		var told int64
		for _, e := range l.told {
			told += e.Failures
		}
		d := l.fwu.Status.Devices
		if want := d.Failed + d.Recovered; told != want || l.fwu.Status.Events.Announced != want {
			t.Fatalf("failed + recovered = %d, told %d, announced %d", want, told, l.fwu.Status.Events.Announced)
		}
	})
}

func TestConfigurationProblemsAreToldOnce(t *testing.T) {
	fwu := made().Obj()
	var got []string
	for i := range 3 {
		seen := observation{claim: claim{v1alpha1.ReasonNotPermitted, "ask"}, now: created.Add(time.Duration(i) * time.Second)}
		next, _ := computeStatus(fwu, seen)
		next.Events, _ = planEvents(fwu, next, seen, upgrade.NewTally())
		got = append(got, tellings(next.Events.Pending)...)
		fwu.Status = next
	}
	if diff := cmp.Diff([]string{"Warning NotPermitted: ask"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlaceholderIsTold(t *testing.T) {
	l := newLeader(made().Placeholder().Obj())
	l.receive(success(1, first))
	l.reconcile(first)
	l.reconcile(last)
	if n := len(l.told); n != 2 || l.told[0].Reason != EventPlaceholderCreated || l.told[1].Reason != EventStarted {
		t.Errorf("want PlaceholderCreated and Started, got %v", tellings(l.told))
	}
}

func TestWorthWriting(t *testing.T) {
	base := func() (v1alpha1.FirmwareUpgradeStatus, *upgrade.Tally, *v1alpha1.FirmwareUpgrade) {
		l := newLeader(wrappers.MakeFirmwareUpgrade("n", "ns").Created(created).Generation(1).Obj())
		l.receive(failure(1, first, "x"), success(2, first))
		l.reconcile(first)
		l.reconcile(first.Add(time.Second))
		return l.fwu.Status, l.tally, l.fwu
	}
	prev, tally, fwu := base()
	compute := func(at time.Time) v1alpha1.FirmwareUpgradeStatus {
		sum := tally.Summary(testTask, upgrade.Query{})
		seen := observation{task: testTask, summary: sum, now: at}
		next, _ := computeStatus(fwu, seen)
		next.Events, _ = planEvents(fwu, next, seen, tally)
		return next
	}
	if worthWriting(prev, compute(last)) {
		t.Error("nothing came, but the status is written")
	}
	again := []upgrade.Result{failure(1, last, "x"), success(2, last)}
	again[0].Normalize()
	tally.Add(again)
	if next := compute(last); worthWriting(prev, next) {
		t.Errorf("repetitions moved times only, but the status is written:\n%s", cmp.Diff(prev, next))
	}
	tally.Add([]upgrade.Result{success(3, last)})
	if !worthWriting(prev, compute(last)) {
		t.Error("a device came, but the status is not written")
	}
}
