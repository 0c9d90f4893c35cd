// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// foreignFinalizer is somebody else's.
const foreignFinalizer = "example.com/hold"

// mergePatch patches an object as kubectl patch --type=merge does.
func mergePatch(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, patch string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // for the end of a test, too
	if err := k8s.Patch(ctx, fwu, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// held creates a FirmwareUpgrade that somebody else's finalizer keeps until the test ends.
func held(t *testing.T, w *wrappers.FirmwareUpgrade) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	fwu := create(t, w.Finalizers(foreignFinalizer))
	t.Cleanup(func() { mergePatch(t, fwu, `{"metadata":{"finalizers":null}}`) })
	return fwu
}

func awaitFinalizer(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	await(t, fwu, func() string {
		if len(fwu.Finalizers) != 1 || fwu.Finalizers[0] != v1alpha1.FinalizerPurge {
			return fmt.Sprintf("finalizers: %v", fwu.Finalizers)
		}
		return ""
	})
}

func awaitReason(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, reason string) {
	t.Helper()
	await(t, fwu, func() string {
		c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Reason != reason || c.Status != "False" {
			return fmt.Sprintf("want Ready False for %s, got %+v", reason, c)
		}
		return ""
	})
}

// The finalizer comes back when somebody takes it away, and goes when somebody adds it to an object without the policy.
func TestFinalizerIsPutRight(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	purged := create(t, wrappers.MakeFirmwareUpgrade("purged", ns).Operation("purged-"+ns).
		DeletionPolicy(v1alpha1.DeletionPolicyPurge))
	awaitFinalizer(t, purged)
	mergePatch(t, purged, `{"metadata":{"finalizers":null}}`)
	awaitFinalizer(t, purged)
	retained := create(t, wrappers.MakeFirmwareUpgrade("retained", ns).Operation("retained-"+ns))
	mergePatch(t, retained, `{"metadata":{"finalizers":["`+v1alpha1.FinalizerPurge+`"]}}`)
	await(t, retained, func() string {
		if len(retained.Finalizers) != 0 {
			return fmt.Sprintf("finalizers: %v", retained.Finalizers)
		}
		return ""
	})
}

// What is deleted and kept by somebody else's finalizer has given its task up and says so: it is not Ready, also where
// it was. Its deletion is recorded, so that old results bring no placeholder.
func TestReleasedWhileAFinalizerKeepsIt(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	running := held(t, wrappers.MakeFirmwareUpgrade("running", ns).Operation("running-"+ns).App("app").Expected(3))
	ready := held(t, wrappers.MakeFirmwareUpgrade("ready", ns).Operation("ready-"+ns).App("app").Expected(1).Settle(0))
	before := time.Now().Add(-time.Minute).UnixMicro() // the API keeps the time of a deletion in seconds
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{running, ready} {
		r := reported(fwu.Spec.OperationID, 1, storage.StateSucceeded, "")
		r.ReceivedAt = before
		storeSlice(t, r)
	}
	awaitReported(t, running, 1)
	await(t, ready, func() string {
		if !meta.IsStatusConditionTrue(ready.Status.Conditions, v1alpha1.ConditionReady) {
			return "not Ready"
		}
		return ""
	})
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{running, ready} {
		if err := k8s.Delete(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
		awaitReason(t, fwu, v1alpha1.ReasonReleased)
		awaitStalled(t, fwu, v1alpha1.ReasonReleased)
		if fwu.Status.Devices.Succeeded != 1 {
			t.Errorf("%s does not have its counts any more: %+v", fwu.Name, fwu.Status.Devices)
		}
	}
	if running.Status.Phase != v1alpha1.PhaseStalled {
		t.Errorf("the phase is %s", running.Status.Phase)
	}
	if !meta.IsStatusConditionTrue(ready.Status.Conditions, v1alpha1.ConditionFinished) ||
		ready.Status.CompletionTime == nil || ready.Status.Phase != v1alpha1.PhaseSucceeded {
		t.Errorf("how it ended is not told any more: %+v", ready.Status)
	}
	awaitRelease(t, ready.Spec.OperationID)
	marker := reported("marker-"+ns, 1, storage.StateSucceeded, "")
	storeSlice(t, marker)
	awaitPlaceholder(t, marker.Task)
	placeholder := claim.NewPlaceholder(result.Task{AppID: "app", OperationID: ready.Spec.OperationID}, "default")
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(placeholder), placeholder); !apierrors.IsNotFound(err) {
		t.Errorf("old results brought a placeholder: %v", err)
	}
	late := reported(ready.Spec.OperationID, 2, storage.StateSucceeded, "")
	late.ReceivedAt = time.Now().Add(2 * time.Second).UnixMicro()
	storeSlice(t, late)
	awaitPlaceholder(t, late.Task)
}

// The cache loses an object before the reconciler is told that it was deleted: who looks in between makes no
// placeholder of it, and what is told a moment later is recorded.
func TestDeletionIsToldLaterThanItIsSeen(t *testing.T) {
	task := result.Task{AppID: "app", OperationID: "seen-" + harness.NewNamespace(t, k8s)}
	results := startStore(t)
	old := reported(task.OperationID, 1, storage.StateSucceeded, "")
	storeSlice(t, old)
	harness.Eventually(t, func() string {
		if results.LastReceived(task).IsZero() {
			return "the result is not read"
		}
		return ""
	})
	r := &placeholderReconciler{
		client: cachedClient(t), store: results, rules: claim.Rules{PlaceholderNamespace: "default"}, adopt: true,
		clock: clock.RealClock{}, unclaimed: map[result.Task]time.Time{}, released: map[result.Task]time.Time{},
	}
	again, err := r.Reconcile(t.Context(), task)
	if err != nil || again.RequeueAfter == 0 {
		t.Fatalf("want another look, got %+v, error %v", again, err)
	}
	queue := workqueue.NewTypedRateLimitingQueue(retries[result.Task]())
	t.Cleanup(queue.ShutDown)
	r.release(wrappers.MakeFirmwareUpgrade("seen", "default").Operation(task.OperationID).App("app").Obj(), queue)
	if queue.Len() != 1 {
		t.Error("nobody looks at the task")
	}
	time.Sleep(again.RequeueAfter)
	if again, err = r.Reconcile(t.Context(), task); err != nil || again.RequeueAfter != 0 {
		t.Errorf("got %+v, error %v", again, err)
	}
	awaitRelease(t, task.OperationID)
	placeholder := claim.NewPlaceholder(task, "default")
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(placeholder), placeholder); !apierrors.IsNotFound(err) {
		t.Errorf("there is a placeholder: %v", err)
	}
}

// cachedClient returns a client that reads as those of the leader do, until the test ends.
func cachedClient(t *testing.T) client.Client {
	t.Helper()
	mgr := newManager(t)
	for _, index := range []func(context.Context, client.FieldIndexer) error{indexFields, indexApplications} {
		if err := index(t.Context(), mgr.GetFieldIndexer()); err != nil {
			t.Fatal(err)
		}
	}
	run(t, mgr.Start)
	if !mgr.GetCache().WaitForCacheSync(t.Context()) {
		t.Fatal("the cache did not sync")
	}
	return mgr.GetClient()
}

// Whoever waits for a purge has the task when it is done, also where somebody else's finalizer keeps the object.
func TestPurgeIsOverWhileAFinalizerKeepsTheObject(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	operation := "held-" + ns
	fwu := held(t, wrappers.MakeFirmwareUpgrade("held", ns).Operation(operation).App("app").Expected(2).
		DeletionPolicy(v1alpha1.DeletionPolicyPurge))
	storeSlice(t, reported(operation, 1, storage.StateSucceeded, ""))
	awaitReported(t, fwu, 1)
	await(t, fwu, func() string {
		if len(fwu.Finalizers) != 2 {
			return fmt.Sprintf("finalizers: %v", fwu.Finalizers)
		}
		return ""
	})
	if err := k8s.Delete(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	anew := create(t, wrappers.MakeFirmwareUpgrade("anew", ns).Operation(operation).App("app").Expected(2))
	awaitReason(t, fwu, v1alpha1.ReasonPurging)
	awaitStalled(t, fwu, "")
	awaitReason(t, anew, v1alpha1.ReasonPurging)
	awaitReason(t, fwu, v1alpha1.ReasonReleased)
	awaitReason(t, anew, v1alpha1.ReasonPending)
}

func awaitRelease(t *testing.T, operationID string) {
	t.Helper()
	harness.Eventually(t, func() string {
		list := &storage.ResultSliceList{}
		if err := k8s.List(t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Items {
			for _, r := range s.Releases {
				if r.OperationID == operationID {
					return ""
				}
			}
		}
		return "the release is not recorded"
	})
}

func awaitPlaceholder(t *testing.T, task result.Task) {
	t.Helper()
	placeholder := claim.NewPlaceholder(task, "default")
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(placeholder), placeholder); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Details that somebody else wrote don't stay: not where they can't be computed again, nor when another leader comes,
// and true ones do.
func TestForeignDetailsGo(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	stop := startControllers(t, nil)
	archived := create(t, wrappers.MakeFirmwareUpgrade("archived", ns).Operation("archived-"+ns).App("app").
		Expected(1).Retain(0).Settle(0))
	kept := create(t, wrappers.MakeFirmwareUpgrade("kept", ns).Operation("kept-"+ns).App("app").
		Expected(1).Retain(0).Settle(0))
	uncounted := create(t, wrappers.MakeFirmwareUpgrade("uncounted", ns).Operation("uncounted-"+ns).Expected(9))
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{archived, kept, uncounted} {
		storeSlice(t, reported(fwu.Spec.OperationID, 1, storage.StateFailed, "Invalid <URI> \u2028 & 错误码：4"))
	}
	awaitReported(t, uncounted, 1)
	stranger := reported(uncounted.Spec.OperationID, 2, storage.StateSucceeded, "")
	stranger.AppID = "another"
	storeSlice(t, stranger)
	awaitStalled(t, uncounted, v1alpha1.ReasonAmbiguousOperation)
	for _, fwu := range []*v1alpha1.FirmwareUpgrade{archived, kept} {
		await(t, fwu, func() string {
			if fwu.Status.ArchiveTime == nil {
				return "not archived"
			}
			return ""
		})
	}
	forge := func() {
		t.Helper()
		for _, fwu := range []*v1alpha1.FirmwareUpgrade{archived, uncounted} {
			forged := []byte(`{"status":{"details":{"failedDevices":[{"deviceId":"FORGED\u001b[31m",` +
				`"receiveTime":"2026-01-01T00:00:00Z"}]}}}`)
			if err := k8s.Status().Patch(t.Context(), fwu, client.RawPatch("application/merge-patch+json", forged)); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func() {
		t.Helper()
		for _, fwu := range []*v1alpha1.FirmwareUpgrade{archived, uncounted} {
			await(t, fwu, func() string {
				if n := len(fwu.Status.Details.FailedDevices); n > 0 {
					return fmt.Sprintf("%s has %+v", fwu.Name, fwu.Status.Details.FailedDevices)
				}
				return ""
			})
		}
	}
	forge()
	check()
	stop()
	forge()
	startControllers(t, nil)
	check()
	mergePatch(t, kept, `{"metadata":{"annotations":{"touched":"true"}}}`)
	mergePatch(t, archived, `{"metadata":{"annotations":{"touched":"true"}}}`)
	forge()
	check() // by then the other one was looked at
	await(t, kept, func() string {
		if len(kept.Status.Details.FailedDevices) != 1 {
			return fmt.Sprintf("true details went: %+v", kept.Status.Details)
		}
		return ""
	})
}
