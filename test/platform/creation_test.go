// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

// quick has upgrades last two seconds.
func quick() northbound.Options {
	return northbound.Options{Devices: northbound.DeviceOptions{UpgradeTime: 2 * time.Minute}}
}

// A canary from a manifest: its task is created, once, its results are counted, and it becomes Ready.
func TestCreated(t *testing.T) {
	w := startCreating(t, quick())
	fwu := w.create(w.wave("canary", 3).Target("1.6"))
	w.await(fwu, stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	if st := fwu.Status; st.Progress != "3/3" || st.Task.State != v1alpha1.TaskCreated || st.Task.Attempt != 1 {
		t.Errorf("%+v, %+v", st.Progress, st.Task)
	}
	if truth, known := w.platform.Truth(fwu.Status.OperationID); !known || truth.Counts.Success != 3 || truth.Console {
		t.Errorf("the task of the status is another one: %+v", truth)
	}
	harness.Eventually(t, func() string {
		if n := w.events(fwu, "TaskCreated"); n != 1 {
			return "it is announced not once"
		}
		return ""
	})
	w.expectPosts(1)
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, "")
	harness.Eventually(t, func() string { // the list was seen to show what was created
		w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionTrue, "")
		if w.app.Status.Search == nil {
			return "the search is not proved"
		}
		return ""
	})
	if n := w.events(fwu, "TaskCreated"); n != 1 {
		t.Errorf("it is announced %d times", n)
	}
}

// Whoever has an application create no more is heeded also by what is under way: while the platform is looked at first.
func TestNoMoreIsCreated(t *testing.T) {
	w := startCreating(t, quick())
	w.setFaults(northbound.Faults{AnswerSilent: northbound.Fault{
		Next: 1, Delay: northbound.Duration(8 * time.Second), Calls: []northbound.Call{northbound.CallTasks},
	}})
	before := w.platform.Report().Calls.ByKind[northbound.CallTasks]
	fwu := w.create(w.wave("wave", 1))
	harness.Eventually(t, func() string {
		if w.platform.Report().Calls.ByKind[northbound.CallTasks] == before {
			return "the platform is not looked at"
		}
		return ""
	})
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) { s.Tasks = v1alpha1.TasksObserve })
	w.await(fwu, stands(fwu, v1alpha1.ReasonNotPermitted, v1alpha1.ConditionStalled))
	w.expectPosts(0)
}

// What nobody permitted is not created, and is told: a namespace that is not listed, an application that only observes,
// one that nobody declared. Once it is permitted, it is created.
func TestNotPermitted(t *testing.T) {
	w := startCreating(t, quick(), func(app *v1alpha1.IoTApplication) { app.Spec.Namespaces = []string{"another"} })
	fwu, stranger := w.create(w.wave("wave", 1)), w.create(w.wave("stranger", 1).App("nobody-declared-it"))
	w.await(fwu, stands(fwu, v1alpha1.ReasonNotPermitted, v1alpha1.ConditionStalled))
	w.await(stranger, stands(stranger, v1alpha1.ReasonApplicationNotFound, v1alpha1.ConditionStalled))
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) {
		s.Namespaces, s.Tasks = []string{w.namespace}, v1alpha1.TasksObserve
	})
	w.await(fwu, func() string {
		c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionTaskCreated)
		if !strings.Contains(c.Message, "Observe") {
			return "it does not say that the application only observes"
		}
		return stands(fwu, v1alpha1.ReasonNotPermitted, v1alpha1.ConditionStalled)()
	})
	w.expectPosts(0)
	w.updateSpec(func(s *v1alpha1.IoTApplicationSpec) { s.Tasks = v1alpha1.TasksCreate })
	w.await(fwu, stands(fwu, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	w.expectPosts(1)
}
