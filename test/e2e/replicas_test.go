// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// Two webhooks and two controllers, one of which is killed meanwhile, fed the same notifications in another order and
// repeated by both, end in the same status as one.
func TestReplicasEndInTheSameStatus(t *testing.T) {
	ns := harness.NewNamespace(t, k8s)
	options := platform.PlanOptions{
		Devices:      200,
		Tasks:        1,
		Fail:         0.15,
		Retries:      0.4,
		StateChanges: 0.3,
		Unfinished:   0.05,
		Duplicates:   0.1,
		Seed:         7,
	}
	passed := t.Run("one", func(t *testing.T) {
		webhook := startWebhook(t)
		startControllers(t)
		plan := newPlan(t, options)
		fwu := declare(t, ns, "one", plan, 200)
		push(t, plan, platform.PushOptions{URL: callbackURL(webhook), Concurrency: 8})
		awaitCounts(t, fwu, pushed(plan.Counts(nil)[0]))
	})
	if !passed {
		return
	}
	t.Run("two", func(t *testing.T) {
		webhooks := []string{callbackURL(startWebhook(t)), callbackURL(startWebhook(t))}
		first := startControllers(t)
		options.Reorder = 200
		plan := newPlan(t, options)
		fwu := declare(t, ns, "two", plan, 200)
		var both errgroup.Group
		for i, url := range webhooks {
			both.Go(func() error {
				report, err := platform.Push(t.Context(), plan, platform.PushOptions{URL: url, Concurrency: 4 + i, Rate: 200})
				if err == nil && !report.Complete {
					t.Errorf("not everything was delivered: %+v", report)
				}
				return err
			})
		}
		startControllers(t)
		kill(t, first)
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		count := plan.Counts(nil)[0]
		awaitCounts(t, fwu, pushed(count))
		awaitAnnounced(t, fwu, count.Failures())
	})
	var one, two v1alpha1.FirmwareUpgrade
	get(t, ns, "one", &one)
	get(t, ns, "two", &two)
	if diff := cmp.Diff(comparable(one.Status), comparable(two.Status)); diff != "" {
		t.Errorf("one and two replicas differ (-one +two):\n%s", diff)
	}
}

// anyTime is a time in a message.
var anyTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:]+Z`)

// comparable drops times, and samples, of which the newest are shown.
func comparable(st v1alpha1.FirmwareUpgradeStatus) v1alpha1.FirmwareUpgradeStatus {
	out := v1alpha1.FirmwareUpgradeStatus{Phase: st.Phase, Progress: st.Progress, Devices: st.Devices}
	for _, r := range st.Details.Causes {
		out.Details.Causes = append(out.Details.Causes, v1alpha1.CauseCount{Cause: r.Cause, Count: r.Count})
	}
	for _, c := range st.Conditions {
		c.LastTransitionTime.Reset()
		c.Message = anyTime.ReplaceAllString(c.Message, "<time>")
		out.Conditions = append(out.Conditions, c)
	}
	return out
}
