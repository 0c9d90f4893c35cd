// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

const (
	callbackPath = "/v1.0.0/messageReceiver"
	secret       = "an-end-to-end-secret"
	stopTimeout  = 40 * time.Second
)

// startWebhook runs the webhook component under its service account until the test ends.
func startWebhook(t *testing.T, args ...string) *local.Manager {
	t.Helper()
	return start(t, "webhook", append(webhookArgs(t), args...))
}

// webhookArgs are the arguments of every webhook.
func webhookArgs(t *testing.T) []string {
	t.Helper()
	secrets := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(secrets, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--callback-secrets-file=" + secrets, "--drain-duration=1s"}
}

// startControllers runs the controllers component under its service account until the test ends.
func startControllers(t *testing.T, args ...string) *local.Manager {
	t.Helper()
	return start(t, "controllers", args)
}

// start runs a component under its service account until the test ends.
func start(t *testing.T, component string, args []string) *local.Manager {
	t.Helper()
	serviceAccount := "fwupgrade-" + component
	config, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, serviceAccount)
	if err != nil {
		t.Fatal(err)
	}
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Config: config, Dir: t.TempDir(), Components: component,
		Args: append(args, "--operator-namespace="+operatorNamespace),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if killed[m] {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := m.Stop(ctx); err != nil && !t.Failed() {
			t.Errorf("%s: %v", serviceAccount, err)
		}
		if t.Failed() {
			t.Logf("%s logged:\n%s", serviceAccount, m.Tail())
		}
	})
	return m
}

// killed are the processes that a test killed on purpose.
var killed = map[*local.Manager]bool{}

// kill ends a process as a crash would.
func kill(t *testing.T, m *local.Manager) {
	t.Helper()
	killed[m] = true
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
}

func callbackURL(m *local.Manager) string {
	return "http://" + m.CallbackAddress + callbackPath + "/" + secret
}

// newPlan plans an upgrade whose ids are the test's own.
func newPlan(t *testing.T, o platform.PlanOptions) *platform.Plan {
	t.Helper()
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	o.AppID, o.OperationID = name, name
	plan, err := platform.NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// push pushes the plan and fails unless everything was delivered.
func push(t *testing.T, plan *platform.Plan, o platform.PushOptions) {
	t.Helper()
	report, err := platform.Push(t.Context(), plan, o)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Complete {
		t.Fatalf("not everything was delivered: %+v", report)
	}
}

// declare creates the FirmwareUpgrade of the plan's first task.
func declare(t *testing.T, namespace, name string, plan *platform.Plan, expected int64) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.FirmwareUpgradeSpec{
			OperationID: plan.OperationID(0), AppID: plan.Options().AppID, ExpectedDevices: &expected,
			SettleSeconds: new(int64(0)), // what failed is not tried again
		},
	}
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	return fwu
}

// counts is what has to agree between what was pushed and what the status says.
type counts struct {
	Succeeded, Failed, InProgress, Recovered int64
	Causes                                   map[string]int64
}

func pushed(c platform.TaskCounts) counts {
	out := counts{c.Succeeded, c.Failed, c.InProgress, c.Recovered, map[string]int64{}}
	for _, r := range c.TopCauses(10) {
		out.Causes[r.Cause] = r.Count
	}
	return out
}

func told(st v1alpha1.FirmwareUpgradeStatus) counts {
	d := st.Devices
	out := counts{d.Succeeded, d.Failed, d.InProgress, d.Recovered, map[string]int64{}}
	for _, r := range st.Details.Causes {
		out.Causes[r.Cause] = r.Count
	}
	return out
}

// awaitCounts waits until the status says what was pushed, and returns it.
func awaitCounts(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want counts) v1alpha1.FirmwareUpgradeStatus {
	t.Helper()
	awaitStatus(t, fwu, func(st v1alpha1.FirmwareUpgradeStatus) string { return cmp.Diff(want, told(st)) })
	return fwu.Status
}

// awaitStatus waits until the condition finds nothing wrong with the status.
func awaitStatus(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, condition func(v1alpha1.FirmwareUpgradeStatus) string) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		return condition(fwu.Status)
	})
}

// awaitAnnounced waits until the Events about the object announce so many failures, and no more.
func awaitAnnounced(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want int64) {
	t.Helper()
	awaitStatus(t, fwu, func(st v1alpha1.FirmwareUpgradeStatus) string {
		if got := st.OperatorState; got.Announced.Failures != want || len(got.Outbox) > 0 {
			return fmt.Sprintf("announced %d of %d, %d in the outbox", got.Announced.Failures, want, len(got.Outbox))
		}
		return ""
	})
	list := &eventsv1.EventList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(fwu.Namespace)); err != nil {
		t.Fatal(err)
	}
	var got int64
	for i := range list.Items {
		if e := &list.Items[i]; e.Regarding.UID == fwu.UID {
			var n int64
			if text := e.Annotations["fwupgrade.io/failures"]; text != "" {
				if _, err := fmt.Sscan(text, &n); err != nil {
					t.Fatal(err)
				}
			}
			got += n
		}
	}
	if got != want {
		t.Errorf("the Events announce %d failures, want %d", got, want)
	}
}
