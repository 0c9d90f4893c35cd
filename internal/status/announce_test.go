// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/wrappers"
)

// leader plays the part of the reconcilers that concerns the outbox, without an API server: it writes a status, and
// creates the Events in it unless they are held back.
type leader struct {
	results *tally.Tally
	fwu     *v1alpha1.FirmwareUpgrade
	// hold says that no Event can be created.
	hold      bool
	delivered int64
	told      []v1alpha1.OutboxEvent
}

func newLeader(fwu *v1alpha1.FirmwareUpgrade) *leader {
	results := tally.New()
	results.Seal()
	return &leader{results: results, fwu: fwu}
}

func (l *leader) receive(results ...result.Result) {
	for i := range results {
		results[i].Normalize()
	}
	l.results.Add(results)
}

func (l *leader) observe(at time.Time) Observation {
	return Observation{
		Task: testTask, Now: at, Failures: l.results, Delivered: l.delivered,
		Summary: l.results.Summary(
			testTask,
			tally.Query{TargetVersion: l.fwu.Spec.TargetVersion, Devices: l.fwu.Spec.Devices},
		),
	}
}

// reconcile writes one status and delivers its outbox.
func (l *leader) reconcile(at time.Time) (again time.Time) {
	l.fwu.Status, again = Compute(l.fwu, l.fwu.Status, l.observe(at))
	l.deliver()
	return again
}

func (l *leader) deliver() {
	if l.hold {
		return
	}
	state := l.fwu.Status.OperatorState
	for i, e := range state.Outbox {
		if FirstNumber(state)+int64(i) > l.delivered {
			l.told = append(l.told, e)
		}
	}
	l.delivered = state.Sequence
}

func failure(device int, at time.Time, desc string) result.Result {
	return result.Result{
		Task: testTask, DeviceID: fmt.Sprintf("d%06d", device), ReceivedAt: at.UnixMicro(),
		ResultFields: storage.ResultFields{State: storage.StateFailed, StatusDesc: desc},
	}
}

func success(device int, at time.Time) result.Result {
	r := failure(device, at, "")
	r.State = storage.StateSucceeded
	return r
}

func manyFailures(from, to int) []result.Result {
	var out []result.Result
	for d := from; d < to; d++ {
		out = append(out, failure(d, first, "Invalid URI"))
	}
	return out
}

func reasons(events []v1alpha1.OutboxEvent) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Type+" "+e.Reason)
	}
	return out
}

func notes(events []v1alpha1.OutboxEvent) []string {
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
		"Normal Finished: Succeeded: 3/3 devices succeeded",
	}
	if diff := cmp.Diff(want, notes(l.told)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := l.fwu.Status.OperatorState; got.Announced.Failures != 1 || got.Sequence != 4 || len(got.Outbox) != 0 {
		t.Errorf("state: %+v", got)
	}
}

// Whatever is decided while the Events of before can't be created is announced all the same: that the policy broke, the
// end, suspect versions, configuration problems.
func TestNothingIsLostWhileTheOutboxWaits(t *testing.T) {
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		play func(*leader)
		want []string
	}{
		"the policy breaks and the upgrade ends": {
			fwu: made().Expected(2).MaxFailed("0", 0),
			play: func(l *leader) {
				l.receive(success(1, first))
				l.reconcile(first)
				l.receive(failure(2, first.Add(time.Second), "Invalid URI"))
				l.reconcile(first.Add(time.Second))
			},
			want: []string{"Normal Started", "Warning DeviceFailed", "Warning Degraded", "Warning Finished"},
		},
		"the deadline passes": {
			fwu: made().Expected(2).Deadline(time.Hour),
			play: func(l *leader) {
				l.receive(success(1, first))
				l.reconcile(first)
				l.reconcile(first.Add(time.Hour))
			},
			want: []string{"Normal Started", "Warning DeadlineExceeded"},
		},
		"a version is suspect": {
			fwu: made().Expected(9).Target("2"),
			play: func(l *leader) {
				l.receive(success(1, first))
				l.reconcile(first)
				suspect := success(2, last)
				suspect.CurVersion = "1"
				l.receive(suspect)
				l.reconcile(last)
			},
			want: []string{"Normal Started", "Warning VersionSuspect"},
		},
		"another one takes the task": {
			fwu: made().Expected(9),
			play: func(l *leader) {
				l.receive(success(1, first))
				l.reconcile(first)
				seen := l.observe(last)
				seen.Claim = duplicate
				l.fwu.Status, _ = Compute(l.fwu, l.fwu.Status, seen)
			},
			want: []string{"Normal Started", "Warning DuplicateOperation"},
		},
		"an end is withdrawn and comes again": {
			fwu: made().Expected(1),
			play: func(l *leader) {
				l.receive(success(1, first))
				l.reconcile(first)
				l.fwu.Generation, l.fwu.Spec.ExpectedDevices = 2, new(int64(2))
				l.reconcile(first.Add(time.Second))
				l.receive(success(2, last))
				l.reconcile(last)
			},
			want: []string{"Normal Started", "Normal Finished", "Normal Finished"},
		},
		"failures wait for those before": {
			fwu: made().Expected(9),
			play: func(l *leader) {
				l.receive(failure(1, first, "Invalid URI"))
				l.reconcile(first)
				l.receive(failure(2, first, "Invalid URI"), failure(3, first, "Invalid URI"))
				l.reconcile(last)
			},
			want: []string{"Normal Started", "Warning DeviceFailed", "Warning DeviceFailed", "Warning DeviceFailed"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLeader(c.fwu.Obj())
			l.reconcile(created)
			l.hold = true
			c.play(l)
			l.hold = false
			l.deliver()
			again := l.observe(last.Add(2 * time.Hour))
			again.Now = last
			if name == "another one takes the task" {
				again.Claim = duplicate
			}
			for range 2 {
				again.Delivered = l.delivered
				l.fwu.Status, _ = Compute(l.fwu, l.fwu.Status, again)
				l.deliver()
			}
			if diff := cmp.Diff(c.want, reasons(l.told)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDegradedIsAnnouncedOnceAGeneration(t *testing.T) {
	l := newLeader(made().Expected(100).MaxFailed("50%", 0).Obj())
	at := first
	for d := range 20 { // the share of failures goes above the limit and back to it, again and again
		if l.receive(failure(d, at, "Invalid URI")); d%2 == 1 {
			l.receive(success(1000+d, at), success(2000+d, at))
		}
		at = at.Add(time.Second)
		l.reconcile(at)
		if d > 0 && condition(l.fwu.Status, v1alpha1.ConditionDegraded).Status != metav1.ConditionTrue {
			t.Fatalf("the policy broke and is whole again: %s", told(l.fwu.Status))
		}
	}
	l.fwu.Generation, l.fwu.Spec.FailurePolicy.MinReported = 2, new(int64(1000))
	l.reconcile(at)
	if condition(l.fwu.Status, v1alpha1.ConditionDegraded).Status == metav1.ConditionTrue {
		t.Errorf("a new spec is judged by the old one: %s", told(l.fwu.Status))
	}
	l.fwu.Generation, l.fwu.Spec.FailurePolicy = 3, made().MaxFailed("1", 0).Obj().Spec.FailurePolicy
	l.reconcile(at)
	l.reconcile(at)
	n := 0
	for _, e := range l.told {
		if e.Reason == EventDegraded {
			n++
		}
	}
	if n != 2 {
		t.Errorf("Degraded was announced %d times, want once in generation 1 and once in 3: %v", n, reasons(l.told))
	}
}

// Devices outside spec.devices neither hold an upgrade up, nor fail it, nor reopen it.
func TestUnexpectedDevicesDecideNothing(t *testing.T) {
	step := func(device int, state storage.State, at time.Time) result.Result {
		r := success(device, at)
		r.State = state
		return r
	}
	fwu := made().Devices("d000001", "d000002").Deadline(time.Hour).Obj()
	l := newLeader(fwu)
	l.receive(success(1, first), step(9, storage.StateDownloading, first))
	l.reconcile(first)
	got := []string{told(l.fwu.Status)}
	l.receive(success(2, last))
	l.reconcile(last)
	got = append(got, told(l.fwu.Status))
	l.receive(step(8, storage.StateDownloading, last))
	l.reconcile(first.Add(2 * time.Hour)) // after the deadline
	got = append(got, told(l.fwu.Status))
	l.receive(failure(9, last.Add(3*time.Hour), "Invalid URI"))
	l.reconcile(last.Add(3 * time.Hour))
	got = append(got, told(l.fwu.Status))
	want := []string{
		"Running 1/2 Reconciling=Running",
		"Succeeded 2/2 Ready=Succeeded Finished=Succeeded",
		"Succeeded 2/2 Ready=Succeeded Finished=Succeeded",
		"Succeeded 2/2 Ready=Succeeded Finished=Succeeded",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := l.fwu.Status.Devices; d.Unexpected != 2 || d.Failed != 1 || d.InProgress != 1 {
		t.Errorf("they are counted all the same, got %+v", d)
	}
	wantEvents := []string{"Normal Started", "Normal Finished", "Warning DeviceFailed"}
	if diff := cmp.Diff(wantEvents, reasons(l.told)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Nor do the times at which they report count: the deadline and the time to settle are those of the listed devices.
func TestUnexpectedDevicesMoveNoTime(t *testing.T) {
	l := newLeader(made().Devices("d000001", "d000002").Deadline(time.Hour).Settle(time.Minute).Obj())
	l.receive(success(9, created.Add(-48*time.Hour)))
	l.reconcile(created)
	if got, want := told(l.fwu.Status), "Pending 0/2 Reconciling=Pending"; got != want {
		t.Errorf("after a stranger's result of long ago: want %q, got %q", want, got)
	}
	l.receive(success(1, first), failure(2, last, "Invalid URI"))
	for s := range 6 { // a stranger reports every ten seconds
		at := last.Add(time.Duration(s) * 10 * time.Second)
		l.receive(success(100+s, at))
		l.reconcile(at)
	}
	l.reconcile(last.Add(time.Minute))
	want := "PartiallySucceeded 2/2 Stalled=PartiallySucceeded Finished=PartiallySucceeded"
	if got := told(l.fwu.Status); got != want {
		t.Errorf("settled: want %q, got %q", want, got)
	}
}

// A forged archive is none: its results would be removed.
func TestForgedArchiveIsPutRight(t *testing.T) {
	l := newLeader(made().Expected(2).Obj())
	l.receive(success(1, first))
	l.fwu.Status.ArchiveTime = &metav1.Time{Time: first}
	if Archived(l.fwu.Status) {
		t.Error("an upgrade that has not ended counts as archived")
	}
	l.reconcile(first)
	if got, want := told(l.fwu.Status), "Running 1/2 Reconciling=Running"; got != want || l.fwu.Status.ArchiveTime != nil {
		t.Errorf("want %q, got %q, archived %v", want, got, l.fwu.Status.ArchiveTime)
	}
}

func TestLateResultsThatTurnReadyAround(t *testing.T) {
	l := newLeader(made().Expected(2).Obj())
	l.receive(success(1, first), failure(2, first, "Invalid URI"))
	l.reconcile(first)
	l.receive(success(2, last)) // Ready
	l.reconcile(last)
	l.receive(failure(3, last.Add(time.Hour), "Invalid URI")) // not Ready: one more than are expected
	l.reconcile(last.Add(time.Hour))
	l.reconcile(last.Add(2 * time.Hour))
	var got []string
	for _, e := range notes(l.told) {
		got = append(got, e[:min(len(e), 51)])
	}
	want := []string{
		"Normal Started: The first device has reported",
		"Warning DeviceFailed: Device d000002 failed: Invali",
		"Warning Finished: PartiallySucceeded: 1 of 2 failed",
		"Normal OutcomeChanged: Ready is now True: Succeeded",
		"Warning DeviceFailed: Device d000003 failed: Invali",
		"Warning OutcomeChanged: Ready is now False: Unexpec",
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
		var batch []result.Result
		for d := i; d < i+1000; d++ {
			batch = append(batch, failure(d, at, []string{"Invalid URI", "Task Conflict", ""}[d%3]))
		}
		l.receive(batch...)
		at = at.Add(time.Second)
		l.reconcile(at)
	}
	l.reconcile(at.Add(time.Second))
	if got := l.fwu.Status.OperatorState.Announced.Failures; got != failures {
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
	l.receive(manyFailures(0, 20)...)
	l.reconcile(first)
	l.receive(manyFailures(20, 40)...)
	due := l.reconcile(first.Add(time.Second))
	if want := first.Add(digestDistance); !due.Equal(want) {
		t.Errorf("due: want %s, got %s", want, due)
	}
	if got := l.fwu.Status.OperatorState.Announced.Failures; got != 20 {
		t.Errorf("announced too early: want 20, got %d", got)
	}
	l.receive(manyFailures(40, 100)...)
	l.reconcile(first.Add(2 * time.Second))
	l.reconcile(first.Add(3 * time.Second))
	if got := l.fwu.Status.OperatorState.Announced.Failures; got != 100 {
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

func TestConfigurationProblemsAreToldOnce(t *testing.T) {
	fwu := made().Obj()
	var got []string
	for i := range 3 {
		seen := Observation{
			Claim: claim.Claim{Reason: v1alpha1.ReasonNotPermitted, Message: "ask"}, Failures: tally.New(),
			Now: created.Add(time.Duration(i) * time.Second), Delivered: fwu.Status.OperatorState.Sequence,
		}
		fwu.Status, _ = Compute(fwu, fwu.Status, seen)
		got = append(got, notes(fwu.Status.OperatorState.Outbox)...)
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
	if diff := cmp.Diff([]string{"Normal PlaceholderCreated", "Normal Started"}, reasons(l.told)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An archived status counts and announces nothing more: the log that the position belongs to is gone.
func TestArchivedAnnouncesNothing(t *testing.T) {
	l := newLeader(made().Expected(2).Retain(time.Hour).Obj())
	l.receive(success(1, first), failure(2, first, "Invalid URI"))
	l.reconcile(first)
	l.reconcile(first.Add(2 * time.Hour))
	if l.fwu.Status.ArchiveTime == nil {
		t.Fatal("not archived")
	}
	before := len(l.told)
	l.results = tally.New()
	l.receive(failure(3, last, "Invalid URI"), failure(4, last, "Invalid URI"))
	l.reconcile(first.Add(3 * time.Hour))
	if n := len(l.told); n != before {
		t.Errorf("announced after the archive: %v", notes(l.told[before:]))
	}
}

// The status is not archived before every failure was announced.
func TestArchivingWaitsForEvents(t *testing.T) {
	l := newLeader(made().Expected(1).Retain(time.Hour).Obj())
	l.receive(failure(1, first, "Invalid URI"))
	l.hold = true
	l.reconcile(first)
	l.reconcile(first.Add(2 * time.Hour))
	if l.fwu.Status.ArchiveTime != nil {
		t.Error("archived although Events wait")
	}
	l.reconcile(first.Add(time.Hour + announceGrace))
	if l.fwu.Status.ArchiveTime == nil {
		t.Error("never archived while Events can't be created")
	}
}

func TestFullOutboxDelays(t *testing.T) {
	l := newLeader(made().Expected(1).Obj())
	l.hold = true
	l.receive(success(1, first))
	for g := int64(1); g <= 80; g++ { // every other generation withdraws the end
		l.fwu.Generation, l.fwu.Spec.ExpectedDevices = g, new(1+g%2)
		l.reconcile(first.Add(time.Duration(g) * time.Second))
	}
	if n := len(l.fwu.Status.OperatorState.Outbox); n > maxOutbox {
		t.Errorf("%d Events in the outbox, at most %d may be", n, maxOutbox)
	}
	l.hold = false
	l.deliver()
	l.reconcile(first.Add(time.Hour))
	if got := l.fwu.Status.OperatorState.Announced; !got.Finished || len(l.told) < maxOutbox {
		t.Errorf("the present end was not announced: %+v", got)
	}
}

func TestCompare(t *testing.T) {
	l := newLeader(wrappers.MakeFirmwareUpgrade("n", "ns").Created(created).Generation(1).Obj())
	l.receive(failure(1, first, "x"), success(2, first))
	l.reconcile(first)
	l.reconcile(first.Add(time.Second))
	prev := l.fwu.Status
	next := func(at time.Time) v1alpha1.FirmwareUpgradeStatus {
		st, _ := Compute(l.fwu, prev, l.observe(at))
		return st
	}
	if got := Compare(prev, next(last)); got != Nothing {
		t.Errorf("nothing came: want Nothing, got %v", got)
	}
	l.receive(failure(1, last, "x"), success(2, last))
	if got := Compare(prev, next(last)); got != Nothing {
		t.Errorf("repetitions moved times only: want Nothing, got %v\n%s", got, cmp.Diff(prev, next(last)))
	}
	repeated := *prev.DeepCopy()
	repeated.Details.InProgressDevices = []v1alpha1.InProgressDevice{{
		DeviceID: "d", ReceiveTime: metav1.Time{Time: first},
	}}
	later := *repeated.DeepCopy()
	later.Details.InProgressDevices[0].ReceiveTime = metav1.Time{Time: last}
	if got := Compare(repeated, later); got != Nothing {
		t.Errorf("a step was repeated: want Nothing, got %v", got)
	}
	l.receive(success(3, last))
	if got := Compare(prev, next(last)); got != Progress {
		t.Errorf("a device came: want Progress, got %v", got)
	}
	l.fwu.Generation = 2
	if got := Compare(prev, next(last)); got != News {
		t.Errorf("the spec changed: want News, got %v", got)
	}
	outbox := *prev.DeepCopy()
	outbox.OperatorState.Outbox = []v1alpha1.OutboxEvent{{Reason: "x"}}
	if got := Compare(outbox, prev); got != Tidying {
		t.Errorf("the outbox was delivered: want Tidying, got %v", got)
	}
	none := v1alpha1.FirmwareUpgradeStatus{ObservedGeneration: 2}
	failed := v1alpha1.FirmwareUpgradeStatus{ObservedGeneration: 2, Devices: v1alpha1.DeviceCounts{Failed: 1}}
	if got := Compare(none, failed); got != News {
		t.Errorf("the first failure: want News, got %v", got)
	}
}
