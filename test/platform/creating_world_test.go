// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// leadTime is a little more than what a leader waits before it has a task created.
const leadTime = 6*time.Minute + 10*time.Second

// startCreating runs an operator that may have tasks created: its application says so and is connected, and it has led
// for long enough. The platform goes by the operator's clock, which says the real time by then.
func startCreating(t *testing.T, o northbound.Options, adjust ...func(*v1alpha1.IoTApplication)) *world {
	t.Helper()
	w := startLeading(t, o)
	w.connect(append([]func(*v1alpha1.IoTApplication){func(app *v1alpha1.IoTApplication) {
		app.Spec.Tasks = v1alpha1.TasksCreate
	}}, adjust...)...)
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, v1alpha1.ReasonTokenValid)
	w.pass(leadTime)
	return w
}

// startLeading is start with a clock that is late by what a leader waits, and that the platform goes by.
func startLeading(t *testing.T, o northbound.Options) *world {
	t.Helper()
	clk := runClock(t, time.Now().Add(-leadTime))
	o.Clock = clk
	return startWith(t, o, clk)
}

// goOn runs the controllers again, as another process.
func (w *world) goOn() {
	w.t.Helper()
	w.registry = prometheus.NewRegistry()
	w.stop = w.startControllers()
}

// pass lets time pass for the operator and the platform. Queues go by the real time, so that what would be looked at
// again by now is touched.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.clock.step(d)
	records := &storage.FirmwareUpgradeTaskRecordList{}
	if err := k8s.List(w.t.Context(), records, client.InNamespace(operatorNamespace)); err != nil {
		w.t.Fatal(err)
	}
	for i := range records.Items {
		if records.Items[i].Spec.AppID == w.platform.AppID() {
			w.touch(&records.Items[i])
		}
	}
	upgrades := &v1alpha1.FirmwareUpgradeList{}
	if err := k8s.List(w.t.Context(), upgrades, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	for i := range upgrades.Items {
		w.touch(&upgrades.Items[i])
	}
}

func (w *world) touch(object client.Object) {
	w.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":%q}}}`, w.clock.Now().Format(time.RFC3339Nano))
	err := k8s.Patch(w.t.Context(), object, client.RawPatch(types.MergePatchType, patch))
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
}

// passUntil lets time pass, step by step, until a FirmwareUpgrade satisfies a condition, which says what is wrong.
func (w *world) passUntil(fwu *v1alpha1.FirmwareUpgrade, step time.Duration, condition func() string) {
	w.t.Helper()
	const steps, looks, pause = 60, 40, 50 * time.Millisecond
	var wrong string
	for range steps {
		for range looks {
			if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
				w.t.Fatal(err)
			}
			if wrong = condition(); wrong == "" {
				return
			}
			time.Sleep(pause)
		}
		w.pass(step)
	}
	w.t.Fatalf("%s: %+v", wrong, fwu.Status)
}

// devices are ids that no other test has.
func (w *world) devices(of string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%s-%d", w.namespace, of, i)
	}
	return ids
}

// wave is a FirmwareUpgrade whose task is to be created, for devices of its own.
func (w *world) wave(name string, devices int) *wrappers.FirmwareUpgrade {
	return wrappers.MakeFirmwareUpgrade(name, w.namespace).App(w.platform.AppID()).Task(w.devices(name, devices)...).
		Settle(0)
}

// create creates what wave made.
func (w *world) create(of *wrappers.FirmwareUpgrade) *v1alpha1.FirmwareUpgrade {
	w.t.Helper()
	fwu := of.Obj()
	if err := k8s.Create(w.t.Context(), fwu); err != nil {
		w.t.Fatal(err)
	}
	return fwu
}

// update changes the spec of a FirmwareUpgrade, as Git does.
func (w *world) update(fwu *v1alpha1.FirmwareUpgrade, change func(*v1alpha1.FirmwareUpgradeSpec)) {
	w.t.Helper()
	harness.Eventually(w.t, func() string {
		if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		change(&fwu.Spec)
		if err := k8s.Update(w.t.Context(), fwu); err != nil {
			return err.Error()
		}
		return ""
	})
}

// taskCreated says what is wrong with the condition TaskCreated: its status follows from the reason.
func taskCreated(fwu *v1alpha1.FirmwareUpgrade, reason string) string {
	want := metav1.ConditionFalse
	switch reason {
	case v1alpha1.ReasonCreated, v1alpha1.ReasonAdopted:
		want = metav1.ConditionTrue
	case v1alpha1.ReasonResolving, v1alpha1.ReasonCreationUncertain:
		want = metav1.ConditionUnknown
	}
	c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionTaskCreated)
	if c == nil || c.Reason != reason || c.Status != want || c.ObservedGeneration != fwu.Generation {
		return fmt.Sprintf("want TaskCreated %s for %s of generation %d, got %+v", want, reason, fwu.Generation, c)
	}
	if want == metav1.ConditionTrue && fwu.Status.OperationID == "" {
		return "the task was created, and the status does not name it"
	}
	return ""
}

// states are which of Ready, Reconciling and Stalled are True.
func states(fwu *v1alpha1.FirmwareUpgrade) string {
	var got []string
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if meta.IsStatusConditionTrue(fwu.Status.Conditions, kind) {
			got = append(got, kind)
		}
	}
	return strings.Join(got, " ")
}

// stands says what is wrong with TaskCreated and with what is True.
func stands(fwu *v1alpha1.FirmwareUpgrade, reason, want string) func() string {
	return func() string {
		if wrong := taskCreated(fwu, reason); wrong != "" {
			return wrong
		}
		if got := states(fwu); got != want {
			return "True is " + got + ", not " + want
		}
		return ""
	}
}

// expectPosts holds how many creations were posted, and that none upgrades what another did.
func (w *world) expectPosts(want int) {
	w.t.Helper()
	r := w.platform.Report()
	if len(r.Creations) != want || r.Tasks.Duplicates != 0 {
		w.t.Errorf("want %d creations and no duplicate, got %+v, %+v", want, r.Creations, r.Tasks)
	}
}

// events counts the Events about a FirmwareUpgrade with a reason.
func (w *world) events(fwu *v1alpha1.FirmwareUpgrade, reason string) int {
	w.t.Helper()
	all := &eventsv1.EventList{}
	if err := k8s.List(w.t.Context(), all, client.InNamespace(fwu.Namespace)); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for i := range all.Items {
		if e := &all.Items[i]; e.Regarding.UID == fwu.UID && e.Reason == reason {
			n++
		}
	}
	return n
}
