// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/wrappers"
)

// synced says what is wrong with the condition Synced.
func synced(fwu *v1alpha1.FirmwareUpgrade, reason string) string {
	c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionSynced)
	if c == nil || c.Reason != reason {
		return fmt.Sprintf("want Synced for %s, got %+v", reason, c)
	}
	return ""
}

// With a third of the pushes lost, the status comes to equal the platform's own figures, causes included, and every
// failure is announced once. Pushes that arrive say that the callback works.
func TestLostPushes(t *testing.T) {
	w := start(t, northbound.Options{
		Devices: northbound.DeviceOptions{Fail: 0.1, UpgradeTime: 5 * time.Minute, Spread: 5 * time.Minute},
		Faults:  northbound.Faults{PushLost: northbound.Fault{Share: 0.3}},
	})
	w.connect()
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	fwu, operation := w.upgrade("lost", "", 400)
	truth, _ := w.platform.Truth(operation)
	d, p := fwu.Status.Devices, fwu.Status.Platform
	if d.Succeeded != int64(truth.Counts.Success) || d.Failed != int64(truth.Counts.Fail) || d.Expected != 400 {
		t.Errorf("counted are %+v, true is %+v", d, truth.Counts)
	}
	report := w.platform.Report()
	if p.Repaired == 0 || p.Repaired != int64(report.Pushes.Lost) {
		t.Errorf("%d results were asked for, %d pushes were lost", p.Repaired, report.Pushes.Lost)
	}
	if diff := cmp.Diff(int64(truth.Counts.Fail), w.announced(fwu)); diff != "" {
		t.Errorf("announced failures (-want +got):\n%s", diff)
	}
	causes := int64(0)
	for _, c := range fwu.Status.Details.Causes {
		causes += c.Count
	}
	if causes != d.Failed {
		t.Errorf("the causes add up to %d of %d", causes, d.Failed)
	}
	w.expectRepairedSoon(truth.StopTime, p.ObservedTime.Time)
	w.awaitApp(v1alpha1.ConditionReceiving, metav1.ConditionTrue, "")
}

// expectRepairedSoon looks into the platform's list of calls: after the end of the only task one round finds that
// results are missing, then these are asked for, and the next round finds all equal, which is what was observed. More
// may begin while either is under way.
func (w *world) expectRepairedSoon(ended, observed time.Time) {
	w.t.Helper()
	rounds, before, asked := 0, 0, false
	var last northbound.CallRecord
	for _, c := range w.platform.Report().CallList {
		switch {
		case !c.Time.After(ended) || !c.Time.Before(observed.Add(time.Second)): // observed is in whole seconds
			continue
		case c.Kind == northbound.CallSubTasks && !asked:
			asked, before, rounds = true, rounds, 0
		case c.Kind == northbound.CallSubTasks:
			rounds = 0
		case c.Kind == northbound.CallTasks && last.Kind != northbound.CallTasks: // two lists are one round
			rounds++
		}
		last = c
	}
	if after := rounds; !asked || before > 2 || after > 3 {
		w.t.Errorf("asked for results: %t, after %d rounds; all equal %d rounds after that", asked, before, after)
	}
}

// announced is how many failures are announced by Events, once all are.
func (w *world) announced(fwu *v1alpha1.FirmwareUpgrade) (failures int64) {
	w.t.Helper()
	w.await(fwu, func() string {
		if s := fwu.Status.OperatorState; s.Announced.Failures != fwu.Status.Devices.Failed+fwu.Status.Devices.Recovered ||
			len(s.Outbox) > 0 {
			return "not all is announced"
		}
		return ""
	})
	events := &eventsv1.EventList{}
	if err := k8s.List(w.t.Context(), events, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events.Items {
		if e.Regarding.UID != fwu.UID {
			continue
		}
		switch e.Reason {
		case "DeviceFailed":
			failures++
		case "DevicesFailed":
			var n int64
			if _, err := fmt.Sscanf(e.Note, "%d device", &n); err != nil {
				w.t.Errorf("%q: %v", e.Note, err)
			}
			failures += n
		}
	}
	return failures
}

// A task that is followed without its application, and one that nobody declared, are compared and repaired, too.
func TestRepairsFollowed(t *testing.T) {
	w := start(t, northbound.Options{
		Devices: northbound.DeviceOptions{Fail: 0.2, UpgradeTime: 2 * time.Minute},
		Faults:  northbound.Faults{PushLost: northbound.Fault{Share: 0.5}},
	})
	w.connect()
	w.awaitApp(v1alpha1.ConditionSubscribed, metav1.ConditionTrue, v1alpha1.ReasonVerified)
	declared, undeclared := w.createTask(northbound.TaskSpec{Count: 40}), w.createTask(northbound.TaskSpec{Count: 30})
	fwu := wrappers.MakeFirmwareUpgrade("followed", w.namespace).Operation(declared).Settle(0).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	complete := func(fwu *v1alpha1.FirmwareUpgrade, devices int64) func() string {
		return func() string {
			if d := fwu.Status.Devices; d.Succeeded+d.Failed != devices {
				return fmt.Sprintf("%+v", d)
			}
			return synced(fwu, v1alpha1.ReasonCountsEqual)
		}
	}
	w.await(fwu, complete(fwu, 40))
	placeholder := &v1alpha1.FirmwareUpgrade{}
	w.await(w.placeholderOf(undeclared, placeholder), complete(placeholder, 30))
}

// placeholderOf waits for the placeholder of a task.
func (w *world) placeholderOf(operation string, into *v1alpha1.FirmwareUpgrade) *v1alpha1.FirmwareUpgrade {
	w.t.Helper()
	for range 120 {
		all := &v1alpha1.FirmwareUpgradeList{}
		if err := k8s.List(w.t.Context(), all, client.InNamespace("default")); err != nil {
			w.t.Fatal(err)
		}
		for i := range all.Items {
			if all.Items[i].Spec.OperationID == operation {
				all.Items[i].DeepCopyInto(into)
				return into
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	w.t.Fatal("there is no placeholder")
	return nil
}

// A task that the platform does not know stalls within eleven minutes, and says so.
func TestUnknownTask(t *testing.T) {
	w := start(t, northbound.Options{})
	w.connect()
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	fwu := wrappers.MakeFirmwareUpgrade("typo", w.namespace).Operation("no-such-task-" + w.namespace).
		App(w.app.Spec.AppID).
		Expected(3).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	w.await(fwu, func() string { return synced(fwu, v1alpha1.ReasonTaskUnknown) })
	stalled := func() *metav1.Condition {
		return meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionStalled)
	}
	if c := stalled(); c.Status != metav1.ConditionFalse {
		t.Errorf("it stalls although the task may come yet: %+v", c)
	}
	w.clock.step(11 * time.Minute)
	w.await(fwu, func() string {
		if c := stalled(); c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonTaskUnknown {
			return "it does not stall"
		}
		return ""
	})
}
