// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

// cutOnce has the answer to the next creation cut: whether there is a task is unclear.
func cutOnce() northbound.Faults {
	return northbound.Faults{AnswerCut: northbound.Fault{Next: 1, Calls: []northbound.Call{northbound.CallCreate}}}
}

// lostOnce has the next creation fail before anything is created.
func lostOnce() northbound.Faults {
	return northbound.Faults{ErrorBefore: northbound.Fault{Next: 1, Calls: []northbound.Call{northbound.CallCreate}}}
}

func (w *world) console(spec northbound.TaskSpec) string {
	w.t.Helper()
	id, err := w.CreateTask(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// fail changes the faults.
func (w *world) fail(f northbound.Faults) {
	w.t.Helper()
	if err := w.SetFaults(f); err != nil {
		w.t.Fatal(err)
	}
}

// intent returns the only attempt that is undecided.
func (w *world) intent() *Record {
	w.t.Helper()
	of := bookOf(w.all()).undecided()
	if len(of) != 1 {
		w.t.Fatalf("undecided are %+v", of)
	}
	r, err := w.ledger.Get(w.t.Context(), storage.IntentName(of[0].requestHash, of[0].number))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// decide says what people said about the attempt that is undecided.
func (w *world) decide(d Decision) {
	w.t.Helper()
	if after, err := w.creator.Resolve(w.t.Context(), w.app(), w.intent(), d); err != nil || after != 0 {
		w.t.Errorf("after %s, error %v", after, err)
	}
}

// An attempt that nothing came of is not tried again before the grace is over and the list was read to its end thrice;
// a list that never showed a task decides nothing.
func TestAbsence(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: lostOnce()})
	q := w.upgrade()
	began := w.clock.Now()
	w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreated)
	if passed := w.clock.Since(began); passed < time.Hour || passed > 70*time.Minute {
		t.Errorf("it was created after %s", passed)
	}
	if got := len(w.Report().Creations); got != 2 {
		t.Errorf("it was asked for %d times", got)
	}

	w = newWorld(t, northbound.Options{Faults: lostOnce()})
	w.proved = false
	q = w.upgrade()
	v := w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreationUncertain)
	if !strings.Contains(v.Message, "run") || !strings.Contains(v.Message, "operationId") {
		t.Errorf("nobody is told what to do: %s", v.Message)
	}
	w.clock.Step(48 * time.Hour)
	w.turn(q)
	if got := len(w.Report().Creations); got != 1 {
		t.Errorf("it was asked for %d times", got)
	}
}

// Another process that knows only the records waits as long, and looks as often.
func TestAbsenceIsNoMatterOfOneProcess(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: lostOnce()})
	q := w.upgrade()
	w.turn(q)
	w.clock.Step(2 * time.Hour)
	w.restart()
	looks := 0
	for v := (Verdict{}); v.Reason != v1alpha1.ReasonCreated; w.clock.Step(2 * time.Minute) {
		before := w.Report().Calls.ByKind[northbound.CallTasks]
		v, _ = w.turn(q)
		looks += w.Report().Calls.ByKind[northbound.CallTasks] - before
		if len(w.Report().Creations) == 1 && looks > 20 {
			t.Fatalf("after %d looks: %+v", looks, v)
		}
	}
	if looks < enoughLooks {
		t.Errorf("it was decided by %d looks", looks)
	}
	w.expectTasks(1)
}

// Three attempts in a row that nothing came of are a matter for people.
func TestThriceAbsent(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{
		ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallCreate}},
	}})
	w.until(w.upgrade(), 6*time.Hour, time.Minute, v1alpha1.ReasonCreationUncertain)
	if got := len(w.Report().Creations); got != maxAbsent {
		t.Errorf("it was asked for %d times", got)
	}
}

// Two tasks that may be it: people say which, and that is that.
func TestTwoMatch(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: cutOnce()})
	q := w.upgrade()
	w.turn(q)
	id := w.console(northbound.TaskSpec{Devices: []string{"device-1", "device-2"}, FileID: "a-package"})
	w.clock.Step(2 * time.Minute)
	v := w.until(q, time.Hour, time.Minute, v1alpha1.ReasonCreationUncertain)
	if !strings.Contains(v.Message, id) {
		t.Errorf("the tasks are not named: %s", v.Message)
	}
	w.decide(Decision{OperationID: id})
	if v, _ := w.turn(q); v.OperationID != id || v.Reason != v1alpha1.ReasonCreated {
		t.Errorf("%+v", v)
	}
}

// Another run after "there is none": whoever was wrong gets the task that there is, and no second one.
func TestAnotherRun(t *testing.T) {
	for name, faults := range map[string]northbound.Faults{"there is one": cutOnce(), "there is none": lostOnce()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{Faults: faults})
			w.turn(w.upgrade())
			second := w.upgrade(func(r *v1alpha1.TaskRequest) { r.Run = 2 })
			if v, _ := w.turn(second); v.Reason != v1alpha1.ReasonWaiting {
				t.Errorf("while the first is undecided: %+v", v)
			}
			if after, err := w.creator.Resolve(t.Context(), w.app(), w.intent(), Decision{NotCreated: true}); err != nil ||
				after != firstMark {
				t.Errorf("while it may be asked: again in %s, error %v", after, err)
			}
			w.clock.Step(firstMark)
			w.decide(Decision{NotCreated: true})
			v := w.until(second, time.Hour, time.Minute, map[string]string{
				"there is one": v1alpha1.ReasonAdopted, "there is none": v1alpha1.ReasonCreated,
			}[name])
			if v.OperationID == "" {
				t.Errorf("%+v", v)
			}
			w.expectTasks(1)
		})
	}
}

// A run that is asked for after another was created is another task.
func TestSecondRun(t *testing.T) {
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{UpgradeTime: time.Minute}})
	first := w.until(w.upgrade(), time.Hour, time.Minute, v1alpha1.ReasonCreated)
	w.clock.Step(time.Hour)
	w.AllowAgain(1)
	another := w.upgrade(func(r *v1alpha1.TaskRequest) { r.Run = 2 })
	second := w.until(another, time.Hour, time.Minute, v1alpha1.ReasonCreated)
	if first.OperationID == second.OperationID {
		t.Errorf("both are %s", first.OperationID)
	}
	w.expectTasks(2)
}

// What the platform has already is taken while it runs, or where it is younger than the wish; an older one that has
// ended is not run again unless another run is asked for.
func TestTaskThatIsThere(t *testing.T) {
	devices := northbound.TaskSpec{Devices: []string{"device-1", "device-2"}, FileID: "a-package"}
	quick := northbound.Options{Devices: northbound.DeviceOptions{UpgradeTime: time.Minute}}
	t.Run("it runs", func(t *testing.T) {
		w := newWorld(t, northbound.Options{})
		id := w.console(devices)
		if v, _ := w.turn(w.upgrade()); v.Reason != v1alpha1.ReasonAdopted || v.OperationID != id {
			t.Errorf("%+v", v)
		}
		w.expectTasks(0)
	})
	t.Run("it ended, and is younger", func(t *testing.T) {
		w := newWorld(t, quick)
		q := w.upgrade()
		w.clock.Step(time.Minute)
		id := w.console(devices)
		w.clock.Step(time.Hour)
		if v, _ := w.turn(q); v.Reason != v1alpha1.ReasonAdopted || v.OperationID != id {
			t.Errorf("%+v", v)
		}
		w.expectTasks(0)
	})
	t.Run("it ended, and is older", func(t *testing.T) {
		w := newWorld(t, quick)
		id := w.console(devices)
		w.clock.Step(time.Hour)
		v, _ := w.turn(w.upgrade())
		if v.State != v1alpha1.TaskExists || !strings.Contains(v.Message, id) || !strings.Contains(v.Message, "run to 2") {
			t.Errorf("%+v", v)
		}
		w.expectTasks(0)
		w.AllowAgain(1)
		w.until(w.upgrade(func(r *v1alpha1.TaskRequest) { r.Run = 2 }), time.Hour, time.Minute, v1alpha1.ReasonCreated)
		// A new cluster to which the second run is applied, with nothing recorded: there were two.
		w.clock.Step(time.Hour)
		w.ledger.records = map[string]Record{}
		w.restart()
		if v, _ := w.turn(w.upgrade(func(r *v1alpha1.TaskRequest) { r.Run = 2 })); v.State != v1alpha1.TaskExists {
			t.Errorf("%+v", v)
		}
		w.expectTasks(1)
	})
	t.Run("it differs in the version alone", func(t *testing.T) {
		w := newWorld(t, quick)
		q := w.upgrade()
		q.FileVersion = "not the package's"
		w.clock.Step(time.Minute)
		id := w.console(devices)
		for range 2 { // it runs, then it ended and is younger
			v, _ := w.turn(q)
			if v.State != v1alpha1.TaskExists || !strings.Contains(v.Message, id+" (of version ") {
				t.Errorf("%+v", v)
			}
			w.clock.Step(time.Hour)
		}
		w.expectTasks(0)
		w.AllowAgain(1)
		again := w.upgrade(func(r *v1alpha1.TaskRequest) { r.Run = 2 })
		again.FileVersion, again.Since = q.FileVersion, q.Since
		w.until(again, time.Hour, time.Minute, v1alpha1.ReasonCreated)
		w.expectTasks(1)
	})
	t.Run("one of another version ended, and is older", func(t *testing.T) {
		w := newWorld(t, quick)
		w.console(devices)
		w.clock.Step(time.Hour)
		w.AllowAgain(1)
		next := w.upgrade()
		next.FileVersion = "the next"
		w.until(next, time.Hour, time.Minute, v1alpha1.ReasonCreated)
		w.expectTasks(1)
	})
	t.Run("it ended, is older, and is deleted there", func(t *testing.T) {
		w := newWorld(t, quick)
		id := w.console(devices)
		w.clock.Step(time.Hour)
		q := w.upgrade()
		w.turn(q)
		if err := w.DeleteTask(id); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			w.restart()
			w.clock.Step(2 * time.Hour)
			if v, _ := w.turn(q); v.State != v1alpha1.TaskExists || !strings.Contains(v.Message, id) {
				t.Errorf("%+v", v)
			}
		}
		w.expectTasks(0)
	})
	t.Run("it is a later run, and the earlier one made none", func(t *testing.T) {
		w := newWorld(t, quick)
		if err := w.SetFaults(lostOnce()); err != nil {
			t.Fatal(err)
		}
		w.turn(w.upgrade())
		w.clock.Step(firstMark)
		w.decide(Decision{NotCreated: true})
		second := func(r *v1alpha1.TaskRequest) { r.Run = 2 }
		v := w.until(w.upgrade(second), time.Hour, time.Minute, v1alpha1.ReasonCreated)
		w.clock.Step(time.Hour)
		// Git, or a backup, brings the first run back.
		if back, _ := w.turn(w.upgrade()); back.State != v1alpha1.TaskExists ||
			!strings.Contains(back.Message, v.OperationID) || !strings.Contains(back.Message, "run to 3") {
			t.Errorf("%+v", back)
		}
		w.expectTasks(1)
		// Another cluster gets the second run from Git, and knows of no first one.
		w.ledger.records = map[string]Record{}
		w.restart()
		if v, _ := w.turn(w.upgrade(second)); v.State != v1alpha1.TaskExists || !strings.Contains(v.Message, "run to 3") {
			t.Errorf("%+v", v)
		}
		w.expectTasks(1)
		w.AllowAgain(1)
		w.until(w.upgrade(func(r *v1alpha1.TaskRequest) { r.Run = 3 }), time.Hour, time.Minute, v1alpha1.ReasonCreated)
	})
	t.Run("others are like it", func(t *testing.T) {
		w := newWorld(t, northbound.Options{})
		w.console(northbound.TaskSpec{Devices: []string{"device-1"}, FileID: "a-package"})
		w.console(northbound.TaskSpec{Devices: []string{"device-1", "device-2"}, FileID: "a-package", Retries: 1})
		w.console(northbound.TaskSpec{
			Devices: []string{"device-1", "device-2"}, FileID: "a-package", StartsIn: northbound.Duration(time.Hour),
		})
		w.until(w.upgrade(), time.Hour, time.Minute, v1alpha1.ReasonCreated)
		if got := w.Report().Tasks.Created; got != 1 {
			t.Errorf("%d tasks were created", got)
		}
	})
}

// A task since then that is not quite what was asked for may be it all the same, as where targetVersion is not what the
// platform calls the package's version: then there is no second attempt, and people are told which task it may be.
func TestSimilarTask(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: cutOnce()})
	q := w.upgrade()
	q.FileVersion = "not the package's"
	v := w.until(q, 3*time.Hour, time.Minute, v1alpha1.ReasonCreationUncertain)
	if id := w.Report().Creations[0].OperationID; !strings.Contains(v.Message, id) {
		t.Errorf("the task %s is not named: %s", id, v.Message)
	}
	w.clock.Step(24 * time.Hour)
	w.turn(q)
	w.expectTasks(1)

	w = newWorld(t, northbound.Options{Faults: lostOnce()})
	w.console(northbound.TaskSpec{Devices: []string{"device-1"}, FileID: "a-package"})
	w.clock.Step(time.Hour) // older tasks, and those for other devices, can't be it
	w.console(northbound.TaskSpec{Devices: []string{"device-3"}, FileID: "a-package"})
	w.until(w.upgrade(), 3*time.Hour, time.Minute, v1alpha1.ReasonCreated)
}

// While the list can't be read nothing is decided, and nothing is said to come that has passed. Once it can, it does
// not take an hour until it is.
func TestListCannotBeRead(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: lostOnce()})
	q := w.upgrade()
	w.turn(q)
	w.fail(northbound.Faults{
		ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallTasks}},
	})
	for range 3 * 12 {
		w.clock.Step(5 * time.Minute)
		w.turn(q)
	}
	v, _ := w.turn(q)
	if v.Reason != v1alpha1.ReasonResolving || !strings.Contains(v.Message, "could not be asked") {
		t.Errorf("%+v", v)
	}
	w.fail(northbound.Faults{})
	for waited := time.Duration(0); ; {
		after, err := w.creator.Resolve(t.Context(), w.app(), w.intent(), Decision{})
		if after == 0 && err == nil {
			break
		}
		if waited += after; after == 0 || waited > 30*time.Minute {
			t.Fatalf("after %s: again in %s, error %v", waited, after, err)
		}
		w.clock.Step(after)
	}
	w.until(q, time.Hour, time.Minute, v1alpha1.ReasonCreated)
	w.expectTasks(1)
}

// A platform that had a list and says that it has none, as a gateway before it may, is not asked to create what may be
// there. One of which nobody knows that it has a list is.
func TestListIsGone(t *testing.T) {
	for _, proved := range []bool{true, false} {
		w := newWorld(t, northbound.Options{})
		w.proved = proved
		id := w.console(northbound.TaskSpec{Devices: []string{"device-1", "device-2"}, FileID: "a-package"})
		w.fail(northbound.Faults{TasksUnlisted: true})
		if !proved {
			w.AllowAgain(1)
		}
		q := w.upgrade()
		v, _ := w.turn(q)
		if want := map[bool]int{true: 0, false: 1}[proved]; len(w.Report().Creations) != want {
			t.Errorf("proved %t: asked for %d, %+v", proved, len(w.Report().Creations), v)
		}
		if !proved {
			continue
		}
		w.fail(northbound.Faults{})
		if v := w.until(q, time.Hour, time.Minute, v1alpha1.ReasonAdopted); v.OperationID != id {
			t.Errorf("%+v", v)
		}
	}
}

// What was lost of the records is found again: on the platform, or in the status.
func TestRestore(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	q := w.upgrade()
	v := w.until(q, time.Hour, time.Minute, v1alpha1.ReasonCreated)
	for name, lose := range map[string]func(){
		"an older snapshot": func() { w.ledger.records = map[string]Record{} },
		"the outcome is missing": func() {
			for name, r := range w.ledger.records {
				if r.Outcome != nil {
					delete(w.ledger.records, name)
				}
			}
			w.clock.Step(2 * time.Minute)
		},
		"the records are missing, the status is there": func() {
			w.ledger.records = map[string]Record{}
			q.OperationID = v.OperationID
		},
	} {
		lose()
		w.restart()
		got, _ := w.turn(q)
		if got.OperationID != v.OperationID {
			t.Errorf("%s: %+v", name, got)
		}
		w.expectTasks(1)
	}
}

// What only the status names is recorded when the platform says that there is such a task, and not while it can't be
// asked. It is followed meanwhile, and nothing is created in any case.
func TestRestoreAsksThePlatform(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	q := w.upgrade()
	q.OperationID = w.console(northbound.TaskSpec{Devices: []string{"device-1", "device-2"}, FileID: "a-package"})
	for name, app := range map[string]*Application{"not connected": nil, "no answer": w.app()} {
		w.fail(northbound.Faults{
			ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallTask}},
		})
		v, err := w.creator.Restore(t.Context(), app, q)
		if err != nil || v.OperationID != q.OperationID || v.After == 0 || len(w.all()) > 0 {
			t.Errorf("%s: %+v, error %v, %d records", name, v, err, len(w.all()))
		}
	}
	w.fail(northbound.Faults{})
	w.clock.Step(time.Hour)
	if v, _ := w.turn(q); v.OperationID != q.OperationID || v.After != 0 || len(w.all()) != 1 {
		t.Errorf("%+v, %d records", v, len(w.all()))
	}

	w = newWorld(t, northbound.Options{})
	q = w.upgrade()
	q.OperationID = "nobody knows it"
	v, _ := w.turn(q)
	if v.Reason != v1alpha1.ReasonCreationUncertain || !strings.Contains(v.Message, q.OperationID) || len(w.all()) > 0 {
		t.Errorf("%+v, %d records", v, len(w.all()))
	}
	w.expectTasks(0)
}

// Where the platform has no list, its own pushes tell; without any, people do.
func TestWitness(t *testing.T) {
	faults := cutOnce()
	faults.TasksUnlisted = true
	w := newWorld(t, northbound.Options{Faults: faults})
	w.proved = false
	other := w.console(northbound.TaskSpec{Devices: []string{"another"}, FileID: "a-package"})
	q := w.upgrade()
	w.turn(q)
	created := w.Report().Creations[0].OperationID
	w.clock.Step(2 * time.Minute)
	w.turn(q)
	w.intent()
	w.witnesses = []string{other, "unknown", created}
	v := w.until(q, 10*time.Minute, time.Minute, v1alpha1.ReasonCreated)
	if v.OperationID != created {
		t.Errorf("%+v", v)
	}
	got, err := w.ledger.Get(t.Context(), storage.OutcomeName(v.RequestHash, 1))
	if err != nil || got.Outcome.How != storage.TaskWitnessed {
		t.Errorf("%+v, error %v", got, err)
	}
	w.expectTasks(1)
}

// Where many tasks are undeclared, each is looked at in its turn.
func TestManyWitnesses(t *testing.T) {
	faults := cutOnce()
	faults.TasksUnlisted = true
	w := newWorld(t, northbound.Options{Faults: faults})
	w.proved = false
	q := w.upgrade()
	w.turn(q)
	for n := range 2*maxWitnesses + 1 {
		w.witnesses = append(w.witnesses, fmt.Sprint("unknown-", n))
	}
	w.witnesses = append(w.witnesses, w.Report().Creations[0].OperationID)
	for range 3 {
		w.clock.Step(2 * time.Minute)
		w.turn(q)
	}
	if v, _ := w.turn(q); v.Reason != v1alpha1.ReasonCreated {
		t.Errorf("%+v", v)
	}
	if got := turnOf(nil, 3); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
	w.expectTasks(1)
}

// Whether the list can be relied on is seen once, by a task that was certainly created.
func TestShown(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{
		ListLags: northbound.Fault{Share: 1, Delay: northbound.Duration(3 * time.Minute)},
	}})
	w.proved = false
	q := w.upgrade()
	v := w.until(q, time.Hour, time.Minute, v1alpha1.ReasonCreated)
	intent, _ := w.ledger.Get(t.Context(), storage.IntentName(v.RequestHash, 1))
	outcome, _ := w.ledger.Get(t.Context(), storage.OutcomeName(v.RequestHash, 1))
	for range 100 {
		lag, shown, after, err := w.creator.Shown(t.Context(), w.app(), intent, outcome)
		if err != nil || !shown && after <= 0 {
			t.Fatalf("after %s, error %v", after, err)
		}
		if shown {
			if lag < 3*time.Minute || lag > 7*time.Minute {
				t.Errorf("seen after %s", lag)
			}
			return
		}
		w.clock.Step(after)
	}
	t.Error("it was never seen")
}
