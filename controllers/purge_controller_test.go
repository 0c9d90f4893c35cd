// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// emptyCache is a cache that has not seen anything yet, as that of a new leader may be.
type emptyCache struct{ client.Reader }

func (emptyCache) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// What a cache does not know yet is not gone, and what it knows to be wanted may be kept by now.
func TestLookUpIsCertain(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	purged := create(t, wrappers.MakeFirmwareUpgrade("purged", ns).DeletionPolicy(v1alpha1.DeletionPolicyPurge))
	kept := create(t, wrappers.MakeFirmwareUpgrade("kept", ns))
	gone := objectReference(purged)
	gone.UID = "of one that had this name before"
	for name, cached := range map[string]client.Reader{"cached": k8s, "not cached": emptyCache{}} {
		t.Run(name, func(t *testing.T) {
			look := lookUp(cached, k8s)
			for _, c := range []struct {
				of             storage.ObjectReference
				exists, purges bool
			}{{objectReference(purged), true, true}, {objectReference(kept), true, false}, {gone, false, false}} {
				exists, purges, err := look(t.Context(), c.of)
				if err != nil || exists != c.exists || purges != c.purges {
					t.Errorf("%s: exists %t, purges %t, error %v", c.of.Name, exists, purges, err)
				}
			}
		})
	}
}

// Who sets the policy to Retain before the finalizer is there keeps the results, however fast the object is deleted.
func TestRetainForgetsAnIntendedPurge(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	fwu := create(t, wrappers.MakeFirmwareUpgrade("kept", ns).Operation("kept-"+ns).App("app"))
	results := startStore(t)
	task := result.Task{AppID: "app", OperationID: "kept-" + ns}
	if err := results.IntendPurge(t.Context(), task, objectReference(fwu)); err != nil {
		t.Fatal(err)
	}
	before := fwu.DeepCopy()
	before.Spec.DeletionPolicy = v1alpha1.DeletionPolicyPurge
	if !keepsNow(event.UpdateEvent{ObjectOld: before, ObjectNew: fwu}) {
		t.Error("the change is not looked at")
	}
	r := &purgeReconciler{client: k8s, store: results, rules: claim.Rules{}, clock: clock.RealClock{}, instance: "test"}
	_, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(fwu)})
	if err != nil {
		t.Fatal(err)
	}
	stored := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), stored, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	isOf := func(r storage.Release) bool {
		return r.FirmwareUpgrade != nil && *r.FirmwareUpgrade == objectReference(fwu)
	}
	for i := range stored.Items {
		if slices.ContainsFunc(stored.Items[i].Releases, isOf) {
			t.Errorf("slice %s still says that the results go with the object", stored.Items[i].Name)
		}
	}
}

// What was announced of one task is not missing of another one that is counted now.
func TestNothingIsLackingOfAnotherTask(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	storeSlice(t, reported("lacking-"+ns, 1, storage.StateFailed, "Invalid URI"))
	fwu := create(t, wrappers.MakeFirmwareUpgrade("other", ns).Operation("lacking-"+ns))
	fwu.Status.AppID, fwu.Status.LastResultTime = "another", &fwu.CreationTimestamp
	fwu.Status.OperatorState.Announced.Failures = 5
	whole := newWholeness(startStore(t))
	if n := whole.lacking(fwu, result.Task{AppID: "app", OperationID: "lacking-" + ns}); n != 0 {
		t.Errorf("%d failures are lacking of a task of which none was announced", n)
	}
	if n := whole.lacking(fwu, result.Task{AppID: "another", OperationID: "lacking-" + ns}); n != 5 {
		t.Errorf("%d failures are lacking of the task that was counted, want 5", n)
	}
}

// A purge removes the results of the task that the object has, and not those that it counted once and that another one
// has by now: because the spec was changed, or because the application was given to another tenant.
func TestPurgeLeavesWhatAnotherOneHas(t *testing.T) {
	for name, changes := range map[string]bool{"the spec was changed": true, "the application was given away": false} {
		t.Run(name, func(t *testing.T) {
			former, present := harness.NewNamespace(t, k8s), harness.NewNamespace(t, k8s)
			operation := "given-" + former
			var before, after *applications.Map
			if !changes {
				before, after = mapped(t, former, present), mapped(t, present, former)
			}
			stop := startControllers(t, func(o *Options) { o.Applications = before })
			storeSlice(t, reported(operation, 1, storage.StateSucceeded, ""), reported(operation, 2, storage.StateSucceeded, ""))
			first := create(t, wrappers.MakeFirmwareUpgrade("first", former).Operation(operation).Expected(9).
				DeletionPolicy(v1alpha1.DeletionPolicyPurge))
			awaitReported(t, first, 2)
			awaitFinalizer(t, first)
			stop()
			if changes {
				mergePatch(t, first, `{"spec": {"appId": "other"}}`)
			}
			second := create(t, wrappers.MakeFirmwareUpgrade("second", present).Operation(operation).App("app").Expected(9))
			startControllers(t, func(o *Options) { o.Applications = after })
			if !changes { // who counted it first goes before who declared it later
				awaitReported(t, second, 2)
			}
			if err := k8s.Delete(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, first)
			awaitReported(t, second, 2)
			if len(slicesOf(t, operation)) == 0 {
				t.Error("the results of the task that another one has are gone")
			}
		})
	}
}

// mapped gives the application "app" to a namespace and another one to the other.
func mapped(t *testing.T, ofApp, ofOther string) *applications.Map {
	t.Helper()
	path := filepath.Join(t.TempDir(), "applications.yaml")
	content := "applications:\n- {appId: app, namespaces: [" + ofApp + "]}\n" +
		"- {appId: other, namespaces: [" + ofOther + "]}\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	apps, err := applications.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return apps
}

// The results of a deleted FirmwareUpgrade are kept for a while from the deletion on, also where nobody makes
// placeholders; and what was received in the second of the deletion is released with the rest.
func TestReleaseIsRecorded(t *testing.T) {
	for _, undeclared := range []string{UndeclaredAdopt, UndeclaredHold} {
		t.Run(undeclared, func(t *testing.T) {
			ns := harness.NewNamespace(t, k8s)
			startControllers(t, func(o *Options) { o.Undeclared = undeclared })
			operation := "released-" + ns
			fwu := create(t, wrappers.MakeFirmwareUpgrade("held", ns).Operation(operation).App("app").
				Finalizers("example.com/foreground"))
			received := reported(operation, 1, storage.StateSucceeded, "")
			storeSlice(t, received)
			awaitReported(t, fwu, 1)
			if err := k8s.Delete(t.Context(), fwu); err != nil {
				t.Fatal(err)
			}
			if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
				t.Fatal(err)
			}
			mergePatch(t, fwu, `{"metadata": {"finalizers": null}}`)
			awaitRelease(t, operation)
			want := fwu.DeletionTimestamp.Add(time.Second - time.Microsecond)
			for _, slice := range slicesOfReleases(t) {
				for _, r := range slice.Releases {
					if r.OperationID == operation && !r.ReleaseTime.Time.Equal(want) {
						t.Errorf("released at %s, want the end of the second of the deletion, %s", r.ReleaseTime, want)
					}
				}
			}
		})
	}
}

func slicesOfReleases(t *testing.T) []storage.ResultSlice {
	t.Helper()
	list := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(s storage.ResultSlice) bool { return len(s.Releases) == 0 })
}

// What this version can't read may be a failure: no gate opens, and somebody is told. A recorded purge of such results
// can't be done, and who waits for it says so.
func TestWhatCantBeReadIsTold(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	unread, blocked := "unread-"+ns, "blocked-"+ns
	for _, operation := range []string{unread, blocked} {
		slice := storeOfNewerVersion(t, operation)
		t.Cleanup(func() {
			if err := k8s.Delete(context.WithoutCancel(t.Context()), slice); err != nil {
				t.Error(err)
			}
		})
	}
	record := &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, GenerateName: "purge-"},
		Releases: []storage.Release{
			{AppID: "app", OperationID: blocked, ReleaseTime: metav1.NowMicro(), Purge: storage.PurgeDue},
		},
	}
	if err := k8s.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k8s.Delete(context.WithoutCancel(t.Context()), record); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	storeSlice(t, reported(unread, 1, storage.StateSucceeded, ""))
	startControllers(t, nil)
	for operation, reason := range map[string]string{
		unread: v1alpha1.ReasonResultsIncomplete, blocked: v1alpha1.ReasonPurgeBlocked,
	} {
		fwu := create(t, wrappers.MakeFirmwareUpgrade("of-"+operation, ns).Operation(operation).App("app").Expected(1))
		awaitStalled(t, fwu, reason)
		await(t, fwu, func() string {
			if told, _ := eventsAbout(t, fwu); told[reason] != 1 {
				return fmt.Sprintf("told: %v, want %s once", told, reason)
			}
			return ""
		})
	}
}
