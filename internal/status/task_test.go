// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/wrappers"
)

// The spec goes before the platform, which goes before what was reported.
func TestExpectedDevices(t *testing.T) {
	groups := func() *wrappers.FirmwareUpgrade {
		w := made().App("x").Task()
		w.Spec.Task.DeviceGroups = &v1alpha1.DeviceGroups{Names: []string{"g"}}
		return w
	}
	figures := &v1alpha1.PlatformStatus{Total: 7}
	cases := map[string]struct {
		fwu      *wrappers.FirmwareUpgrade
		platform *v1alpha1.PlatformStatus
		reported int64
		want     int64
		known    bool
	}{
		"a list":                           {made().Devices("a", "b").Expected(5), figures, 9, 2, true},
		"a number":                         {made().Expected(5), figures, 9, 5, true},
		"a task's devices, each once":      {made().App("x").Task("a", "b", "a"), figures, 9, 2, true},
		"a number beside a task's groups":  {groups().Expected(5), figures, 3, 5, true},
		"the platform's of a task's group": {groups(), figures, 3, 7, true},
		"the platform's":                   {made(), figures, 3, 7, true},
		"fewer than reported":              {made(), figures, 9, 0, false},
		"nobody's":                         {groups(), nil, 3, 0, false},
	}
	for name, c := range cases {
		if got, known := expectedDevices(c.fwu.Spec, c.platform, c.reported); got != c.want || known != c.known {
			t.Errorf("%s: want %d %t, got %d %t", name, c.want, c.known, got, known)
		}
	}
}

// The devices of a task are those that decide, as listed ones do, however often the request names one.
func TestDevicesOfATaskAreListed(t *testing.T) {
	fwu := made().App("x").Task("a", "b", "b").Obj()
	sum := tally.Summary{
		Succeeded: 2, FirstReceivedAt: first.UnixMicro(), LastReceivedAt: last.UnixMicro(), Unexpected: []string{"c"},
	}
	sum.Listed.Succeeded, sum.Listed.FirstReceivedAt, sum.Listed.LastReceivedAt = 1, first.UnixMicro(), last.UnixMicro()
	next, _ := Compute(fwu, fwu.Status, Observation{
		Task: result.Task{AppID: "x", OperationID: "op"}, Summary: sum, Failures: tally.New(), Now: last,
	})
	want := v1alpha1.DeviceCounts{Expected: 2, Unexpected: 1, Succeeded: 2, Pending: 1}
	if next.Devices != want || next.Progress != "1/2" || next.CompletionTime != nil {
		t.Errorf("want %+v and 1/2, got %+v and %s", want, next.Devices, told(next))
	}
}

// The status has the operationId of the task from the beginning, and once it was created: whatever becomes of it, also
// where it was archived before there was such a field, or is being deleted.
func TestStatusHasTheOperationID(t *testing.T) {
	at := metav1.NewTime(created)
	archived := v1alpha1.FirmwareUpgradeStatus{
		ObservedGeneration: 1, AppID: "x", StartTime: &at, CompletionTime: &at, ArchiveTime: &at,
	}
	was := v1alpha1.FirmwareUpgradeStatus{
		ObservedGeneration: 1, OperationID: "op", AppID: "x", Task: &v1alpha1.TaskStatus{State: v1alpha1.TaskCreated},
	}
	ofAnother := was
	ofAnother.AppID, ofAnother.StartTime = "y", &at
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		prev v1alpha1.FirmwareUpgradeStatus
		want string
	}{
		"new":                       {made(), v1alpha1.FirmwareUpgradeStatus{}, "op"},
		"to be created":             {made().App("x").Task("d"), v1alpha1.FirmwareUpgradeStatus{}, ""},
		"created":                   {made().App("x").Task("d"), was, "op"},
		"of another application":    {made().App("x").Task("d"), ofAnother, "op"},
		"pinned to what it is":      {made().App("x"), was, "op"},
		"pinned to what it was not": {made().App("x").Operation("declared"), was, "declared"},
		"archived before":           {made().App("x"), archived, "op"},
		"archived, changed since":   {made().App("x").Generation(2), archived, "op"},
		"being deleted":             {made().Deleted(created).Finalizers("example.com/f"), v1alpha1.FirmwareUpgradeStatus{}, "op"},
	}
	for name, c := range cases {
		fwu := c.fwu.Obj()
		seen := Observation{Task: result.Task{AppID: "x", OperationID: c.want}, Failures: tally.New(), Now: created}
		next, _ := Compute(fwu, c.prev, seen)
		if fwu.DeletionTimestamp != nil {
			next = Deleting(fwu, c.prev, seen)
		}
		if next.OperationID != c.want {
			t.Errorf("%s: want %q, got %q", name, c.want, next.OperationID)
		}
		if wanted := fwu.Spec.Task != nil && c.prev.Task != nil; (next.Task != nil) != wanted {
			t.Errorf("%s: what is known of the creation is kept where nothing is created, or not kept: %+v", name, next.Task)
		}
	}
	// That is written once: there is nothing to tell then.
	fwu := made().App("x").Obj()
	next, _ := Compute(fwu, archived, Observation{Failures: tally.New(), Now: created})
	if got := Compare(archived, next); got != Progress {
		t.Errorf("it is filled in: want Progress, got %v", got)
	}
	again, _ := Compute(fwu, next, Observation{Failures: tally.New(), Now: created.Add(time.Hour)})
	if got := Compare(next, again); got != Nothing {
		t.Errorf("it is there: want Nothing, got %v", got)
	}
}

// seenOf is an observation of a task that is still to be created, or was, at a time.
func seenOf(state v1alpha1.TaskState, reason string, at time.Time) Observation {
	c := &Creation{
		TaskStatus: v1alpha1.TaskStatus{State: state, RequestHash: "hash", Attempt: 1, Message: "said"}, Reason: reason,
	}
	seen := Observation{Creation: c, Failures: tally.New(), Now: at}
	if state == v1alpha1.TaskCreated {
		c.OperationID, c.AttemptTime = "made", &metav1.Time{Time: created}
		seen.Task = result.Task{AppID: "x", OperationID: "made"}
		return seen
	}
	seen.Claim = Uncreated(v1alpha1.FirmwareUpgradeStatus{}, c)
	return seen
}

// How far the creation is decides whether it is right to wait, and whether somebody has to act.
func TestConditionsOfATask(t *testing.T) {
	const (
		waits = "Pending 0/1 Reconciling="
		acts  = "Stalled 0/1 Stalled="
	)
	cases := map[string]struct {
		state  v1alpha1.TaskState
		status metav1.ConditionStatus
		told   string
	}{
		v1alpha1.ReasonWaiting:             {v1alpha1.TaskWaiting, metav1.ConditionFalse, waits},
		v1alpha1.ReasonResolving:           {v1alpha1.TaskUncertain, metav1.ConditionUnknown, waits},
		v1alpha1.ReasonTaskRefused:         {v1alpha1.TaskRefused, metav1.ConditionFalse, acts},
		v1alpha1.ReasonTaskExists:          {v1alpha1.TaskExists, metav1.ConditionFalse, acts},
		v1alpha1.ReasonCreationExpired:     {v1alpha1.TaskExpired, metav1.ConditionFalse, acts},
		v1alpha1.ReasonCreationUncertain:   {v1alpha1.TaskUncertain, metav1.ConditionUnknown, acts},
		v1alpha1.ReasonNotPermitted:        {v1alpha1.TaskWaiting, metav1.ConditionFalse, acts},
		v1alpha1.ReasonApplicationNotFound: {v1alpha1.TaskWaiting, metav1.ConditionFalse, acts},
		v1alpha1.ReasonCreated:             {v1alpha1.TaskCreated, metav1.ConditionTrue, "Pending 0/1 Reconciling="},
		v1alpha1.ReasonAdopted:             {v1alpha1.TaskCreated, metav1.ConditionTrue, "Pending 0/1 Reconciling="},
	}
	for reason, c := range cases {
		fwu := made().App("x").Task("d").Obj()
		next, _ := Compute(fwu, fwu.Status, seenOf(c.state, reason, first))
		want := c.told + reason
		if c.state == v1alpha1.TaskCreated {
			want = c.told + v1alpha1.ReasonPending
		}
		if got := told(next); got != want {
			t.Errorf("%s: want %q, got %q", reason, want, got)
		}
		of := condition(next, v1alpha1.ConditionTaskCreated)
		if of.Status != c.status || of.Reason != reason || of.Message != "said" || of.ObservedGeneration != fwu.Generation {
			t.Errorf("%s: %+v", reason, of)
		}
	}
}

// That the task was created is announced once, and so is what somebody has to act on, until it changes.
func TestTaskIsAnnouncedOnce(t *testing.T) {
	fwu := made().App("x").Task("d").Obj()
	var reasons []string
	for _, seen := range []Observation{
		seenOf(v1alpha1.TaskWaiting, v1alpha1.ReasonWaiting, first),
		seenOf(v1alpha1.TaskRefused, v1alpha1.ReasonTaskRefused, first),
		seenOf(v1alpha1.TaskRefused, v1alpha1.ReasonTaskRefused, last),
		seenOf(v1alpha1.TaskCreating, v1alpha1.ReasonWaiting, last),
		seenOf(v1alpha1.TaskCreated, v1alpha1.ReasonCreated, last),
		seenOf(v1alpha1.TaskCreated, v1alpha1.ReasonCreated, last.Add(time.Hour)),
	} {
		fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	}
	for _, e := range fwu.Status.OperatorState.Outbox {
		reasons = append(reasons, e.Reason)
	}
	if diff := cmp.Diff([]string{v1alpha1.ReasonTaskRefused, EventTaskCreated}, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// While a task may still be created, that is waited for; then the deadline counts from its creation, from its window,
// and once something was reported from that.
func TestDeadlineOfATask(t *testing.T) {
	const deadline = 10 * time.Hour
	before := created.Add(72 * time.Hour)
	cases := map[string]struct {
		adjust func(*v1alpha1.FirmwareUpgrade)
		want   time.Time
	}{
		"to be created": {func(*v1alpha1.FirmwareUpgrade) {}, before.Add(deadline)},
		"created": {func(f *v1alpha1.FirmwareUpgrade) {
			f.Status.OperationID = "made"
			f.Status.Task = &v1alpha1.TaskStatus{AttemptTime: &metav1.Time{Time: last}}
		}, last.Add(deadline)},
		"in a window": {func(f *v1alpha1.FirmwareUpgrade) {
			f.Status.OperationID = "made"
			f.Status.Task = &v1alpha1.TaskStatus{AttemptTime: &metav1.Time{Time: last}}
			f.Spec.Task.Window = &v1alpha1.Window{Start: metav1.NewTime(created.Add(48 * time.Hour))}
		}, created.Add(48*time.Hour + deadline)},
		"created for another object before": {func(f *v1alpha1.FirmwareUpgrade) {
			f.Status.OperationID = "made"
			f.Status.Task = &v1alpha1.TaskStatus{AttemptTime: &metav1.Time{Time: created.Add(-time.Hour)}}
		}, created.Add(deadline)},
		"reported": {func(f *v1alpha1.FirmwareUpgrade) { f.Status.StartTime = &metav1.Time{Time: first} }, first.Add(deadline)},
	}
	for name, c := range cases {
		fwu := made().App("x").Task("d").Deadline(deadline).Obj()
		fwu.Spec.Task.CreateBefore = metav1.NewTime(before)
		c.adjust(fwu)
		if got := Deadline(fwu, fwu.Status); !got.Equal(c.want) {
			t.Errorf("%s: want %s, got %s", name, c.want, got)
		}
	}
	// It ends all the same when nobody has it created.
	fwu := made().App("x").Task("d").Deadline(deadline).Obj()
	fwu.Spec.Task.CreateBefore = metav1.NewTime(before)
	next, again := Compute(fwu, fwu.Status, seenOf(v1alpha1.TaskWaiting, v1alpha1.ReasonWaiting, first))
	if !again.Equal(before.Add(deadline)) {
		t.Errorf("it is looked at again at %s", again)
	}
	next, _ = Compute(fwu, next, seenOf(v1alpha1.TaskWaiting, v1alpha1.ReasonWaiting, again))
	if got, want := told(next), "Failed 0/1 Stalled=Waiting Finished=DeadlineExceeded"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

// A task that is replaced by the operationId that it got goes on as it was: with its counts, its end and its Events.
func TestPinning(t *testing.T) {
	fwu := made().App("x").Task("d").Obj()
	seen := seenOf(v1alpha1.TaskCreated, v1alpha1.ReasonCreated, last)
	seen.Summary = summary(1, 0, 0)
	seen.Summary.Listed.Succeeded, seen.Summary.Listed.FirstReceivedAt = 1, first.UnixMicro()
	seen.Summary.Listed.LastReceivedAt = last.UnixMicro()
	fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	if got, want := told(fwu.Status), "Succeeded 1/1 Ready=Succeeded Finished=Succeeded"; got != want {
		t.Fatalf("want %q, got %q", want, got)
	}
	pinned := made().App("x").Operation("made").Devices("d").Generation(2).Status(fwu.Status).Obj()
	seen.Creation = nil
	next, _ := Compute(pinned, pinned.Status, seen)
	if got, want := told(next), told(fwu.Status); got != want || next.OperationID != "made" || next.Task != nil ||
		condition(next, v1alpha1.ConditionTaskCreated).Type != "" {
		t.Errorf("want %q, got %q, %+v", want, got, next.Task)
	}
	if diff := cmp.Diff(fwu.Status.OperatorState.Outbox, next.OperatorState.Outbox); diff != "" {
		t.Errorf("something is announced anew (-was +is):\n%s", diff)
	}
}

// Before its task is created a wave tells how many devices it is for, where the request says it.
func TestProgressBeforeTheTask(t *testing.T) {
	fwu := made().App("x").Task("d").Obj()
	next, _ := Compute(fwu, fwu.Status, seenOf(v1alpha1.TaskWaiting, v1alpha1.ReasonWaiting, first))
	if d := next.Devices; next.Progress != "0/1" || d.Expected != 1 || d.Pending != 1 || next.AppID != "x" {
		t.Errorf("%q, %+v", next.Progress, d)
	}
	fwu.Spec.Task.Devices, fwu.Spec.Task.DeviceGroups = nil, &v1alpha1.DeviceGroups{Names: []string{"north"}}
	next, _ = Compute(fwu, fwu.Status, seenOf(v1alpha1.TaskWaiting, v1alpha1.ReasonWaiting, first))
	if next.Progress != "0/?" {
		t.Errorf("%q", next.Progress)
	}
}

// A task that the operator had created may be unknown to the platform for a while after that, however old its wish is.
func TestCreatedTaskMayBeUnknownForAWhile(t *testing.T) {
	fwu := made().App("x").Task("d").Obj()
	seen := seenOf(v1alpha1.TaskCreated, v1alpha1.ReasonCreated, last)
	seen.Creation.OperationID, seen.Creation.AttemptTime = "made", &metav1.Time{Time: last}
	fwu.Status, _ = Compute(fwu, fwu.Status, seen)
	seen.Platform, seen.Failures = &Platform{Unknown: true}, tally.New()
	for at, want := range map[time.Time]string{
		last.Add(unknownPatience - time.Second): "Pending 0/1 Reconciling=Pending",
		last.Add(unknownPatience):               "Stalled 0/1 Stalled=TaskUnknown",
	} {
		seen.Now = at
		if next, _ := Compute(fwu, fwu.Status, seen); told(next) != want {
			t.Errorf("at %s: want %q, got %q", at, want, told(next))
		}
	}
}
