// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// consumer reads the Events of a namespace as exporters do: each one once, when it is added, and never again.
type consumer struct {
	mu     sync.Mutex
	added  []eventsv1.Event
	others []string
}

// consume begins before there is any Event, and goes on until the test ends.
func consume(t *testing.T, namespace string) *consumer {
	t.Helper()
	clients, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	events := clients.EventsV1().Events(namespace)
	list, err := events.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// It goes on where it was when a connection breaks, as an informer does.
	watcher, err := toolswatch.NewRetryWatcherWithContext(t.Context(), list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return events.Watch(ctx, o)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, done := &consumer{}, make(chan struct{})
	go func() {
		defer close(done)
		for change := range watcher.ResultChan() {
			c.take(change)
		}
	}()
	t.Cleanup(func() {
		watcher.Stop()
		<-done
	})
	return c
}

func (c *consumer) take(change watch.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := change.Object.(*eventsv1.Event); ok && change.Type == watch.Added {
		c.added = append(c.added, *e)
		return
	}
	c.others = append(c.others, string(change.Type))
}

// seen returns how many Events of each reason were added, and how many failures they announce.
func (c *consumer) seen(t *testing.T) (reasons map[string]int, failures int64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	reasons = map[string]int{}
	for i := range c.added {
		e := &c.added[i]
		reasons[e.Reason]++
		text, announced := e.Annotations["fwupgrade.io/failures"]
		if isFailure := e.Reason == "DeviceFailed" || e.Reason == "DevicesFailed"; isFailure != announced {
			t.Errorf("%s: the annotation is there: %v", e.Reason, announced)
		}
		if announced {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			failures += n
		}
	}
	return reasons, failures
}

// Who handles added Events only learns of every failed device, of the broken policy once and of the end once, although
// the leader is killed in between, twice: docs/events.md promises it.
func TestEventsForWhoReadsAddedOnesOnly(t *testing.T) {
	webhook := startWebhook(t)
	leader := startControllers(t)
	plan := newPlan(t, platform.PlanOptions{Devices: 600, Tasks: 1, Fail: 0.2, Retries: 0.25, Duplicates: 0.05, Seed: 21})
	ns := harness.NewNamespace(t, k8s)
	c := consume(t, ns)
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "consumed"},
		Spec: v1alpha1.FirmwareUpgradeSpec{
			OperationID: plan.OperationID(0), AppID: plan.Options().AppID, ExpectedDevices: new(int64(600)),
			SettleSeconds: new(int64(0)), FailurePolicy: &v1alpha1.FailurePolicy{MaxFailed: intstr.FromInt32(10)},
		},
	}
	must(t, k8s.Create(t.Context(), fwu))
	done := make(chan error, 1)
	go func() {
		report, err := platform.Push(t.Context(), plan, platform.PushOptions{
			URL: callbackURL(webhook), Rate: 60, Concurrency: 8,
		})
		if err == nil && !report.Complete {
			err = fmt.Errorf("not everything was delivered: %+v", report)
		}
		done <- err
	}()
	awaitSome(t, fwu)
	kill(t, leader)
	leader = startControllers(t)
	awaitMore(t, fwu, func() {})
	must(t, <-done)
	kill(t, leader)
	startControllers(t)
	want := plan.Counts(nil)[0]
	awaitCounts(t, fwu, pushed(want))
	awaitAnnounced(t, fwu, want.Failures())
	if want.Recovered == 0 || want.Failed == 0 {
		t.Fatal("nothing failed, or nothing recovered: the test tests nothing")
	}

	harness.Eventually(t, func() string {
		reasons, failures := c.seen(t)
		if reasons["Finished"] == 0 || failures < want.Failures() {
			return fmt.Sprintf("%d of %d failures, %v", failures, want.Failures(), reasons)
		}
		return ""
	})
	reasons, failures := c.seen(t)
	once := map[string]int{"Started": 1, "Degraded": 1, "Finished": 1, "DevicesRecovered": 1}
	got := map[string]int{}
	for reason, n := range reasons {
		if !strings.HasPrefix(reason, "Device") || reason == "DevicesRecovered" {
			got[reason] = n
		}
	}
	if diff := cmp.Diff(once, got); diff != "" {
		t.Errorf("Unexpected Events (-want,+got):\n%s", diff)
	}
	if failures != want.Failures() {
		t.Errorf("the Events announce %d failures, want %d", failures, want.Failures())
	}
	c.check(t, fwu)
}

// check looks at what docs/events.md promises of each Event.
func (c *consumer) check(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.others) > 0 {
		t.Errorf("Events were not only added: %v", c.others)
	}
	names := map[string]bool{}
	for i := range c.added {
		e := &c.added[i]
		planned, err := time.Parse(time.RFC3339Nano, e.Annotations["fwupgrade.io/plan-time"])
		switch {
		case err != nil || planned.After(e.EventTime.Time):
			t.Errorf("%s was planned at %v and created at %v: %v", e.Reason, planned, e.EventTime, err)
		case names[e.Name], !strings.HasPrefix(e.Name, string(fwu.UID)+"."):
			t.Errorf("unexpected name %s", e.Name)
		case e.Regarding.UID != fwu.UID, e.Regarding.Kind != "FirmwareUpgrade", e.Regarding.Name != fwu.Name:
			t.Errorf("%s is about %+v", e.Reason, e.Regarding)
		case e.ReportingController != "fwupgrade.io/operator", e.Action != "Upgrade", e.Series != nil:
			t.Errorf("unexpected %+v", e)
		case e.Reason == "Finished" && e.Type != "Warning":
			t.Errorf("a bad end is a %s", e.Type)
		}
		names[e.Name] = true
	}
}
