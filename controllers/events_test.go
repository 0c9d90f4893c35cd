// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/store"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

var errKilled = errors.New("killed")

// killer lets a number of writes pass, then the process it stands for is dead: the next write fails, either before it
// reached the API server or after, and all that follow.
type killer struct {
	left      int
	afterward bool
	dead      bool
	mu        sync.Mutex
}

func (k *killer) write(do func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errKilled
	}
	if k.left--; k.left >= 0 {
		return do()
	}
	k.dead = true
	if k.afterward {
		if err := do(); err != nil {
			return err
		}
	}
	return errKilled
}

func (k *killer) client() client.Client {
	return interceptor.NewClient(k8s, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return k.write(func() error { return c.Create(ctx, obj, opts...) })
		},
		SubResourceUpdate: func(
			ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption,
		) error {
			return k.write(func() error { return c.SubResource(sub).Update(ctx, obj, opts...) })
		},
		// There is no index without a cache.
		List: func(_ context.Context, _ client.WithWatch, _ client.ObjectList, _ ...client.ListOption) error {
			return nil
		},
	})
}

// leader is the two reconcilers of a leader that concern Events, without queues.
type leader struct {
	status *firmwareUpgradeReconciler
	events *eventReconciler
}

func newLeader(t *testing.T, c client.Client, s *store.Store) *leader {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	unbounded := newBucket(1_000_000, s.Received, clock.RealClock{})
	sent := newDeliveries()
	return &leader{
		status: &firmwareUpgradeReconciler{
			client: c, store: s, bucket: unbounded, written: newWrittenStatuses(clock.RealClock{}),
			deliveries: sent, whole: newWholeness(s), metrics: m, clock: clock.RealClock{},
			platform: &platformView{client: c, connections: &connections{}},
		},
		events: &eventReconciler{
			client: c, bucket: unbounded, deliveries: sent, metrics: m,
			clock: clock.RealClock{}, instance: "test",
		},
	}
}

// A leader killed before or after any of its writes: the next one announces everything, once.
func TestOutboxSurvivesAKilledLeader(t *testing.T) {
	ns, s := harness.NewNamespace(t, k8s), startStore(t)
	killedSomewhere := false
	for _, afterward := range []bool{false, true} {
		for writes := 0; ; writes++ {
			name := fmt.Sprintf("killed-%d-%t", writes, afterward)
			k := &killer{left: writes, afterward: afterward}
			fwu := wrappers.MakeFirmwareUpgrade(name, ns).Operation(name).App("app").
				Expected(9).MaxFailed("5", 0).Settle(0).Obj()
			if err := k8s.Create(t.Context(), fwu); err != nil {
				t.Fatal(err)
			}
			reconcileThrough(t, s, fwu, k)
			want := map[string]int{"Started": 1, "DeviceFailed": 3, "DevicesFailed": 1, "Degraded": 1, "Finished": 1}
			got, failures := eventsAbout(t, fwu)
			if diff := cmp.Diff(want, got); diff != "" || failures != 9 {
				t.Errorf("%s: %d failures announced, want 9; Events (-want +got):\n%s", name, failures, diff)
			}
			killedSomewhere = killedSomewhere || k.dead
			if !k.dead { // more writes than there are: every step was tried
				break
			}
			if writes > 100 {
				t.Fatal("the reconcilers never come to rest")
			}
		}
	}
	if !killedSomewhere {
		t.Fatal("nobody was killed: the test tests nothing")
	}
}

// reconcileThrough feeds 3 failures, then 6 more, to a leader; where it dies, another one takes over.
func reconcileThrough(t *testing.T, s *store.Store, fwu *v1alpha1.FirmwareUpgrade, k *killer) {
	t.Helper()
	leader := newLeader(t, k.client(), s)
	req := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(fwu)}
	task := result.Task{AppID: "app", OperationID: fwu.Name}
	for _, failed := range [][2]int{{0, 3}, {3, 9}} {
		var batch []result.Result
		for d := failed[0]; d < failed[1]; d++ {
			batch = append(batch, reported(fwu.Name, d, storage.StateFailed, "Invalid URI"))
		}
		storeSlice(t, batch...)
		harness.Eventually(t, func() string {
			if n := len(s.FailuresFrom(task, 0, 100)); n != failed[1] {
				return fmt.Sprintf("the store has %d failures, want %d", n, failed[1])
			}
			return ""
		})
		for range 5 {
			for _, reconcile := range []func(context.Context, ctrl.Request) (ctrl.Result, error){
				leader.status.Reconcile, leader.events.Reconcile,
			} {
				if _, err := reconcile(t.Context(), req); err != nil {
					if !errors.Is(err, errKilled) {
						t.Fatal(err)
					}
					leader = newLeader(t, (&killer{left: 1 << 30}).client(), s)
					break
				}
			}
		}
	}
}

// eventsAbout counts the stored Events about an object by reason, and what they announce.
func eventsAbout(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) (byReason map[string]int, failures int64) {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(fwu.Namespace)); err != nil {
		t.Fatal(err)
	}
	byReason = map[string]int{}
	for i := range list.Items {
		e := &list.Items[i]
		if e.Regarding.UID != fwu.UID {
			continue
		}
		byReason[e.Reason]++
		if n := e.Annotations[annotationFailures]; n != "" {
			announced, err := strconv.ParseInt(n, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			failures += announced
		}
	}
	return byReason, failures
}

// 200 upgrades that begin, break their policy and end at once, while the API server refuses Events for a while: in the
// end every Event is there once, none before the time at which it was created.
func TestManyUpgradesWhileEventsAreRefused(t *testing.T) {
	const upgrades = 200
	ns := harness.NewNamespace(t, k8s)
	allow := refuseEvents(t, ns)
	startControllers(t, nil)
	made := map[types.UID]*v1alpha1.FirmwareUpgrade{}
	for i := range upgrades {
		name := fmt.Sprintf("many-%03d", i)
		fwu := wrappers.MakeFirmwareUpgrade(name, ns).Operation(name).App("app").Expected(3).MaxFailed("0", 0).Settle(0).Obj()
		if err := k8s.Create(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
		made[fwu.UID] = fwu
	}
	for device, state := range []storage.State{storage.StateSucceeded, storage.StateFailed, storage.StateSucceeded} {
		var batch []result.Result
		for i := range upgrades {
			batch = append(batch, reported(fmt.Sprintf("many-%03d", i), device, state, "Invalid URI"))
		}
		storeSlice(t, batch...)
	}
	awaitFinished(t, ns, upgrades)
	allowed := time.Now()
	allow()
	want := map[string]int{"Started": upgrades, "DeviceFailed": upgrades, "Degraded": upgrades, "Finished": upgrades}
	harness.Eventually(t, func() string {
		list := &eventsv1.EventList{}
		if err := k8s.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		perObject := map[string]int{}
		for _, e := range list.Items {
			got[e.Reason]++
			if perObject[string(e.Regarding.UID)+e.Reason]++; perObject[string(e.Regarding.UID)+e.Reason] > 1 {
				t.Fatalf("%s was announced twice about %s", e.Reason, e.Regarding.Name)
			}
			if e.EventTime.Time.Before(allowed.Add(-time.Second)) {
				t.Fatalf("eventTime of %s is %s, although Events were refused until %s", e.Reason, e.EventTime, allowed)
			}
			if e.Annotations[annotationPlanTime] == "" {
				t.Fatalf("%s does not say when it was planned", e.Reason)
			}
		}
		return cmp.Diff(want, got)
	})
	harness.Eventually(t, func() string { // and the record of them is kept small
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := k8s.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for _, f := range list.Items {
			if len(f.Status.OperatorState.Outbox) > 0 {
				return f.Name + " has Events in its outbox that were delivered"
			}
		}
		return ""
	})
}

func awaitFinished(t *testing.T, ns string, n int) {
	t.Helper()
	harness.Eventually(t, func() string {
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := k8s.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		finished := 0
		for _, f := range list.Items {
			if f.Status.CompletionTime != nil {
				finished++
			}
		}
		if finished != n {
			return fmt.Sprintf("%d of %d upgrades finished", finished, n)
		}
		return ""
	})
}

// refuseEvents has the API server refuse Events in a namespace until allow is called.
func refuseEvents(t *testing.T, ns string) (allow func()) {
	t.Helper()
	name := "refuse-events-" + ns
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule: admissionv1.Rule{
						APIGroups:   []string{"events.k8s.io"},
						APIVersions: []string{"*"},
						Resources:   []string{"events"},
					},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: fmt.Sprintf("request.namespace != %q", ns), Message: "not now"}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	for _, o := range []client.Object{policy, binding} {
		if err := k8s.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	probe := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:    ns,
			GenerateName: "probe-",
		}, EventTime: metav1.NowMicro(), Action: "Probe", Reason: "Probe",
		ReportingController: "test", ReportingInstance: "test", Type: corev1.EventTypeNormal,
		Regarding: corev1.ObjectReference{Kind: "Namespace", Namespace: ns, Name: ns},
	}
	harness.Eventually(t, func() string { // the API server takes a moment to heed a policy
		if err := k8s.Create(t.Context(), probe.DeepCopy(), client.DryRunAll); err == nil {
			return "Events are still allowed"
		}
		return ""
	})
	return func() {
		for _, o := range []client.Object{binding, policy} {
			if err := k8s.Delete(context.WithoutCancel(t.Context()), o); err != nil {
				t.Error(err)
			}
		}
	}
}

// An admission policy that refuses Events for longer than an hour delays them.
func TestEventsRefusedForLongAreCreatedLater(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	allow := refuseEvents(t, ns)
	events := newLeader(t, k8s, startStore(t)).events
	events.clock = clocktesting.NewFakeClock(time.Now().Add(2 * time.Hour))
	fwu := withOutbox(t, ns,
		v1alpha1.OutboxEvent{Type: corev1.EventTypeNormal, Reason: "Started", Note: "The first device has reported"},
		v1alpha1.OutboxEvent{Type: corev1.EventTypeWarning, Reason: "DeviceFailed", Note: "d failed", Failures: 1},
	)
	req := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(fwu)}
	for range 2 {
		if _, err := events.Reconcile(t.Context(), req); err == nil {
			t.Fatal("Events that were refused count as created")
		}
	}
	allow()
	harness.Eventually(t, func() string { // the API server takes a moment to heed that
		result, err := events.Reconcile(t.Context(), req)
		switch {
		case err != nil:
			return err.Error()
		case result.RequeueAfter > 0:
			return "there is more to create"
		}
		return ""
	})
	want := map[string]int{"Started": 1, "DeviceFailed": 1}
	if got, failures := eventsAbout(t, fwu); !cmp.Equal(want, got) || failures != 1 {
		t.Errorf("want %v, got %v with %d failures", want, got, failures)
	}
}

// An Event that the API server finds malformed is tried as it is for some minutes, and then created with what the sums
// follow from, which the log tells; one that can't be created even so is given up after a while, and keeps nothing else
// from being told.
func TestMalformedEvents(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	events := newLeader(t, k8s, startStore(t)).events
	fwu := withOutbox(t, ns,
		v1alpha1.OutboxEvent{
			Type: corev1.EventTypeWarning, Reason: "DevicesFailed", Note: strings.Repeat("x", 2000), Failures: 7,
			Cause: "Invalid URI", Devices: []string{"d1"},
		},
		v1alpha1.OutboxEvent{Type: corev1.EventTypeWarning, Note: "it has no reason"},
	)
	req := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(fwu)}
	var logged strings.Builder
	logger := funcr.New(func(_, args string) { logged.WriteString(args + "\n") }, funcr.Options{})
	ctx := ctrl.LoggerInto(t.Context(), logger)
	name := newEvent(fwu, 1, fwu.Status.OperatorState.Outbox[0], time.Now(), "").Name
	check := func(want map[string]int, wantFailures int64, wantLogged ...string) {
		t.Helper()
		if got, failures := eventsAbout(t, fwu); !cmp.Equal(want, got) || failures != wantFailures {
			t.Errorf("want %v with %d failures, got %v with %d", want, wantFailures, got, failures)
		}
		for _, text := range wantLogged {
			if !strings.Contains(logged.String(), text) {
				t.Errorf("want %q in the log, got %s", text, logged.String())
			}
		}
	}
	_, err := events.Reconcile(ctx, req)
	if err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("want an error that names the Event %s, got %v", name, err)
	}
	check(map[string]int{}, 0)
	events.clock = clocktesting.NewFakeClock(time.Now().Add(2 * minimalAfter))
	if _, err := events.Reconcile(ctx, req); err == nil {
		t.Error("what can't be created was given up at once")
	}
	check(map[string]int{"DevicesFailed": 1}, 7, name, "Left the text of an Event out", "1024 characters")
	events.clock = clocktesting.NewFakeClock(time.Now().Add(2 * malformedFor))
	if _, err := events.Reconcile(ctx, req); err != nil {
		t.Errorf("it was not given up: %v", err)
	}
	check(map[string]int{"DevicesFailed": 1}, 7, "Gave an Event up")
}

// Who denies an Event may name fields, and is no reason to give it up.
func TestIsMalformed(t *testing.T) {
	invalid := func(message string, causes ...metav1.StatusCause) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Reason: metav1.StatusReasonInvalid, Message: message, Details: &metav1.StatusDetails{Causes: causes},
		}}
	}
	field := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "note", Message: "too long"}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none":            {nil, false},
		"a wrong field":   {invalid(`Event "e" is invalid: note: too long`, field), true},
		"a policy":        {invalid(`events "e" is forbidden: policy denied request`, metav1.StatusCause{Message: "no"}), false},
		"a webhook":       {invalid(`admission webhook "w" denied the request: note: too long`, field), false},
		"no details":      {invalid("no"), false},
		"another failure": {apierrors.NewForbidden(schema.GroupResource{}, "e", errKilled), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isMalformed(c.err); got != c.want {
				t.Errorf("want %t, got %t", c.want, got)
			}
		})
	}
}

// withOutbox creates a FirmwareUpgrade that planned Events just now.
func withOutbox(t *testing.T, ns string, planned ...v1alpha1.OutboxEvent) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	for i := range planned {
		planned[i].PlanTime = metav1.NowMicro()
	}
	fwu := create(t, wrappers.MakeFirmwareUpgrade("planned", ns).Operation("planned-"+ns).App("app"))
	fwu.Status.OperatorState = v1alpha1.OperatorState{Sequence: int64(len(planned)), Outbox: planned}
	if err := k8s.Status().Update(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	return fwu
}

// A status that somebody else wrote is put right, counts included.
func TestForeignStatusIsPutRight(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	fwu := wrappers.MakeFirmwareUpgrade("foreign", ns).Operation("foreign-" + ns).App("app").Expected(1).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	startControllers(t, nil)
	storeSlice(t, reported(fwu.Spec.OperationID, 1, storage.StateSucceeded, ""))
	awaitFinished(t, ns, 1)
	key := client.ObjectKeyFromObject(fwu)
	harness.Eventually(t, func() string { // the record of the Events is the last that is written
		if err := k8s.Get(t.Context(), key, fwu); err != nil {
			t.Fatal(err)
		}
		if len(fwu.Status.OperatorState.Outbox) > 0 {
			return "Events wait"
		}
		return ""
	})
	want := fwu.Status.DeepCopy()
	fwu.Status.Devices.Succeeded, fwu.Status.Phase = 99, v1alpha1.PhaseFailed
	fwu.Status.OperatorState = v1alpha1.OperatorState{}
	fwu.Status.Conditions[0].Status = metav1.ConditionFalse
	fwu.Status.Conditions[0].Reason = v1alpha1.ReasonResultsIncomplete
	if err := k8s.Status().Update(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), key, fwu); err != nil {
			t.Fatal(err)
		}
		if status.Compare(*want, fwu.Status) != status.Nothing {
			return cmp.Diff(*want, fwu.Status)
		}
		return ""
	})
	if got, _ := eventsAbout(t, fwu); got["Finished"] != 1 || got["Started"] != 1 {
		t.Errorf("Events were repeated: %v", got)
	}
}

// What was announced leaves the outbox, whether somebody waited for all of it, for some of it or for none.
func TestOutboxEmpties(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	startControllers(t, nil)
	fwu := create(t, wrappers.MakeFirmwareUpgrade("emptied", ns).Operation("emptied-"+ns).App("app").Expected(9))
	for d, state := range []storage.State{storage.StateSucceeded, storage.StateFailed, storage.StateFailed} {
		storeSlice(t, reported(fwu.Spec.OperationID, d, state, "no space"))
		awaitReported(t, fwu, int64(d+1))
		await(t, fwu, func() string {
			if st := fwu.Status.OperatorState; st.Sequence == 0 || len(st.Outbox) > 0 {
				return fmt.Sprintf("after result %d: of %d planned Events %d are still there", d, st.Sequence, len(st.Outbox))
			}
			return ""
		})
	}
}

// An outbox with a Warning is delivered before others that waited longer.
func TestWarningsAreAnnouncedFirst(t *testing.T) {
	q := priorityqueue.New[reconcile.Request]("outboxes")
	defer q.ShutDown()
	r := &eventReconciler{deliveries: newDeliveries()}
	for _, box := range []struct{ name, kind string }{
		{"begun", corev1.EventTypeNormal}, {"failed", corev1.EventTypeWarning}, {"ended", corev1.EventTypeNormal},
	} {
		fwu := wrappers.MakeFirmwareUpgrade(box.name, "ns").Obj()
		fwu.Status.OperatorState = v1alpha1.OperatorState{Sequence: 1, Outbox: []v1alpha1.OutboxEvent{{Type: box.kind}}}
		r.enqueue(fwu, q)
	}
	var got []string
	for range 3 {
		request, _, _ := q.GetWithPriority()
		q.Done(request)
		got = append(got, request.Name)
	}
	if got[0] != "failed" {
		t.Errorf("the order is %v, want failed first", got)
	}
}
