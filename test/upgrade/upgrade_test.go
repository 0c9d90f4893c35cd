// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upgrade tests that the operator is upgraded under load from another commit to this one, back, and forward
// again, as docs/upgrading.md says: with manifests and processes of both, side by side for a while.
package upgrade

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// fromVariable names the commit to come from: a revision as git knows it. `make e2e-upgrade` sets it.
const fromVariable = "FROM"

// overlap is how many pushes are sent in each state in which two versions run beside each other.
const overlap = 100

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // of envtest
	goleak.VerifyTestMain(m)
}

// TestForwardBackForward holds, for each step and under load: every push is answered 200; every device is counted once,
// in the right state, by the version that runs then; each failure and each end is told once; and no verdict changes
// because of the step.
func TestForwardBackForward(t *testing.T) {
	name := os.Getenv(fromVariable)
	if name == "" {
		t.Skip("SKIPPED: run `make e2e-upgrade`, or set FROM to the revision to come from")
	}
	from, to := revision(t, name), thisCommit(t)
	s := begin(t, from, to)
	for _, step := range []struct {
		name string
		to   *version
	}{{"forward", to}, {"back", from}, {"again", to}} {
		if s.step(t, step.name, step.to); t.Failed() {
			t.FailNow() // the processes of a step outlast it, so it is no subtest
		}
	}
	for _, u := range s.upgrades {
		s.checkEvents(t, u)
	}
}

// scenario is an installation with what goes on in it.
type scenario struct {
	*installation
	versions  []*version
	namespace string
	sender    *sender
	recorder  *recorder
	store     types.UID
	// running is declared, undeclared is not; both are pushed from the beginning to the end.
	running, undeclared *upgrade
	// upgrades are all that have to be right in the end.
	upgrades []*upgrade
}

// begin installs the first version, and lets all tasks begin that last.
func begin(t *testing.T, from, to *version) *scenario {
	t.Helper()
	in := install(t, from)
	s := &scenario{installation: in, versions: []*version{from, to}}
	s.recorder = record(t, in.k8s)
	s.namespace = harness.NewNamespace(t, in.k8s)
	s.sender = newSender(t, "http://"+in.service.address()+local.CallbackPath+"/"+secret)
	lasting := platform.PlanOptions{
		Devices: 20_000, Fail: 0.1, Retries: 0.3, StateChanges: 0.3, Unfinished: 0.05, Duplicates: 0.05, Reorder: 20, Seed: 1,
	}
	running := newTask(t, "running", lasting)
	s.running = declare(t, in.k8s, running, s.namespace, func(spec *v1alpha1.FirmwareUpgradeSpec) {
		*spec.ExpectedDevices++ // it does not end
	})
	s.running.told = "Started"
	lasting.Seed++
	undeclared := newTask(t, "undeclared", lasting)
	s.sender.push(running, overlap)
	s.sender.push(undeclared, overlap)
	s.undeclared = placeholder(t, in.k8s, undeclared)
	s.undeclared.told = "PlaceholderCreated Started"
	s.upgrades = append(s.upgrades, s.running, s.undeclared)
	s.store = s.storeUID(t)
	s.check(t)
	return s
}

// step upgrades the operator, or takes it back, while the platform pushes.
func (s *scenario) step(t *testing.T, name string, to *version) {
	t.Helper()
	t.Logf("%s, to %s", name, to.name)
	c := s.cast(t, name)
	stopPushing := s.sender.background(s.running.task, s.undeclared.task)
	s.apply(t, to) // the old version goes on with the new manifests
	s.goOn(t)
	s.replaceWebhook(t, 0, to)
	s.replaceStandby(t, to)
	s.goOn(t) // the old leader reads what both webhooks store
	c.change(t)
	s.replaceLeader(t, to)
	s.goOn(t) // the new leader reads what both webhooks store
	s.replaceWebhook(t, 1, to)
	s.goOn(t)
	s.stopping.Wait()
	stopPushing()
	c.complete(t)
	s.check(t)
}

// goOn waits until more was pushed, and some of it counted.
func (s *scenario) goOn(t *testing.T) {
	t.Helper()
	s.running.get(t, s.k8s)
	sent, before := s.sender.count(), s.running.fwu.Status.Devices.Succeeded
	harness.Eventually(t, func() string {
		s.running.get(t, s.k8s)
		if s.sender.count() < sent+overlap || s.running.fwu.Status.Devices.Succeeded <= before {
			return "nothing more is counted"
		}
		return ""
	})
}

// check holds that everything is right while nothing is pushed.
func (s *scenario) check(t *testing.T) {
	t.Helper()
	s.sender.check(t)
	for _, u := range s.upgrades {
		u.awaitCounts(t, s.k8s)
		s.checkDevices(t, u)
	}
	s.checkStored(t, s.versions...)
	s.recorder.check(t)
	if uid := s.storeUID(t); uid != s.store {
		t.Errorf("the ResultStore is another one: %s, not %s", uid, s.store)
	}
}

// storeUID returns which ResultStore there is.
func (s *scenario) storeUID(t *testing.T) types.UID {
	t.Helper()
	list := &storage.ResultStoreList{}
	must(t, s.k8s.List(t.Context(), list))
	if len(list.Items) != 1 || list.Items[0].Spec.Namespace != operatorNamespace {
		t.Fatalf("want one ResultStore, of %s, got %+v", operatorNamespace, list.Items)
	}
	return list.Items[0].UID
}

// cast are the FirmwareUpgrades of one step: each is touched by the version before it, and by the one after.
type cast struct {
	*scenario
	broken, late, purged, recreated *upgrade
}

// cast pushes some tasks while one version runs alone.
func (s *scenario) cast(t *testing.T, step string) *cast {
	t.Helper()
	c := &cast{scenario: s}
	// No steps and no repetitions: what comes of a device after its failure would keep the end open.
	plan := platform.PlanOptions{Devices: 100, Fail: 0.2, Retries: 0.3}
	task := func(name string) *task {
		plan.Seed++
		return newTask(t, name+"-"+step, plan)
	}
	// Ended before: nothing may change of it, until the end of the test.
	ended := declare(t, s.k8s, task("ended"), s.namespace, nil)
	ended.told = "Started Finished DevicesRecovered"
	c.broken = declare(t, s.k8s, task("broken"), s.namespace, func(spec *v1alpha1.FirmwareUpgradeSpec) {
		spec.FailurePolicy = &v1alpha1.FailurePolicy{MaxFailed: intstr.FromInt32(2)}
	})
	c.broken.told = "Started Degraded Finished DevicesRecovered"
	c.purged = declare(t, s.k8s, task("purged"), s.namespace, func(spec *v1alpha1.FirmwareUpgradeSpec) {
		spec.DeletionPolicy = v1alpha1.DeletionPolicyPurge
	})
	c.recreated = declare(t, s.k8s, task("recreated"), s.namespace, nil)
	c.late = &upgrade{task: task("late")}

	s.sender.push(ended.task, ended.task.plan.Len())
	s.sender.push(c.purged.task, c.purged.task.plan.Len())
	for _, half := range []*upgrade{c.broken, c.recreated, c.late} {
		s.sender.push(half.task, half.task.plan.Len()/2)
	}
	placeholder(t, s.k8s, c.late.task).awaitCounts(t, s.k8s)
	for _, u := range []*upgrade{ended, c.broken, c.purged, c.recreated} {
		u.awaitCounts(t, s.k8s)
	}
	ended.awaitFinished(t, s.k8s)
	s.upgrades = append(s.upgrades, ended, c.broken)
	return c
}

// change is what people do while both versions run: the old leader begins what the new one ends.
func (c *cast) change(t *testing.T) {
	t.Helper()
	c.recreated.remove(t, c.k8s)
	c.recreated.awaitGone(t, c.k8s)
	c.recreated = declare(t, c.k8s, c.recreated.task, c.namespace, nil)
	c.late = declare(t, c.k8s, c.late.task, c.namespace, nil)
	c.purged.remove(t, c.k8s)
	for _, u := range []*upgrade{c.recreated, c.late} {
		u.told = "Started Finished DevicesRecovered"
		c.upgrades = append(c.upgrades, u)
	}
}

// complete pushes what is left while the other version runs alone.
func (c *cast) complete(t *testing.T) {
	t.Helper()
	for _, u := range []*upgrade{c.broken, c.recreated, c.late} {
		c.sender.push(u.task, u.task.plan.Len()-u.task.plan.Len()/2)
		u.awaitFinished(t, c.k8s)
	}
	c.purged.awaitGone(t, c.k8s)
	// Declared again there is nothing left of it.
	nothing := &task{plan: c.purged.task.plan, answered: make([]bool, c.purged.task.plan.Len())}
	c.upgrades = append(c.upgrades, declare(t, c.k8s, nothing, c.namespace, nil))
}
