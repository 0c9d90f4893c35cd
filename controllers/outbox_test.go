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

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
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
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			return k.write(func() error { return c.SubResource(sub).Update(ctx, obj, opts...) })
		},
	})
}

// newReconciler makes a leader that has read what is stored.
func newReconciler(t *testing.T, c client.Client, clock *clocktesting.FakeClock, stored []upgrade.Result) *firmwareUpgradeReconciler {
	t.Helper()
	tally := upgrade.NewTally()
	tally.Add(stored)
	tally.Seal()
	m, err := newMetrics(prometheus.NewRegistry(), tally, newSliceIndex(), 1)
	if err != nil {
		t.Fatal(err)
	}
	pace := newPace(1000, clock)
	return &firmwareUpgradeReconciler{
		client: c, tally: tally, windows: newWindows[reconcile.Request](), pace: pace, metrics: m, clock: clock, announce: newAnnouncer(c, pace, m, "test"),
	}
}

// A leader killed before or after any of its writes: the next one announces every failure, once.
func TestOutboxSurvivesAKilledLeader(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	killedSomewhere := false
	for _, afterward := range []bool{false, true} {
		for writes := 0; ; writes++ {
			name := fmt.Sprintf("killed-%d-%t", writes, afterward)
			k := &killer{left: writes, afterward: afterward}
			fwu := wrappers.MakeFirmwareUpgrade(name, ns).Operation(name).App("app").Expected(30).Obj()
			if err := k8s.Create(t.Context(), fwu); err != nil {
				t.Fatal(err)
			}
			runOutbox(t, fwu, k)
			checkAnnounced(t, fwu, 30)
			killedSomewhere = killedSomewhere || k.dead
			if !k.dead { // more writes than there are: every step was tried
				break
			}
			if writes > 100 {
				t.Fatal("the reconciler never comes to rest")
			}
		}
	}
	if !killedSomewhere {
		t.Fatal("nobody was killed: the test tests nothing")
	}
}

// runOutbox feeds 3 failures, then 27 more, to a leader; where it dies, another one takes over.
func runOutbox(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, k *killer) {
	t.Helper()
	var stored []upgrade.Result
	clock := clocktesting.NewFakeClock(fwu.CreationTimestamp.Time)
	leader := newReconciler(t, k.client(), clock, nil)
	req := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(fwu)}
	for _, upTo := range []int{3, 30} {
		var batch []upgrade.Result
		for d := 0; d < upTo; d++ {
			r := failure(d, clock.Now().Add(time.Duration(d)*time.Millisecond), "Invalid URI")
			r.Task = upgrade.Task{AppID: "app", OperationID: fwu.Name}
			r.Normalize()
			batch = append(batch, r)
		}
		stored = append(stored, batch...)
		leader.tally.Add(batch)
		for range 4 {
			for _, reconcile := range []func(context.Context, ctrl.Request) (ctrl.Result, error){leader.Reconcile, leader.announce.Reconcile} {
				if _, err := reconcile(t.Context(), req); err != nil {
					if !errors.Is(err, errKilled) {
						t.Fatal(err)
					}
					leader = newReconciler(t, k8s, clock, stored)
					break
				}
			}
			clock.Step(statusWindow)
		}
	}
}

// checkAnnounced adds up what the stored Events say.
func checkAnnounced(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want int64) {
	t.Helper()
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
		t.Fatal(err)
	}
	if got := fwu.Status.Events; got.Announced != want || len(got.Pending) != 0 {
		t.Errorf("%s: status.events: want %d announced and nothing pending, got %+v", fwu.Name, want, got)
	}
	list := &eventsv1.EventList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(fwu.Namespace)); err != nil {
		t.Fatal(err)
	}
	var announced int64
	named := map[string]int{}
	for i := range list.Items {
		e := &list.Items[i]
		if e.Regarding.UID != fwu.UID || e.Annotations[annotationFailures] == "" {
			continue
		}
		n, err := strconv.ParseInt(e.Annotations[annotationFailures], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		announced += n
		if e.Reason == EventDeviceFailed {
			named[strings.Join(strings.Split(e.Annotations[annotationDevices], ","), "+")]++
		}
	}
	if announced != want {
		t.Errorf("%s: the Events announce %d failures, want %d", fwu.Name, announced, want)
	}
	if diff := cmp.Diff(map[string]int{"d000000": 1, "d000001": 1, "d000002": 1}, named); diff != "" {
		t.Errorf("%s: devices named alone (-want +got):\n%s", fwu.Name, diff)
	}
}

// TestWarningsAreAnnouncedFirst has an outbox with a Warning delivered before others that waited longer.
func TestWarningsAreAnnouncedFirst(t *testing.T) {
	q := priorityqueue.New[reconcile.Request]("outboxes")
	defer q.ShutDown()
	for _, box := range []struct{ name, kind string }{
		{"begun", corev1.EventTypeNormal}, {"failed", corev1.EventTypeWarning}, {"ended", corev1.EventTypeNormal},
	} {
		fwu := wrappers.MakeFirmwareUpgrade(box.name, "ns").Obj()
		fwu.Status.Events.Pending = []v1alpha1.PendingEvent{{Type: box.kind}}
		enqueueOutbox(fwu, q)
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
