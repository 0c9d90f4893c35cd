// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// await waits until the object satisfies the condition, which says what is wrong.
func await(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, condition func() string) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		return condition()
	})
}

func awaitReported(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want int64) {
	t.Helper()
	await(t, fwu, func() string {
		if d := fwu.Status.Devices; d.Succeeded+d.Failed+d.InProgress != want {
			return fmt.Sprintf("want %d devices, got %+v", want, d)
		}
		return ""
	})
}

func awaitStalled(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want string) {
	t.Helper()
	await(t, fwu, func() string {
		got := ""
		if c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionStalled); c != nil && c.Status == "True" {
			got = c.Reason
		}
		if got != want {
			return fmt.Sprintf("Stalled: want %q, got %q", want, got)
		}
		return ""
	})
}

func awaitGone(t *testing.T, obj client.Object) {
	t.Helper()
	harness.Eventually(t, func() string {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("%s is still there: %v", obj.GetName(), err)
	})
}

func create(t *testing.T, w *wrappers.FirmwareUpgrade) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	fwu := w.Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	return fwu
}

// slicesOf returns the stored slices with results of a task.
func slicesOf(t *testing.T, operationID string) []storage.ResultSlice {
	t.Helper()
	list := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	var found []storage.ResultSlice
	for _, s := range list.Items {
		results, err := result.Unpack(s.Tables)
		if err != nil {
			t.Fatal(err)
		}
		for i := range results {
			if results[i].OperationID == operationID {
				found = append(found, s)
				break
			}
		}
	}
	return found
}

// A running leader says that results were deleted by hand; the counts stand.
func TestRunningLeaderSeesDeletedSlices(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	fwu := create(t, wrappers.MakeFirmwareUpgrade("deleted", ns).Operation("deleted-"+ns).App("app").Expected(9))
	for d := range 3 {
		storeSlice(t, reported(fwu.Spec.OperationID, d, storage.StateSucceeded, ""))
	}
	awaitReported(t, fwu, 3)
	if err := k8s.Delete(t.Context(), &slicesOf(t, fwu.Spec.OperationID)[0]); err != nil {
		t.Fatal(err)
	}
	awaitStalled(t, fwu, v1alpha1.ReasonResultsIncomplete)
	if got := fwu.Status.Devices.Succeeded; got != 3 {
		t.Errorf("the counts moved: want 3 succeeded, got %d", got)
	}
}

// AmbiguousOperation is lifted when only one of the tasks is left.
func TestAmbiguityIsLifted(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, func(o *Options) { o.Undeclared = UndeclaredHold })
	fwu := create(t, wrappers.MakeFirmwareUpgrade("ambiguous", ns).Operation("ambiguous-"+ns).Expected(9))
	storeSlice(t, reported(fwu.Spec.OperationID, 1, storage.StateSucceeded, ""))
	awaitReported(t, fwu, 1)
	stranger := reported(fwu.Spec.OperationID, 2, storage.StateSucceeded, "")
	stranger.AppID = "another"
	storeSlice(t, stranger)
	awaitStalled(t, fwu, v1alpha1.ReasonAmbiguousOperation)
	for _, s := range slicesOf(t, fwu.Spec.OperationID) {
		if s.Tables[0].AppID == "another" {
			if err := k8s.Delete(t.Context(), &s); err != nil {
				t.Fatal(err)
			}
		}
	}
	awaitStalled(t, fwu, "")
}

// The results of an object with the deletion policy Purge are gone when the object is, whatever is declared meanwhile;
// what is declared anew counts what came later.
func TestPurgeFinishesBeforeTheObjectGoes(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	stop := startControllers(t, nil)
	operation := "purge-" + ns
	fwu := create(
		t,
		wrappers.MakeFirmwareUpgrade("purged", ns).
			Operation(operation).
			App("app").
			Expected(9).
			DeletionPolicy(v1alpha1.DeletionPolicyPurge),
	)
	var batch []result.Result
	for d := range 60 {
		batch = append(
			batch,
			reported(operation, d, storage.StateSucceeded, ""),
			reported("other-"+ns, d, storage.StateSucceeded, ""),
		)
	}
	storeSlice(t, batch...)
	awaitReported(t, fwu, 60)
	await(t, fwu, func() string {
		if len(fwu.Finalizers) == 0 {
			return "there is no finalizer"
		}
		return ""
	})
	stop()                                     // no leader runs when it is deleted
	newer := storeOfNewerVersion(t, operation) // it holds the purge up, so that what is said meanwhile can be seen
	if err := k8s.Delete(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	anew := create(t, wrappers.MakeFirmwareUpgrade("anew", ns).Operation(operation).App("app").Expected(9))
	startControllers(t, nil)
	await(t, anew, func() string {
		if c := meta.FindStatusCondition(anew.Status.Conditions, v1alpha1.ConditionReady); c == nil ||
			c.Reason != v1alpha1.ReasonPurging {
			return "it does not say that it waits for the purge"
		}
		return ""
	})
	await(t, fwu, func() string {
		if told, _ := eventsAbout(t, fwu); told[v1alpha1.ReasonPurgeBlocked] != 1 {
			return fmt.Sprintf("that the purge can't go on is not told: %v", told)
		}
		return ""
	})
	if err := k8s.Delete(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, fwu)
	if left := slicesOf(t, operation); len(left) != 0 {
		t.Errorf("%d slices are left of what was purged", len(left))
	}
	if others := slicesOf(t, "other-"+ns); len(others) == 0 {
		t.Error("the results of another task went, too")
	}
	storeSlice(t, reported(operation, 100, storage.StateSucceeded, ""))
	awaitReported(t, anew, 1)
	awaitStalled(t, anew, "")
}

// However a deletion and the finalizer meet, the results are purged: also when the API server has deleted the object
// before the leader got there, or while nobody led. What is declared anew counts what came later.
func TestDeletionThatPassesTheFinalizerIsPurged(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	stop := startControllers(t, nil)
	const objects = 8
	operation := func(n int) string { return fmt.Sprintf("passed-%d-%s", n, ns) }
	var batch []result.Result
	for n := range objects {
		batch = append(batch, reported(operation(n), 1, storage.StateSucceeded, ""))
	}
	storeSlice(t, batch...)
	for n := range objects {
		fwu := create(t, wrappers.MakeFirmwareUpgrade(fmt.Sprintf("passed-%d", n), ns).Operation(operation(n)).App("app").
			Expected(9))
		awaitReported(t, fwu, 1)
		mergePatch(t, fwu, `{"spec":{"deletionPolicy":"Purge"}}`)
		awaitFinalizer(t, fwu)
		if n == 0 {
			stop() // nobody sees what comes next
		}
		// It goes without the finalizer, as with a deletion that began before it was there, and ends after it.
		if err := k8s.Delete(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
		mergePatch(t, fwu, `{"metadata":{"finalizers":null}}`)
		awaitGone(t, fwu)
		if n == 0 {
			stop = startControllers(t, nil)
		}
		if n == objects-1 {
			anew := create(t, wrappers.MakeFirmwareUpgrade("anew", ns).Operation(operation(n)).App("app").Expected(9))
			awaitReason(t, anew, v1alpha1.ReasonPurging)
			stop()
			startControllers(t, nil)
		}
	}
	for n := range objects {
		harness.Eventually(t, func() string {
			if left := slicesOf(t, operation(n)); len(left) != 0 {
				return fmt.Sprintf("%d slices are left of %s", len(left), operation(n))
			}
			return ""
		})
	}
	harness.Eventually(t, func() string {
		if left := recordedPurges(t, ns); len(left) > 0 {
			return fmt.Sprintf("still to be purged: %v", left)
		}
		return ""
	})
	storeSlice(t, reported(operation(objects-1), 2, storage.StateSucceeded, ""))
	anew := &v1alpha1.FirmwareUpgrade{}
	anew.Namespace, anew.Name = ns, "anew"
	awaitReported(t, anew, 1)
	awaitStalled(t, anew, "")
}

// recordedPurges returns the operationIds of a test whose results are to be purged though their object is gone.
func recordedPurges(t *testing.T, suffix string) (operations []string) {
	t.Helper()
	list := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Items {
		for _, r := range s.Releases {
			if r.Purge != "" && strings.HasSuffix(r.OperationID, suffix) {
				operations = append(operations, r.OperationID)
			}
		}
	}
	return operations
}

// The finalizer is carried by objects with the policy Purge alone, and goes with it.
func TestFinalizerFollowsThePolicy(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	fwu := create(
		t,
		wrappers.MakeFirmwareUpgrade("policy", ns).Operation("policy-"+ns).DeletionPolicy(v1alpha1.DeletionPolicyPurge),
	)
	await(t, fwu, func() string {
		if len(fwu.Finalizers) != 1 {
			return fmt.Sprintf("finalizers: %v", fwu.Finalizers)
		}
		return ""
	})
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"deletionPolicy":"Retain"}}`))
	if err := k8s.Patch(t.Context(), fwu, patch); err != nil {
		t.Fatal(err)
	}
	await(t, fwu, func() string {
		if len(fwu.Finalizers) != 0 {
			return fmt.Sprintf("finalizers: %v", fwu.Finalizers)
		}
		return ""
	})
}

// An object that has the name, the labels and the generation of a placeholder, as one that comes back from a backup
// may, is declared: it is not removed, and goes before a placeholder.
func TestDeclaredOneWithThePlaceholdersNameStays(t *testing.T) {
	startControllers(t, nil)
	task := result.Task{AppID: "app", OperationID: "restored-" + harness.NewNamespace(t, k8s)}
	restored := claim.NewPlaceholder(task, "default")
	restored.Spec.Placeholder, restored.Spec.ExpectedDevices = false, new(int64(1))
	if err := k8s.Create(t.Context(), restored); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, func() string { // creation times are kept in seconds
		if time.Since(restored.CreationTimestamp.Time) < 2*time.Second {
			return "the next one would not be younger"
		}
		return ""
	})
	other := create(t, wrappers.MakeFirmwareUpgrade("younger", "default").Operation(task.OperationID).App("app"))
	storeSlice(t, reported(task.OperationID, 1, storage.StateSucceeded, ""))
	awaitStalled(t, other, v1alpha1.ReasonDuplicateOperation)
	awaitReported(t, restored, 1)
}

// Placeholders of before go when placeholders are not wanted any more.
func TestHoldRemovesPlaceholders(t *testing.T) {
	task := result.Task{AppID: "app", OperationID: "hold-" + harness.NewNamespace(t, k8s)}
	stop := startControllers(t, nil)
	storeSlice(t, reported(task.OperationID, 1, storage.StateSucceeded, ""))
	placeholder := claim.NewPlaceholder(task, "default")
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(placeholder), placeholder); err != nil {
			return err.Error()
		}
		return ""
	})
	stop()
	startControllers(t, func(o *Options) { o.Undeclared = UndeclaredHold })
	awaitGone(t, placeholder)
}

// A task whose FirmwareUpgrade was deleted gets no placeholder for what it reported before, but for what comes later.
func TestReleasedTaskGetsAPlaceholderForNewResultsOnly(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	stop := startControllers(t, nil)
	task := result.Task{AppID: "app", OperationID: "released-" + ns}
	fwu := create(t, wrappers.MakeFirmwareUpgrade("released", ns).Operation(task.OperationID).App("app"))
	storeSlice(t, reported(task.OperationID, 1, storage.StateSucceeded, ""))
	awaitReported(t, fwu, 1)
	if err := k8s.Delete(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	awaitRelease(t, task.OperationID)
	stop()
	startControllers(t, nil) // another leader looks at all tasks
	other := reported("marker-"+ns, 1, storage.StateSucceeded, "")
	storeSlice(t, other)
	awaitPlaceholder(t, other.Task)
	placeholder := claim.NewPlaceholder(task, "default")
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(placeholder), placeholder); !apierrors.IsNotFound(err) {
		t.Errorf("old results brought a placeholder back: %v", err)
	}
	late := reported(task.OperationID, 2, storage.StateSucceeded, "")
	late.ReceivedAt = time.Now().Add(time.Second).UnixMicro()
	storeSlice(t, late)
	awaitPlaceholder(t, task)
}

// The details of a status stay when it is archived, and while it can't be counted.
func TestDetailsStay(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	archived := create(t, wrappers.MakeFirmwareUpgrade("archived", ns).Operation("archived-"+ns).App("app").
		Expected(1).Retain(0).Settle(0))
	uncounted := create(t, wrappers.MakeFirmwareUpgrade("uncounted", ns).Operation("uncounted-"+ns).Expected(9))
	storeSlice(t, reported(archived.Spec.OperationID, 1, storage.StateFailed, "Invalid URI"),
		reported(uncounted.Spec.OperationID, 1, storage.StateFailed, "Invalid URI"))
	awaitReported(t, uncounted, 1)
	stranger := reported(uncounted.Spec.OperationID, 2, storage.StateSucceeded, "")
	stranger.AppID = "another"
	storeSlice(t, stranger)
	awaitStalled(t, uncounted, v1alpha1.ReasonAmbiguousOperation)
	await(t, archived, func() string {
		if archived.Status.ArchiveTime == nil {
			return "not archived"
		}
		return ""
	})
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{archived, uncounted} {
		touch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"touched":"true"}}}`))
		if err := k8s.Patch(t.Context(), fwu, touch); err != nil { // it is looked at once more
			t.Fatal(err)
		}
	}
	marker := create(t, wrappers.MakeFirmwareUpgrade("marker", ns).Operation("marker-"+ns).App("app").Expected(1))
	storeSlice(t, reported(marker.Spec.OperationID, 1, storage.StateSucceeded, ""))
	await(t, marker, func() string { // by then, the others were looked at: their outboxes are empty, too
		if marker.Status.CompletionTime == nil || len(marker.Status.OperatorState.Outbox) > 0 {
			return "the marker is not told"
		}
		return ""
	})
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{archived, uncounted} {
		await(t, fwu, func() string {
			if len(fwu.Status.Details.FailedDevices) != 1 || len(fwu.Status.Details.Causes) != 1 {
				return fmt.Sprintf("the details of %s went: %+v", fwu.Name, fwu.Status.Details)
			}
			return ""
		})
	}
}

// A task that a FirmwareUpgrade gives up, because its application is named now, gets a placeholder.
func TestGivenUpTaskGetsAPlaceholder(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	operation := "given-up-" + ns
	fwu := create(t, wrappers.MakeFirmwareUpgrade("narrowed", ns).Operation(operation).Expected(9))
	other := reported(operation, 2, storage.StateSucceeded, "")
	other.AppID = "another"
	storeSlice(t, reported(operation, 1, storage.StateSucceeded, ""), other)
	awaitStalled(t, fwu, v1alpha1.ReasonAmbiguousOperation)
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"appId":"app"}}`))
	if err := k8s.Patch(t.Context(), fwu, patch); err != nil {
		t.Fatal(err)
	}
	awaitReported(t, fwu, 1)
	placeholder := claim.NewPlaceholder(other.Task, "default")
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(placeholder), placeholder); err != nil {
			return err.Error()
		}
		return ""
	})
	awaitReported(t, placeholder, 1)
}
