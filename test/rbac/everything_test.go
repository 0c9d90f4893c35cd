// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// doEverything drives the operator through all that it does.
func (op *operator) doEverything(t *testing.T) {
	t.Helper()
	op.countsAndAnnounces(t)
	op.adoptsAndReleases(t)
	op.rejects(t)
	op.compacts(t)
	op.recounts(t)
	op.removesWhatIsOver(t)
	op.purges(t)
	op.fillsAndReopens(t)
	op.connects(t)
	op.keepsRecords(t)
	op.changesLeader(t)
	op.leavesAnotherInstallationAlone(t)
}

// push pushes a task, and fails unless everything was delivered.
func (op *operator) push(t *testing.T, operation string, devices int) {
	t.Helper()
	plan, err := platform.NewPlan(platform.PlanOptions{
		Devices: devices, Tasks: 1, Fail: 0.3, AppID: "app", OperationID: operation, Seed: 3,
	})
	must(t, err)
	report, err := platform.Push(t.Context(), plan, platform.PushOptions{URL: op.callback()})
	if err != nil || !report.Complete {
		t.Fatalf("push: %v: %+v", err, report)
	}
}

func (op *operator) callback() string {
	return "http://" + op.webhook.CallbackAddress + local.CallbackPath + "/" + callbackSecret
}

// await waits until a FirmwareUpgrade is as wanted.
func (op *operator) await(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, what string,
	is func(*v1alpha1.FirmwareUpgrade) bool,
) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := op.k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		if !is(fwu) {
			return fmt.Sprintf("%s: want %s, got %+v", fwu.Name, what, fwu.Status)
		}
		return ""
	})
}

// isTold says whether an upgrade has ended and all Events about it are there.
func isTold(fwu *v1alpha1.FirmwareUpgrade) bool {
	return fwu.Status.Progress == "20/20" && len(fwu.Status.OperatorState.Outbox) == 0
}

func (op *operator) declare(name string) *wrappers.FirmwareUpgrade {
	return wrappers.MakeFirmwareUpgrade(name, op.namespace).Operation(name).App("app").Expected(20).Settle(0)
}

// Results become a status, failures become Events.
func (op *operator) countsAndAnnounces(t *testing.T) {
	t.Helper()
	fwu := op.declare("declared").MaxFailed("1", 0).Obj()
	must(t, op.k8s.Create(t.Context(), fwu))
	op.push(t, "declared", 20)
	op.await(t, fwu, "20 of 20 announced", isTold)
}

// A task that nobody declared gets a placeholder, which goes when somebody does; whose FirmwareUpgrade is deleted is
// recorded as released.
func (op *operator) adoptsAndReleases(t *testing.T) {
	t.Helper()
	op.push(t, "undeclared", 20)
	placeholders := func() (n int) {
		list := &v1alpha1.FirmwareUpgradeList{}
		must(t, op.k8s.List(t.Context(), list, client.InNamespace(placeholderNamespace)))
		return len(list.Items)
	}
	harness.Eventually(t, func() string {
		if placeholders() == 0 {
			return "there is no placeholder"
		}
		return ""
	})
	fwu := op.declare("undeclared").Obj()
	must(t, op.k8s.Create(t.Context(), fwu))
	op.await(t, fwu, "20 of 20 announced", isTold)
	harness.Eventually(t, func() string {
		if placeholders() > 0 {
			return "the placeholder stays"
		}
		return ""
	})
	must(t, op.k8s.Delete(t.Context(), fwu))
	harness.AwaitReleased(t, op.k8s, operatorNamespace, "undeclared")
}

// What can't be used is kept and announced.
func (op *operator) rejects(t *testing.T) {
	t.Helper()
	if code := op.post(t, "no JSON"); code != http.StatusOK {
		t.Errorf("what can't be used: want 200, got %d", code)
	}
}

// post pushes a body and returns the answer's code.
func (op *operator) post(t *testing.T, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, op.callback(), strings.NewReader(body))
	must(t, err)
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	must(t, err)
	must(t, response.Body.Close())
	return response.StatusCode
}

// stored returns the names of the stored slices.
func (op *operator) stored(t *testing.T) (names []string) {
	t.Helper()
	list := &storage.ResultSliceList{}
	must(t, op.k8s.List(t.Context(), list, client.InNamespace(operatorNamespace)))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

// results are of so many devices of a task, that arrived some time ago.
func results(operation string, devices int, age time.Duration) (all []result.Result) {
	for i := range devices {
		all = append(all, result.Result{
			Task: result.Task{AppID: "app", OperationID: operation}, DeviceID: fmt.Sprintf("%s-%d", operation, i),
			ResultFields: storage.ResultFields{State: storage.StateSucceeded},
			ReceivedAt:   time.Now().Add(-age).UnixMicro(),
		})
	}
	return all
}

// Many slices become few.
func (op *operator) compacts(t *testing.T) {
	t.Helper()
	fwu := op.declare("compacted").Obj()
	must(t, op.k8s.Create(t.Context(), fwu))
	for range manySlices {
		harness.StoreResults(t, op.k8s, operatorNamespace, results("compacted", 20, 0)...)
	}
	op.await(t, fwu, "20 of 20 announced", isTold)
	harness.Eventually(t, func() string {
		if n := len(op.stored(t)); n > manySlices/2 {
			return fmt.Sprintf("%d slices are not compacted", n)
		}
		return ""
	})
}

// What somebody deletes is counted anew, from the slices that are left: large ones, which the leader has to read again.
func (op *operator) recounts(t *testing.T) {
	t.Helper()
	fwu := op.declare("recounted").Obj()
	fwu.Spec.ExpectedDevices = new(int64(largeSlice + 1))
	must(t, op.k8s.Create(t.Context(), fwu))
	harness.StoreResults(t, op.k8s, operatorNamespace, results("recounted", largeSlice, 0)...)
	more := results("recounted", largeSlice+1, 0)[largeSlice:]
	slice := harness.StoreResults(t, op.k8s, operatorNamespace, more...)
	op.await(t, fwu, "all devices", func(fwu *v1alpha1.FirmwareUpgrade) bool {
		return fwu.Status.Devices.Succeeded == largeSlice+1
	})
	must(t, op.k8s.Delete(t.Context(), slice))
	op.await(t, fwu, "that results are missing", func(fwu *v1alpha1.FirmwareUpgrade) bool {
		return slices.ContainsFunc(fwu.Status.Conditions, func(c metav1.Condition) bool {
			return c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonResultsIncomplete
		})
	})
}

// The results of an archived upgrade go.
func (op *operator) removesWhatIsOver(t *testing.T) {
	t.Helper()
	fwu := op.declare("archived").Retain(0).Obj()
	must(t, op.k8s.Create(t.Context(), fwu))
	slice := harness.StoreResults(t, op.k8s, operatorNamespace, results("archived", 20, time.Hour)...)
	op.await(t, fwu, "archived", func(fwu *v1alpha1.FirmwareUpgrade) bool { return !fwu.Status.ArchiveTime.IsZero() })
	harness.Eventually(t, func() string {
		for _, name := range op.stored(t) {
			if name == slice.Name {
				return "the results of what is archived stay"
			}
		}
		return ""
	})
}

// Deleted with its results: the finalizer is put on, and taken off when they are gone.
func (op *operator) purges(t *testing.T) {
	t.Helper()
	fwu := op.declare("purged").DeletionPolicy(v1alpha1.DeletionPolicyPurge).Obj()
	must(t, op.k8s.Create(t.Context(), fwu))
	op.push(t, "purged", 20)
	op.await(t, fwu, "the finalizer and 20 of 20", func(fwu *v1alpha1.FirmwareUpgrade) bool {
		return isTold(fwu) && len(fwu.Finalizers) > 0
	})
	must(t, op.k8s.Delete(t.Context(), fwu))
	harness.Eventually(t, func() string {
		err := op.k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu)
		if client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Sprintf("the purged one stays: %v", err)
		}
		return ""
	})
}

// A full store refuses pushes; with room it takes them again.
func (op *operator) fillsAndReopens(t *testing.T) {
	t.Helper()
	for i := range 8 { // more do not fit into a slice
		harness.StoreResults(t, op.k8s, operatorNamespace, results(fmt.Sprintf("much-%d", i), storeLimit/5, 0)...)
	}
	push := `{"notifyType":"fwUpgradeResultNotify","deviceId":"d","appId":"app","operationId":"one","status":"SUCCESS"}`
	awaitCode := func(want int) {
		t.Helper()
		harness.Eventually(t, func() string {
			if code := op.post(t, push); code != want {
				return fmt.Sprintf("want %d, got %d", want, code)
			}
			return ""
		})
	}
	awaitCode(http.StatusServiceUnavailable)
	must(t, op.k8s.DeleteAllOf(t.Context(), &storage.ResultSlice{}, client.InNamespace(operatorNamespace)))
	awaitCode(http.StatusOK)
}

// The leader goes, and the other one takes over.
func (op *operator) changesLeader(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stopTimeout)
	defer cancel()
	if now := op.holder(t); now != op.leader {
		t.Fatalf("%q leads, and no more %q, which was started first", now, op.leader)
	}
	must(t, op.running[1].Stop(ctx))
	op.running = append(op.running[:1:1], op.running[2:]...)
	harness.Eventually(t, func() string {
		if now := op.holder(t); now == "" || now == op.leader {
			return fmt.Sprintf("%q has the lease", now)
		}
		return ""
	})
	fwu := op.declare("later").Obj()
	must(t, op.k8s.Create(t.Context(), fwu))
	op.push(t, "later", 20)
	op.await(t, fwu, "20 of 20 announced", isTold)
}

// An installation that does not own the ResultStore says so, and ends.
func (op *operator) leavesAnotherInstallationAlone(t *testing.T) {
	t.Helper()
	op.stop(t)
	must(t, op.k8s.DeleteAllOf(t.Context(), &storage.ResultStore{}))
	others := &storage.ResultStore{Spec: storage.ResultStoreSpec{Namespace: op.namespace}}
	others.Name = storage.ResultStoreName
	must(t, op.k8s.Create(t.Context(), others))
	config, err := op.cluster.ServiceAccountConfig(t.Context(), operatorNamespace, controllersAccount)
	must(t, err)
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Config: config, Dir: t.TempDir(), Components: "controllers", ReadyTimeout: -1,
		Args: []string{"--operator-namespace=" + operatorNamespace},
	})
	must(t, err)
	t.Cleanup(func() { _ = m.Kill() })
	select {
	case <-m.Done():
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	if !strings.Contains(m.Tail(), "belong to the installation in namespace "+op.namespace) {
		t.Errorf("it does not say whose they are: %s", m.Tail())
	}
}

// keepsRecords has it recorded what people decided about an attempt, and a record removed that nobody needs.
func (op *operator) keepsRecords(t *testing.T) {
	t.Helper()
	const operation = "created-before"
	fwu := op.declare("restored").Task("d1").Obj()
	fwu.Spec.ExpectedDevices = nil
	must(t, op.k8s.Create(t.Context(), fwu))
	hash := creation.Hash(fwu.Spec.AppID, fwu.Spec.Task)
	must(t, op.k8s.Create(t.Context(), &storage.FirmwareUpgradeTaskRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: storage.IntentName(hash, 1)},
		Spec: storage.FirmwareUpgradeTaskRecordSpec{
			RequestHash: hash, Attempt: 1, AppID: fwu.Spec.AppID,
			Intent: &storage.TaskIntent{
				Time: metav1.NowMicro(), Deadline: metav1.Now(), Nonce: "nonce", Holder: "another",
				For:       storage.ObjectReference{Namespace: fwu.Namespace, Name: fwu.Name, UID: string(fwu.UID)},
				PackageID: fwu.Spec.Task.PackageID, TargetsHash: hash, Run: 1,
			},
		},
	}))
	old := &storage.FirmwareUpgradeTaskRecord{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: operatorNamespace, Name: storage.OutcomeName(strings.Repeat("0", len(hash)), 1),
		},
		Spec: storage.FirmwareUpgradeTaskRecordSpec{
			RequestHash: strings.Repeat("0", len(hash)), Attempt: 1, AppID: "app",
			Outcome: &storage.TaskOutcome{
				Time: metav1.NewMicroTime(time.Now().AddDate(-2, 0, 0)), Result: storage.TaskResultCreated,
				How: storage.TaskDeclared, OperationID: "of-long-ago",
			},
		},
	}
	must(t, op.k8s.Create(t.Context(), old))
	harness.Eventually(t, func() string {
		if err := op.k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		fwu.Spec.Task, fwu.Spec.OperationID = nil, operation
		if err := op.k8s.Update(t.Context(), fwu); err != nil {
			return err.Error()
		}
		return ""
	})
	harness.Eventually(t, func() string {
		records := &storage.FirmwareUpgradeTaskRecordList{}
		if err := op.k8s.List(t.Context(), records, client.InNamespace(operatorNamespace)); err != nil {
			return err.Error()
		}
		if len(records.Items) != 2 || records.Items[1].Spec.Outcome == nil ||
			records.Items[1].Spec.Outcome.OperationID != operation {
			return fmt.Sprintf("want an attempt that came to %s, got %+v", operation, records.Items)
		}
		return ""
	})
}
