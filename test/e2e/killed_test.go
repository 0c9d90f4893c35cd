// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// 200 means stored: whichever process is killed while pushes go on, every result that was answered 200 is counted, and
// every failure is announced once.
func TestKilledProcessesLoseNothing(t *testing.T) {
	webhook := startWebhook(t)
	controllers := startControllers(t)
	plan := newPlan(t, platform.PlanOptions{Devices: 5000, Tasks: 1, Fail: 0.05, Retries: 0.5, Duplicates: 0.02, Seed: 11})
	fwu := declare(t, harness.NewNamespace(t, k8s), "killed", plan, 5000)
	type outcome struct {
		report *platform.Report
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := platform.Push(t.Context(), plan, platform.PushOptions{
			URL: callbackURL(webhook), Rate: 100, Concurrency: 16, RetryDelay: 200 * time.Millisecond,
			BlacklistDuration: 500 * time.Millisecond, MaxDuration: 5 * time.Minute,
		})
		done <- outcome{report, err}
	}()
	awaitSome(t, fwu)
	must(t, cluster.KillAPIServer())
	must(t, cluster.RestartAPIServer())
	revive := func() { controllers = revived(t, controllers) }
	awaitMore(t, fwu, revive)
	must(t, cluster.KillEtcd())
	must(t, cluster.RestartEtcd())
	awaitMore(t, fwu, revive)
	kill(t, controllers)
	kill(t, webhook)
	start(t, "webhook", webhookAgain(t, webhook))
	startControllers(t)

	end := <-done
	if end.err != nil {
		t.Fatal(end.err)
	}
	if !end.report.Complete {
		t.Fatalf("not everything was delivered: %+v", end.report)
	}
	want := plan.Counts(nil)[0]
	awaitCounts(t, fwu, pushed(want))
	awaitAnnounced(t, fwu, want.Failures())
	t.Logf(
		"%d of %d pushes were refused or unanswered meanwhile",
		end.report.Refused+end.report.Unanswered,
		end.report.Sent,
	)
}

// A webhook that is told to stop goes on answering 200 until nobody sends any more, and what it answered is stored.
func TestStoppingWebhookRefusesNothing(t *testing.T) {
	first := startWebhook(t, "--drain-duration=20s")
	startControllers(t)
	plan := newPlan(t, platform.PlanOptions{Devices: 900, Tasks: 1, Seed: 12})
	fwu := declare(t, harness.NewNamespace(t, k8s), "stopping", plan, 900)
	done := make(chan *platform.Report, 1)
	go func() {
		report, err := platform.Push(
			t.Context(),
			plan,
			platform.PushOptions{URL: callbackURL(first), Rate: 60, Concurrency: 8, Discard: true},
		)
		if err != nil {
			t.Error(err)
		}
		done <- report
	}()
	awaitSome(t, fwu)
	stopped := make(chan error, 1)
	go func() { stopped <- first.Stop(t.Context()) }()
	harness.Eventually(t, func() string {
		if first.Ready(t.Context()) {
			return "it is still ready"
		}
		return ""
	})
	select {
	case <-done:
		t.Fatal("everything was pushed before it stopped: the test tests nothing")
	default:
	}
	report := <-done
	must(t, <-stopped)
	if report == nil || !report.Complete {
		t.Fatalf("pushes were refused while it was draining: %+v", report)
	}
	awaitCounts(t, fwu, pushed(plan.Counts(nil)[0]))
}

// revived returns the controllers, started again where they have ended by themselves: a leader does when it can't renew
// its lease for 10 s, and a kubelet starts it again.
func revived(t *testing.T, controllers *local.Manager) *local.Manager {
	t.Helper()
	select {
	case <-controllers.Done():
		killed[controllers] = true
		return startControllers(t)
	default:
		return controllers
	}
}

// awaitMore waits until the status counts more than now, and does something else before each look.
func awaitMore(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, meanwhile func()) {
	t.Helper()
	before := fwu.Status.Devices.Succeeded
	awaitStatus(t, fwu, func(st v1alpha1.FirmwareUpgradeStatus) string {
		meanwhile()
		if st.Devices.Succeeded <= before {
			return "nothing more is counted"
		}
		return ""
	})
}

// webhookAgain are the arguments of a webhook in the place of another.
func webhookAgain(t *testing.T, before *local.Manager) []string {
	t.Helper()
	return append(webhookArgs(t), "--callback-bind-address="+before.CallbackAddress)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
