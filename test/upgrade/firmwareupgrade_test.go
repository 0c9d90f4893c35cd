// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

// upgrade is a FirmwareUpgrade and its task.
type upgrade struct {
	task *task
	fwu  *v1alpha1.FirmwareUpgrade
	// told are the reasons of the Events that tell something once, other than failures.
	told string
}

// declare creates the FirmwareUpgrade of a task. What failed is not waited for.
func declare(
	t *testing.T, k8s client.Client, k *task, namespace string, edit func(*v1alpha1.FirmwareUpgradeSpec),
) *upgrade {
	t.Helper()
	o := k.plan.Options()
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: o.OperationID},
		Spec: v1alpha1.FirmwareUpgradeSpec{
			OperationID: k.plan.OperationID(0), AppID: o.AppID, ExpectedDevices: new(int64(o.Devices)),
			SettleSeconds: new(int64(0)),
		},
	}
	if edit != nil {
		edit(&fwu.Spec)
	}
	must(t, k8s.Create(t.Context(), fwu))
	return &upgrade{task: k, fwu: fwu}
}

// placeholder waits for the placeholder of a task.
func placeholder(t *testing.T, k8s client.Client, k *task) *upgrade {
	t.Helper()
	u := &upgrade{task: k}
	harness.Eventually(t, func() string {
		list := &v1alpha1.FirmwareUpgradeList{}
		must(t, k8s.List(t.Context(), list))
		for i := range list.Items {
			if f := &list.Items[i]; f.Spec.Placeholder && f.Spec.OperationID == k.plan.OperationID(0) {
				u.fwu = f
				return ""
			}
		}
		return "there is no placeholder of " + k.plan.OperationID(0)
	})
	return u
}

// get reads the FirmwareUpgrade again; it has to be the same one.
func (u *upgrade) get(t *testing.T, k8s client.Client) {
	t.Helper()
	uid := u.fwu.UID
	must(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(u.fwu), u.fwu))
	if u.fwu.UID != uid {
		t.Fatalf("%s was deleted and made again", u.fwu.Name)
	}
}

// remove deletes the FirmwareUpgrade; awaitGone waits until it is gone.
func (u *upgrade) remove(t *testing.T, k8s client.Client) {
	t.Helper()
	must(t, k8s.Delete(t.Context(), u.fwu))
}

func (u *upgrade) awaitGone(t *testing.T, k8s client.Client) {
	t.Helper()
	harness.Eventually(t, func() string {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(u.fwu), &v1alpha1.FirmwareUpgrade{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("%s is still there: %v", u.fwu.Name, err)
	})
}

// counts is what has to agree between what was answered 200 and what the status says.
type counts struct {
	Succeeded, Failed, InProgress, Recovered int64
	Causes                                   map[string]int64
}

func pushed(c platform.TaskCounts) counts {
	out := counts{c.Succeeded, c.Failed, c.InProgress, c.Recovered, map[string]int64{}}
	for _, row := range c.TopCauses(10) {
		out.Causes[row.Cause] = row.Count
	}
	return out
}

func counted(status v1alpha1.FirmwareUpgradeStatus) counts {
	d := status.Devices
	out := counts{d.Succeeded, d.Failed, d.InProgress, d.Recovered, map[string]int64{}}
	for _, row := range status.Details.Causes {
		out.Causes[row.Cause] = row.Count
	}
	return out
}

// awaitCounts waits until the status says what was answered 200.
func (u *upgrade) awaitCounts(t *testing.T, k8s client.Client) {
	t.Helper()
	want := pushed(u.task.counts())
	harness.Eventually(t, func() string {
		u.get(t, k8s)
		if diff := cmp.Diff(want, counted(u.fwu.Status)); diff != "" {
			return u.fwu.Name + " (-answered +counted):\n" + diff
		}
		if u.fwu.Status.ObservedGeneration != u.fwu.Generation {
			return u.fwu.Name + ": its spec was not observed"
		}
		return ""
	})
}

// awaitFinished waits for the end, which is the policy's verdict.
func (u *upgrade) awaitFinished(t *testing.T, k8s client.Client) {
	t.Helper()
	harness.Eventually(t, func() string {
		u.get(t, k8s)
		if !apimeta.IsStatusConditionTrue(u.fwu.Status.Conditions, v1alpha1.ConditionFinished) {
			return u.fwu.Name + " is not finished: " + verdict(u.fwu)
		}
		return ""
	})
}

// checkDevices compares the state of each device, as the plugin reads it from the stored results, with what was
// answered.
func (in *installation) checkDevices(t *testing.T, u *upgrade) {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "kubectl-fwupgrade"),
		"results", u.fwu.Name, "--namespace="+u.fwu.Namespace, "--output=csv")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+in.kubeconfig)
	out, err := cmd.Output()
	must(t, err)
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	must(t, err)
	got := map[string]string{}
	for _, row := range rows[1:] {
		got[row[2]] = row[3]
	}
	if diff := cmp.Diff(u.task.states(), got); diff != "" {
		t.Errorf("%s: devices (-answered +stored):\n%s", u.fwu.Name, diff)
	}
}
