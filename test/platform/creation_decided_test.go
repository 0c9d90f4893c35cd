// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// once is a fault of the next creation.
func once() northbound.Fault {
	return northbound.Fault{Next: 1, Calls: []northbound.Call{northbound.CallCreate}}
}

func (w *world) setFaults(f northbound.Faults) {
	w.t.Helper()
	if err := w.platform.SetFaults(f); err != nil {
		w.t.Fatal(err)
	}
}

// awaitPosts waits until so many creations were posted, and returns the last one.
func (w *world) awaitPosts(n int) northbound.Creation {
	w.t.Helper()
	posts, err := w.platform.AwaitCreations(w.t.Context(), n)
	if err != nil {
		w.t.Fatal(err)
	}
	return posts[n-1]
}

// outcomes are those that are recorded for an application, by the request and the attempt.
func (w *world) outcomes() map[string]storage.TaskOutcome {
	w.t.Helper()
	list := &storage.FirmwareUpgradeTaskRecordList{}
	if err := k8s.List(w.t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		w.t.Fatal(err)
	}
	all := map[string]storage.TaskOutcome{}
	for i := range list.Items {
		if of := &list.Items[i].Spec; of.AppID == w.platform.AppID() && of.Outcome != nil {
			all[storage.IntentName(of.RequestHash, of.Attempt)] = *of.Outcome
		}
	}
	return all
}

// message is that of TaskCreated.
func message(fwu *v1alpha1.FirmwareUpgrade) string {
	c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionTaskCreated)
	if c == nil {
		return ""
	}
	return c.Message
}

// What the platform refuses for good is said with its own text, and stands until it is corrected in Git.
func TestRefused(t *testing.T) {
	o := quick()
	o.Packages = []northbound.Package{{FileID: "package"}}
	w := startCreating(t, o)
	wrong := w.wave("wave", 2)
	wrong.Spec.Task.PackageID = "typo"
	fwu := w.create(wrong)
	w.await(fwu, stands(fwu, v1alpha1.ReasonTaskRefused, v1alpha1.ConditionStalled))
	if !strings.Contains(message(fwu), "targetversion not match with device") {
		t.Errorf("it does not say what the platform said: %s", message(fwu))
	}
	w.pass(time.Hour)
	w.expectPosts(1)
	w.update(fwu, func(s *v1alpha1.FirmwareUpgradeSpec) { s.Task.PackageID = "package" })
	w.await(fwu, func() string {
		if taskCreated(fwu, v1alpha1.ReasonTaskRefused) == "" {
			t.Fatal("what was refused is said of the spec that was corrected")
		}
		return stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady)()
	})
	w.expectPosts(2)
	harness.Eventually(t, func() string {
		if w.events(fwu, v1alpha1.ReasonTaskRefused) != 1 || w.events(fwu, "TaskCreated") != 1 {
			return "want an Event that it was refused and one that it was created"
		}
		return ""
	})
}

// Whatever the platform fails to answer, one task is created, and nobody is asked: where it was created, it is found;
// where it was not, it is created after the grace.
func TestUnclear(t *testing.T) {
	w := startCreating(t, quick())
	first := w.create(w.wave("answered", 1))
	w.await(first, stands(first, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil {
			return err.Error()
		}
		if w.app.Status.Search == nil {
			return "the search is not proved"
		}
		return ""
	})
	posts := 1
	for _, c := range []struct {
		name   string
		faults northbound.Faults
		posts  int
	}{
		{"cut", northbound.Faults{AnswerCut: once()}, 1},
		{"error-after", northbound.Faults{ErrorAfter: once()}, 1},
		{"error-before", northbound.Faults{ErrorBefore: once()}, 2},
		{"late", northbound.Faults{CreatedLate: northbound.Fault{
			Next: 1, Delay: northbound.Duration(50 * time.Minute),
		}}, 1},
		{"listed-late", northbound.Faults{AnswerCut: once(), ListLags: northbound.Fault{
			Next: 1, Delay: northbound.Duration(50 * time.Minute),
		}}, 1},
	} {
		w.setFaults(c.faults)
		fwu := w.create(w.wave(c.name, 2))
		w.awaitPosts(posts + 1)
		w.await(fwu, stands(fwu, v1alpha1.ReasonResolving, v1alpha1.ConditionReconciling))
		w.passUntil(fwu, 4*time.Minute, stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
		posts += c.posts
		w.expectPosts(posts)
		if fwu.Status.Task.Attempt != int32(c.posts) {
			t.Errorf("%s: %+v", c.name, fwu.Status.Task)
		}
	}
}

// Where two tasks may be the one, people are asked, and decide by a commit: it was this one; or it was none, which is
// another run, that takes the one there is where the person was wrong.
func TestDecisions(t *testing.T) {
	w := startCreating(t, quick())
	w.setFaults(northbound.Faults{AnswerCut: once()})
	fwu := w.create(w.wave("which", 2))
	made := w.awaitPosts(1)
	w.platform.AllowAgain(1)
	twin := w.createTask(northbound.TaskSpec{Devices: fwu.Spec.Task.Devices, FileID: "package"})
	w.passUntil(fwu, 2*time.Minute, stands(fwu, v1alpha1.ReasonCreationUncertain, v1alpha1.ConditionStalled))
	for _, id := range []string{made.OperationID, twin} {
		if !strings.Contains(message(fwu), id) {
			t.Errorf("it does not name %s: %s", id, message(fwu))
		}
	}
	w.update(fwu, func(s *v1alpha1.FirmwareUpgradeSpec) { s.Task, s.OperationID = nil, made.OperationID })
	w.await(fwu, func() string {
		if fwu.Status.OperationID != made.OperationID || fwu.Status.Task != nil {
			return "it does not follow what was decided"
		}
		if of := w.outcomes(); len(of) != 1 {
			return "the attempt is not concluded"
		}
		return ""
	})
	for _, of := range w.outcomes() {
		if of.How != storage.TaskDeclared || of.OperationID != made.OperationID {
			t.Errorf("%+v", of)
		}
	}

	w.setFaults(northbound.Faults{ErrorBefore: once()})
	none := w.create(w.wave("none", 2))
	w.awaitPosts(2)
	w.await(none, stands(none, v1alpha1.ReasonResolving, v1alpha1.ConditionReconciling))
	w.update(none, func(s *v1alpha1.FirmwareUpgradeSpec) { s.Task.Run = 2 })
	w.passUntil(none, time.Minute, stands(none, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	w.expectPosts(3)

	w.setFaults(northbound.Faults{AnswerCut: once()})
	mistaken := w.create(w.wave("mistaken", 2))
	there := w.awaitPosts(4)
	w.await(mistaken, stands(mistaken, v1alpha1.ReasonResolving, v1alpha1.ConditionReconciling))
	w.update(mistaken, func(s *v1alpha1.FirmwareUpgradeSpec) { s.Task.Run = 2 })
	w.passUntil(mistaken, time.Minute, stands(mistaken, v1alpha1.ReasonAdopted, v1alpha1.ConditionReady))
	if mistaken.Status.OperationID != there.OperationID {
		t.Errorf("it follows %s, not %s", mistaken.Status.OperationID, there.OperationID)
	}
	w.expectPosts(4)
}

// What a FirmwareUpgrade asked for that is gone is decided by the one that took its place and asks for another run.
func TestDecidedByAnother(t *testing.T) {
	w := startCreating(t, quick())
	w.setFaults(northbound.Faults{ErrorBefore: once()})
	gone := w.create(w.wave("gone", 2))
	w.awaitPosts(1)
	w.await(gone, stands(gone, v1alpha1.ReasonResolving, v1alpha1.ConditionReconciling))
	if err := k8s.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	wish := w.wave("again", 2)
	wish.Spec.Task = gone.Spec.Task.DeepCopy()
	wish.Spec.Task.Run = 2
	again := w.create(wish)
	w.passUntil(again, time.Minute, stands(again, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	w.expectPosts(2)
}

// A platform without a list is resolved by its pushes: no placeholder is made for what may be the task, and its results
// count.
func TestWitness(t *testing.T) {
	w := startCreating(t, quick())
	w.awaitApp(v1alpha1.ConditionSubscribed, "True", "")
	w.setFaults(northbound.Faults{AnswerCut: once(), TasksUnlisted: true})
	fwu := w.create(w.wave("witnessed", 3))
	made := w.awaitPosts(1)
	harness.Eventually(t, func() string {
		if w.platform.Report().Pushes.Delivered < 3 {
			return "the devices did not report"
		}
		return ""
	})
	time.Sleep(5 * time.Second) // a placeholder would be made after one
	if list := w.placeholders(made.OperationID); len(list) > 0 {
		t.Errorf("there is a placeholder: %+v", list)
	}
	w.passUntil(fwu, 2*time.Minute, stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	for _, of := range w.outcomes() {
		if of.How != storage.TaskWitnessed || of.OperationID != made.OperationID {
			t.Errorf("%+v", of)
		}
	}
	if fwu.Status.Progress != "3/3" {
		t.Errorf("counted are %s", fwu.Status.Progress)
	}
	if list := w.placeholders(made.OperationID); len(list) > 0 {
		t.Errorf("there is a placeholder: %+v", list)
	}
	w.expectPosts(1)
}

// placeholders are those of a task.
func (w *world) placeholders(operation string) (names []string) {
	w.t.Helper()
	all := &v1alpha1.FirmwareUpgradeList{}
	if err := k8s.List(w.t.Context(), all, client.InNamespace("default")); err != nil {
		w.t.Fatal(err)
	}
	for i := range all.Items {
		if all.Items[i].Spec.OperationID == operation {
			names = append(names, all.Items[i].Name)
		}
	}
	return names
}

// That the platform's list shows tasks of devices says nothing of those of groups, for which it is searched in another
// way: before it was seen to show one, it does not tell that there is none.
func TestGroupsAreProvedOnTheirOwn(t *testing.T) {
	o := quick()
	o.Groups = map[string]int{"north": 2, "south": 2}
	w := startCreating(t, o)
	inGroup := func(name string) *wrappers.FirmwareUpgrade {
		fwu := w.wave(name, 1)
		fwu.Spec.Task.Devices, fwu.Spec.Task.DeviceGroups = nil, &v1alpha1.DeviceGroups{
			Names: []string{name}, DeviceType: "WaterMeter", Model: "NB-600", ManufacturerName: "Acme",
		}
		return fwu
	}
	proved := func(of func() *v1alpha1.SearchStatus) {
		t.Helper()
		harness.Eventually(t, func() string {
			if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil {
				return err.Error()
			}
			if of() == nil {
				return "the search is not proved"
			}
			return ""
		})
	}
	devices := w.create(w.wave("devices", 1))
	w.await(devices, stands(devices, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	proved(func() *v1alpha1.SearchStatus { return w.app.Status.Search })
	w.setFaults(northbound.Faults{ErrorBefore: once()})
	north := w.create(inGroup("north"))
	w.awaitPosts(2)
	w.passUntil(north, 10*time.Minute, stands(north, v1alpha1.ReasonCreationUncertain, v1alpha1.ConditionStalled))
	w.expectPosts(2)
	if w.app.Status.GroupSearch != nil {
		t.Errorf("proved by %+v", w.app.Status.GroupSearch)
	}

	south := w.create(inGroup("south"))
	w.await(south, func() string { return taskCreated(south, v1alpha1.ReasonCreated) })
	proved(func() *v1alpha1.SearchStatus { return w.app.Status.GroupSearch })
	w.passUntil(north, 30*time.Minute, func() string { return taskCreated(north, v1alpha1.ReasonCreated) })
	w.expectPosts(4)
}
