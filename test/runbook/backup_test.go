// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// TestRestoreFromBackup backs up, removes the operator with all that it stored, and restores as the page says. All
// counts are as before, no Event is told a second time, and what task was created is known by its record.
func TestRestoreFromBackup(t *testing.T) {
	w := start(t, local.Options{})
	// One that has finished and whose results retention removed, and one under way, with a policy that is broken since
	// its spec was changed: its generation is not 1.
	w.declare(t, "meters-1.5", "an-older-task", 40)
	w.push(t, "an-older-task", 40, 0.2)
	w.awaitCounts(t, "meters-1.5", 32, 8)
	w.declare(t, upgradeName, operationID, 80)
	plan := newPlan(t, 80)
	w.pushSome(t, plan, 0, 60)
	w.kubectl(t, "-n", fleet, "patch", "fwu", upgradeName, "--type=merge", "-p",
		`{"spec": {"failurePolicy": {"maxFailed": 2}}}`)
	w.kubectl(t, "-n", fleet, "wait", "--for=condition=Degraded", "fwu/"+upgradeName, "--timeout=1m")
	w.kubectl(t, "-n", fleet, "patch", "fwu", "meters-1.5", "--type=merge", "-p", `{"spec": {"retainResultsSeconds": 0}}`)
	w.kubectl(t, "-n", fleet, "wait", "--for=jsonpath={.status.archiveTime}", "fwu/meters-1.5", "--timeout=1m")
	w.awaitPart(t, plan, 60)
	w.push(t, "undeclared", 5, 0)
	w.awaitPlaceholder(t, "5")
	before := map[string]told{}
	for _, name := range []string{"meters-1.5", upgradeName} {
		before[name] = w.told(t, name)
	}
	// An application with its Secrets.
	w.kubectl(t, "apply", "-f", "config/samples/platform/secrets.yaml",
		"-f", "config/samples/platform/iotapplication.yaml")
	wave := w.declareCreated(t, "meters-1.7", "a-created-task")

	w.section(t, "Back up").run(t, "backup/secrets.json")
	w.kubectl(t, "delete", "--ignore-not-found", "-f", "dist/install.yaml", "--timeout=2m")

	s := w.section(t, "Restore from the backup")
	s.run(t, "replicas=0")
	s.run(t, "secrets.json")
	s.run(t, "stored.json")
	s.run(t, "replicas=2")
	w.awaitPlaceholder(t, "5")
	w.kubectl(t, "get", "iotapplication/meters")
	w.kubectl(t, "-n", "fwupgrade-system", "get", "secret/meters-platform", "secret/meters-client")
	s.run(t, "verify")
	w.awaitCreated(t, wave, "a-created-task")
	for name, want := range before {
		if diff := cmp.Diff(want, w.told(t, name)); diff != "" {
			t.Errorf("%s before and after (-want +got):\n%s", name, diff)
		}
	}
	// What comes now is counted and told as ever: 20 devices more, and the end.
	w.pushSome(t, plan, 60, 80)
	w.awaitPart(t, plan, 80)
	harness.Eventually(t, func() string {
		if got := w.told(t, upgradeName); got.Events["Finished"] != 1 || got.Events["Degraded"] != 1 ||
			got.Announced != int(got.Devices.Failed+got.Devices.Recovered) {
			return cmp.Diff(before[upgradeName], got)
		}
		return ""
	})
}

// declareCreated declares an upgrade whose task was created, as its record says.
func (w *world) declareCreated(t *testing.T, name, operation string) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	wave := wrappers.MakeFirmwareUpgrade(name, fleet).App(appID).Task("a", "b").Obj()
	wave.Spec.Task.CreateBefore = metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	record := storage.FirmwareUpgradeTaskRecordSpec{
		AppID: appID, RequestHash: creation.Hash(appID, wave.Spec.Task), Attempt: 1,
		Outcome: &storage.TaskOutcome{
			Time: metav1.NowMicro(), Result: storage.TaskResultCreated, OperationID: operation, How: storage.TaskAnswered,
		},
	}
	for _, object := range []client.Object{
		&storage.FirmwareUpgradeTaskRecord{
			ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: creation.Name(&record)}, Spec: record,
		},
		wave,
	} {
		if err := w.k8s.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitCreated(t, wave, operation)
	return wave
}

// awaitCreated waits until an upgrade follows the task that was created, and the record of that is the one there was.
func (w *world) awaitCreated(t *testing.T, wave *v1alpha1.FirmwareUpgrade, operation string) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := w.k8s.Get(t.Context(), client.ObjectKeyFromObject(wave), wave); err != nil {
			return err.Error()
		}
		if of := wave.Status.Task; wave.Status.OperationID != operation || of == nil || of.State != v1alpha1.TaskCreated {
			return "it does not follow the task that was created"
		}
		return ""
	})
	records := &storage.FirmwareUpgradeTaskRecordList{}
	if err := w.k8s.List(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if len(records.Items) != 1 || records.Items[0].Spec.Outcome == nil ||
		records.Items[0].Spec.Outcome.How != storage.TaskAnswered {
		t.Errorf("want the one record that the platform answered, there are %+v", records.Items)
	}
}

// newPlan plans the upgrade of the page, of which a test pushes parts.
func newPlan(t *testing.T, devices int) *platform.Plan {
	t.Helper()
	plan, err := platform.NewPlan(platform.PlanOptions{
		Devices: devices, Tasks: 1, Fail: 0.1, Seed: 1, AppID: appID, OperationID: operationID,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// awaitPart waits until the upgrade of the page counts the first pushes of the plan.
func (w *world) awaitPart(t *testing.T, plan *platform.Plan, pushes int) {
	t.Helper()
	counts := plan.Counts(func(i int) bool { return i < pushes })[0]
	w.awaitCounts(t, upgradeName, counts.Succeeded, counts.Failed)
}

// told is what people were told of a FirmwareUpgrade.
type told struct {
	Devices   v1alpha1.DeviceCounts
	Phase     v1alpha1.Phase
	Events    map[string]int
	Announced int
}

func (w *world) told(t *testing.T, name string) told {
	t.Helper()
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := w.k8s.Get(t.Context(), client.ObjectKey{Namespace: fleet, Name: name}, fwu); err != nil {
		t.Fatal(err)
	}
	events, announced := w.events(t, name)
	return told{Devices: fwu.Status.Devices, Phase: fwu.Status.Phase, Events: events, Announced: announced}
}

// awaitPlaceholder waits until the one placeholder counts so many devices.
func (w *world) awaitPlaceholder(t *testing.T, want string) {
	t.Helper()
	harness.Eventually(t, func() string {
		if got := w.kubectl(t, "-n", "default", "get", "fwu", "-o",
			"jsonpath={.items[*].status.devices.succeeded}"); got != want {
			return "the placeholder counts " + got
		}
		return ""
	})
}

// TestRestoreFromSnapshot takes a snapshot of etcd, loses what comes later, and restores.
func TestRestoreFromSnapshot(t *testing.T) {
	w := start(t, local.Options{})
	w.declare(t, upgradeName, operationID, 60)
	plan := newPlan(t, 60)
	w.pushSome(t, plan, 0, 40)
	w.awaitPart(t, plan, 40)

	s := w.section(t, "Restore from a snapshot of etcd")
	s.run(t, "snapshot save")
	w.push(t, "later", 50, 0)
	w.awaitPlaceholder(t, "50")
	if err := w.cluster.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := w.cluster.KillEtcd(); err != nil {
		t.Fatal(err)
	}
	s.run(t, "snapshot restore")
	if err := w.cluster.RestartEtcd(); err != nil {
		t.Fatal(err)
	}
	if err := w.cluster.RestartAPIServer(); err != nil {
		t.Fatal(err)
	}
	s.run(t, "rollout restart")
	w.awaitUp(t)
	w.awaitPart(t, plan, 40)
	w.awaitPlaceholder(t, "")
	s.run(t, "verify")
	w.pushSome(t, plan, 40, 60)
	w.awaitPart(t, plan, 60)
}
