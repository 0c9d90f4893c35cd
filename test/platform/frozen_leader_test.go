// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// leaseName is the Lease by which the controllers elect their leader.
const leaseName = "fwupgrade-controllers"

// buildEager builds the manager, which waits for nothing before it has a task created: the six minutes that a leader
// waits would be real ones here. Everything else is what is installed.
func buildEager(t *testing.T) (binary string) {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir, source := t.TempDir(), filepath.Join(root, "controllers", "task_controller.go")
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const waits = "leadBeforeCreating = 6 * time.Minute"
	if strings.Count(string(content), waits) != 1 {
		t.Fatalf("%s does not have %s once", source, waits)
	}
	eager := strings.ReplaceAll(string(content), waits, "leadBeforeCreating = 0 * time.Minute")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: filepath.Join(dir, "eager.go")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"eager.go": []byte(eager), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "manager")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary,
		"./cmd/manager")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the manager: %v: %s", err, out)
	}
	return binary
}

// startLeader runs the controllers as a process, which asks an API server of the test's and comes to lead.
func (w *world) startLeader(binary string, api *heldAnswer) *local.Manager {
	w.t.Helper()
	account, err := cluster.ServiceAccountConfig(w.t.Context(), operatorNamespace, "fwupgrade-controllers")
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := local.StartManager(w.t.Context(), local.ManagerOptions{
		Binary: binary, Config: api.configOf(account), Dir: w.t.TempDir(), Components: "controllers", Output: &logged,
		Args: []string{
			"--operator-namespace=" + operatorNamespace, "--platform-hosts=" + strings.TrimPrefix(w.platform.URL(), "https://"),
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := m.Kill(); err != nil {
			w.t.Error(err)
		}
	})
	w.awaitLease(isHeld)
	return m
}

// awaitLease waits until the lease is as a condition wants it, and returns it.
func (w *world) awaitLease(accepts func(coordinationv1.LeaseSpec) bool) coordinationv1.LeaseSpec {
	w.t.Helper()
	lease := &coordinationv1.Lease{}
	harness.Eventually(w.t, func() string {
		err := k8s.Get(w.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: leaseName}, lease)
		if err != nil {
			return err.Error()
		}
		if !accepts(lease.Spec) {
			return fmt.Sprintf("the lease is held by %q, renewed %s", ptr.Deref(lease.Spec.HolderIdentity, ""),
				lease.Spec.RenewTime)
		}
		return ""
	})
	return lease.Spec
}

// isHeld says that there is a leader.
func isHeld(lease coordinationv1.LeaseSpec) bool { return ptr.Deref(lease.HolderIdentity, "") != "" }

// freeze stops a leader, and returns the lease as it left it. It is stopped between two renewals: one that stands still
// in the middle of one ends at once when it goes on.
func (w *world) freeze(leader *local.Manager) coordinationv1.LeaseSpec {
	w.t.Helper()
	before := w.awaitLease(isHeld)
	lease := w.awaitLease(func(lease coordinationv1.LeaseSpec) bool { return !lease.RenewTime.Equal(before.RenewTime) })
	time.Sleep(500 * time.Millisecond) // until it knows; the next renewal is two seconds later
	if err := leader.Signal(syscall.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
	harness.Eventually(w.t, func() string {
		if leader.Ready(w.t.Context()) {
			return "the leader does not stand still"
		}
		return ""
	})
	return lease
}

// A leader stops (SIGSTOP) when its intent is stored, and before it asks the platform. Another one takes over, finds
// nothing for as long as something may be found, and has the task created. An hour later the first one goes on, as if
// its intent had just been stored: it does not ask the platform. There is one task, and nobody was asked.
func TestFrozenLeader(t *testing.T) {
	binary := buildEager(t)
	w := start(t, quick())
	w.stop()
	api := newHeldAnswer(t)
	frozen := w.startLeader(binary, api)
	w.connect(func(app *v1alpha1.IoTApplication) { app.Spec.Tasks = v1alpha1.TasksCreate })
	first := w.create(w.wave("first", 1))
	w.await(first, stands(first, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	harness.Eventually(t, func() string { // what is not found was not created
		w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, "")
		if w.app.Status.Search == nil {
			return "the search is not proved"
		}
		return ""
	})

	api.next()
	fwu := w.create(w.wave("wave", 2))
	select {
	case <-api.stored:
	case <-time.After(time.Minute):
		t.Fatal("no intent was recorded")
	}
	stopped := w.clock.Now()
	lease := w.freeze(frozen)
	api.release() // so that the intent is what it hears of when it goes on
	w.expectPosts(1)
	w.takeOver(lease)
	w.passUntil(fwu, 20*time.Minute, func() string {
		if c := taskCreated(fwu, v1alpha1.ReasonCreationUncertain); c == "" {
			t.Fatal("somebody is asked")
		}
		return stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady)()
	})
	w.expectPosts(2)
	if passed := w.clock.Since(stopped); passed < 20*time.Minute {
		t.Errorf("it stood still for %s", passed)
	}

	if err := frozen.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-frozen.Done(): // somebody else leads
	case <-time.After(time.Minute):
		t.Error("it does not end")
	}
	w.expectPosts(2)
	w.await(fwu, stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	if fwu.Status.Task.Attempt != 2 || fwu.Status.Progress != "2/2" {
		t.Errorf("%s, %+v", fwu.Status.Progress, fwu.Status.Task)
	}
	w.expectOutcomes(fwu.Status.Task.RequestHash, storage.TaskResultAbsent, storage.TaskResultCreated)
}

// takeOver runs controllers who come to lead when a lease is over that nobody renews any more.
func (w *world) takeOver(from coordinationv1.LeaseSpec) {
	w.t.Helper()
	logins := w.platform.Report().Calls.Logins
	w.elects = true
	w.goOn()
	w.awaitLease(func(lease coordinationv1.LeaseSpec) bool {
		return isHeld(lease) && *lease.HolderIdentity != *from.HolderIdentity
	})
	w.awaitLogin(logins)
	w.pass(leadTime)
}

// expectOutcomes holds what is recorded of the attempts of a request.
func (w *world) expectOutcomes(requestHash string, want ...storage.TaskResult) {
	w.t.Helper()
	got := w.outcomes()
	for i, result := range want {
		if of := got[storage.IntentName(requestHash, int32(i+1))]; of.Result != result {
			w.t.Errorf("attempt %d: want %s, got %+v", i+1, result, of)
		}
	}
}
