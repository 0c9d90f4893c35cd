// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/wrappers"
)

// fleet is the namespace of the recorded objects, which messages name.
const fleet = "fleet"

// recorder takes objects as the API server has them, under the names of their states.
type recorder struct {
	t       *testing.T
	objects map[string]*unstructured.Unstructured
}

// record has the operator bring a FirmwareUpgrade into each of the states, and returns them as they were then.
//
//  1. The operator runs, and most are brought about by what is stored.
//  2. Nobody runs: what the operator has not seen.
//  3. The operator runs with a clock that is two minutes ahead: what takes time.
func record(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	r := recorder{t, map[string]*unstructured.Unstructured{}}
	r.prepare()
	apps := r.applications()
	stop := operator{undeclared: controllers.UndeclaredHold, applications: apps}.run(t)
	r.recordCounted()
	r.recordUncounted()
	r.recordTasks()
	r.recordArchived()
	r.recordReleased()
	r.recordPurgeBlocked()
	newer := r.recordPurge()
	stop()
	r.recordUnseen()
	operator{undeclared: controllers.UndeclaredHold, applications: apps, ahead: 2 * time.Minute}.run(t)
	r.recordLate()
	must(t, k8s.Delete(t.Context(), newer))
	awaitGone(t, fleet, "purged")
	return r.objects
}

// prepare makes the namespace, and has nothing of it left when the test ends. It removes the placeholders of other
// tests, of which objects that await a result would tell.
func (r recorder) prepare() {
	r.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fleet}}
	if err := k8s.Create(r.t.Context(), namespace); !apierrors.IsAlreadyExists(err) {
		must(r.t, err)
	}
	must(r.t, k8s.DeleteAllOf(r.t.Context(), &v1alpha1.FirmwareUpgrade{}, client.InNamespace("default")))
	r.t.Cleanup(func() { // the operators have stopped, and the test's context has ended
		must(r.t, k8s.DeleteAllOf(context.Background(), &v1alpha1.FirmwareUpgrade{}, client.InNamespace(fleet)))
	})
}

// applications maps two applications to the namespace, and one to another.
func (r recorder) applications() *applications.Map {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "applications.yaml")
	must(r.t, os.WriteFile(file, []byte("applications:\n"+
		"- {appId: app, namespaces: [fleet]}\n"+
		"- {appId: another, namespaces: [fleet]}\n"+
		"- {appId: elsewhere, namespaces: [elsewhere]}\n"), 0o600))
	apps, err := applications.Load(file)
	must(r.t, err)
	return apps
}

// upgrade begins a FirmwareUpgrade of the application "app" with the target 1.6, whose operationId is its name.
func upgrade(name string) *wrappers.FirmwareUpgrade {
	return wrappers.MakeFirmwareUpgrade(name, fleet).Operation(name).App("app").Target("1.6").Settle(0)
}

// create creates an object, and stores what its devices report.
func (r recorder) create(w *wrappers.FirmwareUpgrade, results ...result.Result) {
	r.t.Helper()
	must(r.t, k8s.Create(r.t.Context(), w.Obj()))
	if len(results) > 0 {
		storeResults(r.t, results...)
	}
}

// take waits for a state and records the object with this name as it is then.
func (r recorder) take(stateName, objectName string, condition func(*v1alpha1.FirmwareUpgrade) string) {
	r.t.Helper()
	fwu := await(r.t, fleet, objectName, condition)
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FirmwareUpgrade"))
	must(r.t, k8s.Get(r.t.Context(), client.ObjectKeyFromObject(fwu), u))
	if u.GetResourceVersion() != fwu.ResourceVersion { // it has changed since: the next one is looked at, too
		r.take(stateName, objectName, condition)
		return
	}
	r.objects[stateName] = u
}

// recordCounted records what follows from the results alone.
func (r recorder) recordCounted() {
	r.t.Helper()
	r.create(upgrade("pending").Expected(3))
	r.create(upgrade("running").Expected(3), devices("running", 1, 0)...)
	r.create(upgrade("policy-broken").Expected(10).MaxFailed("20%", 5), devices("policy-broken", 3, 4)...)
	r.create(upgrade("succeeded").Expected(3), devices("succeeded", 3, 0)...)
	r.create(upgrade("within-policy").Expected(20).MaxFailed("5%", 10), devices("within-policy", 19, 1)...)
	r.create(upgrade("without-policy").Expected(3), devices("without-policy", 2, 1)...)
	r.create(upgrade("policy-broken-finished").Expected(10).MaxFailed("2", 0), devices("policy-broken-finished", 7, 3)...)
	r.create(upgrade("failed").Expected(2), devices("failed", 0, 2)...)
	r.create(upgrade("wrong-version").Target("1.7").Expected(2), devices("wrong-version", 2, 0)...)
	r.create(upgrade("unexpected").Expected(2), devices("unexpected", 3, 0)...)
	r.create(upgrade("deadline").Expected(3),
		reported("app", "deadline", 1, storage.StateSucceeded, "", 72*time.Hour))
	for _, s := range states {
		switch s.name {
		case "pending", "running", "policy-broken", "succeeded", "within-policy", "without-policy",
			"policy-broken-finished", "failed", "wrong-version", "unexpected", "deadline":
			r.take(s.name, s.name, func(fwu *v1alpha1.FirmwareUpgrade) string {
				if problem := hasReason(s.reason)(fwu); problem != "" {
					return problem
				}
				return isQuiet(fwu)
			})
		}
	}
}

// recordUncounted records what can't be counted.
func (r recorder) recordUncounted() {
	r.t.Helper()
	r.create(upgrade("awaiting").Operation("running").Expected(3))
	r.take("awaiting", "awaiting", hasReason(v1alpha1.ReasonAwaitingTask))

	r.create(upgrade("ambiguous").App("").Expected(2),
		reported("app", "ambiguous", 1, storage.StateSucceeded, "", 0),
		reported("another", "ambiguous", 2, storage.StateSucceeded, "", 0))
	r.take("ambiguous", "ambiguous", hasReason(v1alpha1.ReasonAmbiguousOperation))

	r.create(upgrade("not-permitted").App("elsewhere").Expected(2))
	r.take("not-permitted", "not-permitted", hasReason(v1alpha1.ReasonNotPermitted))

	r.create(upgrade("incomplete").Expected(3))
	lost := storeResults(r.t, devices("incomplete", 2, 0)...)
	await(r.t, fleet, "incomplete", func(fwu *v1alpha1.FirmwareUpgrade) string {
		return wantSucceeded(fwu, 2)
	})
	must(r.t, k8s.Delete(r.t.Context(), lost))
	r.take("incomplete", "incomplete", hasReason(v1alpha1.ReasonResultsIncomplete))
}

// recordTasks records those whose task is not created, by what is recorded of it.
func (r recorder) recordTasks() {
	r.t.Helper()
	r.t.Cleanup(func() {
		must(r.t, k8s.DeleteAllOf(context.Background(), &storage.FirmwareUpgradeTaskRecord{},
			client.InNamespace(operatorNamespace)))
	})
	asks := func(name string) *wrappers.FirmwareUpgrade { return upgrade(name).Task(name + "-1") }
	absent := storage.TaskOutcome{Result: storage.TaskResultAbsent, How: storage.TaskFound}
	refused := storage.TaskOutcome{
		Result: storage.TaskResultRefused, How: storage.TaskAnswered, Code: "123016",
		Message: "the platform refuses the call: The parameter is error, targetversion not match with device.",
	}
	created := storage.TaskOutcome{
		Result: storage.TaskResultCreated, How: storage.TaskAnswered, OperationID: "task-created",
	}
	adopted := storage.TaskOutcome{Result: storage.TaskResultCreated, How: storage.TaskFound, OperationID: "task-adopted"}
	r.recordOutcomes(asks("task-created"), created)
	r.recordOutcomes(asks("task-adopted"), adopted)
	r.recordOutcomes(asks("task-resolving"))
	r.recordOutcomes(asks("task-uncertain"), absent, absent, absent)
	r.recordOutcomes(asks("task-refused"), refused)
	expired := asks("task-expired")
	expired.Spec.Task.CreateBefore = metav1.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, w := range []*wrappers.FirmwareUpgrade{
		asks("task-created"), asks("task-adopted"), asks("task-resolving"), asks("task-uncertain"), asks("task-refused"),
		expired, asks("task-without-application"),
	} {
		r.create(w)
	}
	for _, s := range states {
		if strings.HasPrefix(s.name, "task-") {
			r.take(s.name, s.name, func(fwu *v1alpha1.FirmwareUpgrade) string {
				if problem := hasReason(s.reason)(fwu); problem != "" {
					return problem
				}
				return isQuiet(fwu)
			})
		}
	}
}

// recordOutcomes stores the records of attempts: what came of each, or of one that nobody knows what came of. What was
// found without being asked for has no intent.
func (r recorder) recordOutcomes(w *wrappers.FirmwareUpgrade, outcomes ...storage.TaskOutcome) {
	r.t.Helper()
	hash := creation.Hash(w.Spec.AppID, w.Spec.Task)
	store := func(name string, of storage.FirmwareUpgradeTaskRecordSpec) {
		of.RequestHash, of.AppID = hash, w.Spec.AppID
		must(r.t, k8s.Create(r.t.Context(), &storage.FirmwareUpgradeTaskRecord{
			ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}, Spec: of,
		}))
	}
	for n := range max(1, len(outcomes)) {
		attempt := int32(n + 1)
		intent := &storage.TaskIntent{
			Time: metav1.NowMicro(), Deadline: w.Spec.Task.CreateBefore, Nonce: "nonce", Holder: "test",
			For:       storage.ObjectReference{Namespace: fleet, Name: w.Name, UID: "uid"},
			PackageID: w.Spec.Task.PackageID, TargetsHash: strings.Repeat("0", 32), ProbeDevices: w.Spec.Task.Devices, Run: 1,
		}
		if n >= len(outcomes) || outcomes[n].How != storage.TaskFound || outcomes[n].Result != storage.TaskResultCreated {
			store(storage.IntentName(hash, attempt), storage.FirmwareUpgradeTaskRecordSpec{Attempt: attempt, Intent: intent})
		}
		if n < len(outcomes) {
			outcomes[n].Time = metav1.NowMicro()
			store(storage.OutcomeName(hash, attempt), storage.FirmwareUpgradeTaskRecordSpec{
				Attempt: attempt, Outcome: &outcomes[n],
			})
		}
	}
}

// recordArchived records one whose results were removed by retention, and then had its spec changed.
func (r recorder) recordArchived() {
	r.t.Helper()
	r.create(upgrade("archived").Expected(1).Retain(0), devices("archived", 1, 0)...)
	r.take("archived", "archived", func(fwu *v1alpha1.FirmwareUpgrade) string {
		if fwu.Status.ArchiveTime == nil {
			return "it is not archived"
		}
		return isQuiet(fwu)
	})
	patchSpec(r.t, fleet, "archived", `{"expectedDevices": 2}`)
	r.take("archived-changed", "archived", hasReason(v1alpha1.ReasonResultsArchived))
}

// isSucceeded wants that an upgrade has ended well and that the operator has written everything there is to say.
func isSucceeded(fwu *v1alpha1.FirmwareUpgrade) string {
	if problem := hasReason(v1alpha1.ReasonSucceeded)(fwu); problem != "" {
		return problem
	}
	return isQuiet(fwu)
}

// recordReleased records one that is being deleted while a finalizer keeps it that is not the operator's.
func (r recorder) recordReleased() {
	r.t.Helper()
	r.create(upgrade("released").Expected(1).Finalizers("example.com/keep"), devices("released", 1, 0)...)
	must(r.t, k8s.Delete(r.t.Context(), await(r.t, fleet, "released", isSucceeded)))
	r.take("released", "released", hasReason(v1alpha1.ReasonReleased))
	letGo := client.RawPatch("application/merge-patch+json", []byte(`{"metadata": {"finalizers": null}}`))
	must(r.t, k8s.Patch(r.t.Context(), get(r.t, fleet, "released"), letGo))
}

// recordPurge records one that is being deleted with its results, and one that waits for that. It returns a slice that
// holds the purge up until it is deleted: this version of the operator can't read it.
func (r recorder) recordPurge() *storage.ResultSlice {
	r.t.Helper()
	r.create(upgrade("purged").Expected(1).DeletionPolicy(v1alpha1.DeletionPolicyPurge), devices("purged", 1, 0)...)
	await(r.t, fleet, "purged", func(fwu *v1alpha1.FirmwareUpgrade) string {
		if len(fwu.Finalizers) == 0 {
			return "it has no finalizer"
		}
		return isSucceeded(fwu)
	})
	newer := r.storeUnreadable("purged")
	must(r.t, k8s.Delete(r.t.Context(), get(r.t, fleet, "purged")))
	r.take("deleted", "purged", hasReason(v1alpha1.ReasonPurging))
	r.create(upgrade("purging").Operation("purged").Expected(1))
	r.take("purging", "purging", hasReason(v1alpha1.ReasonPurging))
	return newer
}

// storeUnreadable stores a slice with results of a task that this version of the operator can't read completely.
func (r recorder) storeUnreadable(operationID string) *storage.ResultSlice {
	r.t.Helper()
	newer := &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "r-newer-" + operationID},
		Tables:     result.Pack(devices(operationID, 1, 0)),
	}
	unknown := newer.Tables[0]
	unknown.Rows = "deviceId,receiveTime,mood\nd,1,good\n"
	newer.Tables = append(newer.Tables, unknown)
	must(r.t, k8s.Create(r.t.Context(), newer))
	return newer
}

// recordPurgeBlocked records one that waits for the results of another one to be removed, which is gone, and of which
// some can't be read.
func (r recorder) recordPurgeBlocked() {
	r.t.Helper()
	newer := r.storeUnreadable("purge-blocked")
	due := &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, GenerateName: "purge-"},
		Releases: []storage.Release{{
			AppID: "app", OperationID: "purge-blocked", ReleaseTime: metav1.NowMicro(), Purge: storage.PurgeDue,
		}},
	}
	must(r.t, k8s.Create(r.t.Context(), due))
	r.create(upgrade("purge-blocked").Expected(1))
	r.take("purge-blocked", "purge-blocked", hasReason(v1alpha1.ReasonPurgeBlocked))
	must(r.t, k8s.Delete(r.t.Context(), newer))
}

// recordUnseen records what the operator, which does not run, has not seen. Two more are left for recordLate.
func (r recorder) recordUnseen() {
	r.t.Helper()
	asItIs := func(*v1alpha1.FirmwareUpgrade) string { return "" }
	r.create(upgrade("never-seen").Expected(3))
	r.take("never-seen", "never-seen", asItIs)
	patchSpec(r.t, fleet, "succeeded", `{"expectedDevices": 4}`)
	r.take("spec-changed", "succeeded", asItIs)
	r.create(upgrade("deadline-pending").Expected(3).Deadline(time.Minute))
}

// recordLate records what takes a while.
func (r recorder) recordLate() {
	r.t.Helper()
	r.take("duplicate", "awaiting", hasReason(v1alpha1.ReasonDuplicateOperation))
	r.take("deadline-pending", "deadline-pending", hasReason(v1alpha1.ReasonDeadlineExceeded))
}

// wantSucceeded wants that so many devices are counted as succeeded.
func wantSucceeded(fwu *v1alpha1.FirmwareUpgrade, want int64) string {
	if got := fwu.Status.Devices.Succeeded; got != want {
		return fmt.Sprintf("want %d succeeded, got %d", want, got)
	}
	return ""
}
