// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

// deleteNow deletes an object and waits until it is gone.
func (w *world) deleteNow(object client.Object, options ...client.DeleteOption) {
	w.t.Helper()
	if err := k8s.Delete(w.t.Context(), object, options...); err != nil {
		w.t.Fatal(err)
	}
	harness.Eventually(w.t, func() string {
		err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)
		if client.IgnoreNotFound(err) == nil && err != nil {
			return ""
		}
		return "it is still there"
	})
}

// A request is known by its content. Whatever becomes of the object that asks, there is one task, and every object that
// asks for it gets its operationId: deleted and created again, renamed, moved, deleted while the platform is asked.
func TestIdentity(t *testing.T) {
	other := harness.NewNamespace(t, k8s)
	w := startCreating(t, quick(), func(app *v1alpha1.IoTApplication) {
		app.Spec.Namespaces = append(app.Spec.Namespaces, other)
	})
	ready := func(fwu *v1alpha1.FirmwareUpgrade) func() string {
		return stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady)
	}
	fwu := w.create(w.wave("wave", 2))
	w.await(fwu, ready(fwu))
	operation := fwu.Status.OperationID
	w.deleteNow(fwu)
	fwu = w.create(w.wave("wave", 2))
	w.await(fwu, func() string { return taskCreated(fwu, v1alpha1.ReasonCreated) })
	renamed, moved := w.wave("wave", 2), w.wave("wave", 2)
	renamed.Name, moved.Namespace = "prefix-wave", other
	for _, of := range []*v1alpha1.FirmwareUpgrade{w.create(renamed), w.create(moved)} {
		w.await(of, func() string {
			if of.Status.OperationID != operation {
				return "it follows another task, or none"
			}
			return ""
		})
	}
	if fwu.Status.OperationID != operation {
		t.Errorf("it follows %s, not %s", fwu.Status.OperationID, operation)
	}
	w.expectPosts(1)

	w.setFaults(northbound.Faults{AnswerSilent: northbound.Fault{
		Next: 1, Delay: northbound.Duration(8 * time.Second), Calls: []northbound.Call{northbound.CallCreate},
	}})
	interrupted := w.create(w.wave("interrupted", 2))
	made := w.awaitPosts(2)
	w.deleteNow(interrupted, client.PropagationPolicy(metav1.DeletePropagationForeground))
	interrupted = w.create(w.wave("interrupted", 2))
	w.passUntil(interrupted, time.Minute, ready(interrupted))
	if interrupted.Status.OperationID != made.OperationID {
		t.Errorf("it follows %s, not %s", interrupted.Status.OperationID, made.OperationID)
	}
	w.expectPosts(2)
}

// An empty cluster gets fifty old waves from Git: none is run again.
func TestBootstrap(t *testing.T) {
	w := startCreating(t, quick())
	const waves = 50
	past := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	var all []*v1alpha1.FirmwareUpgrade
	for n := range waves {
		old := w.wave(fmt.Sprintf("old-%d", n), 2)
		old.Spec.Task.CreateBefore = past
		all = append(all, w.create(old))
	}
	for _, fwu := range all {
		w.await(fwu, stands(fwu, v1alpha1.ReasonCreationExpired, v1alpha1.ConditionStalled))
	}
	w.pass(time.Minute)
	if n := w.platform.Report().Calls.ByKind[northbound.CallCreate]; n != 0 {
		t.Errorf("%d creations were posted", n)
	}
	// What is still wanted is run when its time is moved.
	fwu := all[0]
	w.update(fwu, func(s *v1alpha1.FirmwareUpgradeSpec) {
		s.Task.CreateBefore = metav1.NewTime(time.Now().Add(24 * time.Hour).Truncate(time.Second))
	})
	w.await(fwu, func() string {
		if taskCreated(fwu, v1alpha1.ReasonCreationExpired) == "" {
			t.Fatal("the time that was moved is said to be over")
		}
		return stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady)()
	})
	w.expectPosts(1)
}

// forgetRecords deletes all records of the application.
func (w *world) forgetRecords() {
	w.t.Helper()
	list := &storage.FirmwareUpgradeTaskRecordList{}
	if err := k8s.List(w.t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		w.t.Fatal(err)
	}
	for i := range list.Items {
		if list.Items[i].Spec.AppID == w.platform.AppID() {
			if err := k8s.Delete(w.t.Context(), &list.Items[i]); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// forgetStatus empties the status of a FirmwareUpgrade, as a restored backup without it does.
func (w *world) forgetStatus(fwu *v1alpha1.FirmwareUpgrade) {
	w.t.Helper()
	if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
		w.t.Fatal(err)
	}
	fwu.Status = v1alpha1.FirmwareUpgradeStatus{}
	if err := k8s.Status().Update(w.t.Context(), fwu); err != nil {
		w.t.Fatal(err)
	}
}

// Whatever part of what is known was lost while no operator ran, there is one task, and it is followed again.
func TestRestore(t *testing.T) {
	w := startCreating(t, quick())
	fwu := w.create(w.wave("wave", 2))
	w.await(fwu, stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	operation := fwu.Status.OperationID
	for _, c := range []struct {
		name   string
		lose   func()
		reason string
	}{
		{"the records", w.forgetRecords, v1alpha1.ReasonCreated},
		{"the records, of an old wave", func() {
			w.forgetRecords()
			w.update(fwu, func(s *v1alpha1.FirmwareUpgradeSpec) {
				s.Task.CreateBefore = metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
			})
		}, v1alpha1.ReasonCreated},
		{"the status", func() { w.forgetStatus(fwu) }, v1alpha1.ReasonCreated},
		{"all, as etcd from before the creation", func() {
			w.forgetRecords()
			w.forgetStatus(fwu)
			w.update(fwu, func(s *v1alpha1.FirmwareUpgradeSpec) { *s = w.wave("wave", 2).Spec })
		}, v1alpha1.ReasonAdopted},
		{"the object", func() {
			w.deleteNow(fwu)
			fwu = w.create(w.wave("wave", 2))
		}, v1alpha1.ReasonAdopted},
	} {
		w.stop()
		c.lose()
		w.goOn()
		w.passUntil(fwu, leadTime, func() string {
			if n := len(w.outcomes()); n != 1 {
				return fmt.Sprintf("%s: %d outcomes are recorded", c.name, n)
			}
			return taskCreated(fwu, c.reason)
		})
		if fwu.Status.OperationID != operation {
			t.Errorf("%s: it follows %s, not %s", c.name, fwu.Status.OperationID, operation)
		}
		w.expectPosts(1)
	}
}
