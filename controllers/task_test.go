// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// recordCreated writes that the task of a FirmwareUpgrade was created, as another leader would have.
func recordCreated(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, operationID string) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			t.Fatal(err)
		}
		fwu.Status.OperationID, fwu.Status.Task = operationID, &v1alpha1.TaskStatus{
			State: v1alpha1.TaskCreated, RequestHash: creation.Hash(fwu.Spec.AppID, fwu.Spec.Task),
		}
		fwu.Status.OperatorState.Leader = "another"
		if err := k8s.Status().Update(t.Context(), fwu); err != nil {
			return err.Error()
		}
		return ""
	})
}

// recordIntent writes that a FirmwareUpgrade, which is gone, had its task asked for some time ago.
func recordIntent(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, ago time.Duration) *storage.FirmwareUpgradeTaskRecord {
	t.Helper()
	hash := creation.Hash(fwu.Spec.AppID, fwu.Spec.Task)
	record := &storage.FirmwareUpgradeTaskRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: storage.IntentName(hash, 1)},
		Spec: storage.FirmwareUpgradeTaskRecordSpec{
			RequestHash: hash, Attempt: 1, AppID: fwu.Spec.AppID,
			Intent: &storage.TaskIntent{
				Time: metav1.NewMicroTime(time.Now().Add(-ago)), Deadline: metav1.Now(), Nonce: "nonce",
				For:       storage.ObjectReference{Namespace: fwu.Namespace, Name: fwu.Name, UID: "gone"},
				PackageID: fwu.Spec.Task.PackageID, TargetsHash: hash, Run: max(1, fwu.Spec.Task.Run),
			},
		},
	}
	if err := k8s.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	return record
}

// Where looking can't tell any more what became of an attempt, whoever asks for another run decides, also where the
// FirmwareUpgrade that it was for is gone: nobody else could. While one asks for the same, that one does.
func TestAnotherRunDecidesWhateverBecameOfTheObject(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	asked := func(name, device string, run int32) *wrappers.FirmwareUpgrade {
		fwu := wrappers.MakeFirmwareUpgrade(name, ns).App("app-" + ns).Task(device)
		fwu.Spec.Task.Run = run
		return fwu
	}
	gone := recordIntent(t, asked("gone", "gone", 1).Obj(), 2*time.Hour)
	fresh := recordIntent(t, asked("fresh", "fresh", 1).Obj(), time.Minute)
	stays := recordIntent(t, asked("stays", "stays", 1).Obj(), 2*time.Hour)
	create(t, asked("stays", "stays", 1))
	startControllers(t, nil)
	outcome := func(of *storage.FirmwareUpgradeTaskRecord) *storage.TaskOutcome {
		record := &storage.FirmwareUpgradeTaskRecord{}
		name := storage.OutcomeName(of.Spec.RequestHash, 1)
		err := k8s.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, record)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return record.Spec.Outcome
	}
	create(t, asked("stays-again", "stays", 2))
	create(t, asked("fresh-again", "fresh", 2))
	create(t, asked("gone-again", "gone", 2))
	harness.Eventually(t, func() string {
		if of := outcome(gone); of == nil || of.Result != storage.TaskResultAbsent || of.How != storage.TaskDeclared {
			return fmt.Sprintf("nobody decides: %+v", of)
		}
		return ""
	})
	for _, of := range []*storage.FirmwareUpgradeTaskRecord{fresh, stays} {
		if got := outcome(of); got != nil {
			t.Errorf("%s was decided: %+v", of.Spec.Intent.For.Name, got)
		}
	}
}

// Those whose task is still to be created are no rivals, whatever they ask for, and hold nobody's placeholder back.
// Once the id is there, the FirmwareUpgrade has the task as one that named it from the beginning.
func TestTaskIsClaimedOnceItIsCreated(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	operation := "created-" + ns
	asked := func(name string) *wrappers.FirmwareUpgrade {
		return wrappers.MakeFirmwareUpgrade(name, ns).App("app").Task("d000001", "d000002", "d000001")
	}
	first, second := create(t, asked("first")), create(t, asked("second"))
	purged := create(t, asked("purged").DeletionPolicy(v1alpha1.DeletionPolicyPurge))
	startControllers(t, nil)
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{first, second, purged} {
		harness.Eventually(t, func() string {
			reason, message := readyOf(t, fwu)
			if reason != v1alpha1.ReasonApplicationNotFound || fwu.Status.OperationID != "" {
				return fwu.Name + ": want ApplicationNotFound without an operationId, got " + reason + ": " + message
			}
			return ""
		})
	}
	storeSlice(t, reported(operation, 1, storage.StateSucceeded, ""), reported(operation, 2, storage.StateSucceeded, ""))
	placeholders := func() int {
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := k8s.List(t.Context(), list, client.InNamespace("default")); err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range list.Items {
			if list.Items[i].OperationID() == operation {
				n++
			}
		}
		return n
	}
	harness.Eventually(t, func() string {
		if placeholders() != 1 {
			return "what nobody has gets no placeholder"
		}
		return ""
	})

	recordCreated(t, first, operation)
	awaitFinished(t, ns, 1)
	if reason, message := readyOf(t, first); reason != v1alpha1.ReasonSucceeded || first.Status.Progress != "2/2" ||
		first.Status.OperationID != operation || first.Status.Task == nil {
		t.Errorf("want Succeeded with 2/2 of %s, got %s: %s, %+v", operation, reason, message, first.Status)
	}
	harness.Eventually(t, func() string {
		if placeholders() != 0 {
			return "the placeholder stays"
		}
		return ""
	})
	recordCreated(t, second, operation)
	harness.Eventually(t, func() string {
		reason, message := readyOf(t, second)
		if reason != v1alpha1.ReasonAwaitingTask && reason != v1alpha1.ReasonDuplicateOperation {
			return "want another one to have the task, got " + reason + ": " + message
		}
		return ""
	})
	if err := k8s.Delete(t.Context(), purged); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, func() string { // it has counted nothing, so that nothing is to be removed first
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(purged), purged); !apierrors.IsNotFound(err) {
			return "it is still there"
		}
		return ""
	})
}

// Of attempts that the platform did not take for the moment the newest are kept, and so is all that says more.
func TestOutdatedRefusals(t *testing.T) {
	attempt := func(number int32, result storage.TaskResult, code string) creation.Record {
		return creation.Record{Attempt: number, Outcome: &storage.TaskOutcome{Result: result, Code: code}}
	}
	for name, c := range map[string]struct {
		of     creation.Record
		newest int32
		want   bool
	}{
		"an old refusal":        {attempt(1, storage.TaskResultRefused, ""), 1 + keptRefusals, true},
		"one of the newest":     {attempt(2, storage.TaskResultRefused, ""), 1 + keptRefusals, false},
		"a refusal for good":    {attempt(1, storage.TaskResultRefused, "123016"), 1 + keptRefusals, false},
		"one that created it":   {attempt(1, storage.TaskResultCreated, ""), 1 + keptRefusals, false},
		"one that created none": {attempt(1, storage.TaskResultAbsent, ""), 1 + keptRefusals, false},
	} {
		of := []creation.Record{c.of, attempt(c.newest, storage.TaskResultRefused, "")}
		if got := isOutdated(of, &of[0]); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if isOutdated([]creation.Record{attempt(99, storage.TaskResultRefused, "")}, nil) {
		t.Error("an attempt without an outcome is outdated")
	}
}
