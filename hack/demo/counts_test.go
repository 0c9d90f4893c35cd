// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
)

// played returns the plan of the sample and a status and Events that agree with it.
func played(t *testing.T) (*platform.Plan, *v1alpha1.FirmwareUpgrade, []eventsv1.Event) {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	fwu, err := load(filepath.Join(root, "config", "samples", "fwupgrade_v1alpha1_firmwareupgrade.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := platform.NewPlan(planOf(fwu))
	if err != nil {
		t.Fatal(err)
	}
	c := plan.Counts(nil)[0]
	fwu.UID = "u"
	fwu.Status.Progress = "1000/1000"
	fwu.Status.Devices = v1alpha1.DeviceCounts{Expected: 1000, Succeeded: 976, Failed: 24, Recovered: 6}
	for _, r := range c.TopCauses(10) {
		fwu.Status.Details.Causes = append(fwu.Status.Details.Causes, v1alpha1.CauseCount{Cause: r.Cause, Count: r.Count})
	}
	fwu.Status.OperatorState.Announced.Failures = 30
	return plan, fwu, []eventsv1.Event{event("u", "10"), event("u", ""), event("u", "20"), event("other", "5")}
}

func event(uid, failures string) eventsv1.Event {
	e := eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: uid + failures},
		Regarding:  corev1.ObjectReference{UID: "u"},
	}
	if uid != "u" {
		e.Regarding.UID = "another"
	}
	if failures != "" {
		e.Annotations = map[string]string{annotationFailures: failures}
	}
	return e
}

func TestTheSampleIsPlayedInFull(t *testing.T) {
	plan, fwu, events := played(t)
	got, err := countsOf(fwu, events)
	if err != nil {
		t.Fatal(err)
	}
	if diff := expectedOf(plan).diff(got); diff != "" {
		t.Errorf("(-pushed +status):\n%s", diff)
	}
	// The sample's plan has everything that the demo shows: successes, failures, and failures that were repaired.
	want := platform.TaskCounts{Devices: 1000, Succeeded: 976, Failed: 24, Recovered: 6}
	c := plan.Counts(nil)[0]
	have := platform.TaskCounts{Devices: c.Devices, Succeeded: c.Succeeded, Failed: c.Failed, Recovered: c.Recovered}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the plan (-want +got):\n%s", diff)
	}
}

func TestEveryDifferenceIsSeen(t *testing.T) {
	cases := map[string]func(fwu *v1alpha1.FirmwareUpgrade, events []eventsv1.Event){
		"expected":   func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Devices.Expected++ },
		"unexpected": func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Devices.Unexpected++ },
		"succeeded":  func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Devices.Succeeded-- },
		"failed":     func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Devices.Failed++ },
		"inProgress": func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Devices.InProgress++ },
		"pending":    func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Devices.Pending++ },
		"recovered":  func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Devices.Recovered-- },
		"progress":   func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Progress = "999/1000" },
		"a cause":    func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.Details.Causes[0].Cause += "?" },
		"a cause's count": func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) {
			f.Status.Details.Causes[0].Count++
		},
		"announced": func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) { f.Status.OperatorState.Announced.Failures-- },
		"outbox": func(f *v1alpha1.FirmwareUpgrade, _ []eventsv1.Event) {
			f.Status.OperatorState.Outbox = []v1alpha1.OutboxEvent{{}}
		},
		"an Event that was not created": func(_ *v1alpha1.FirmwareUpgrade, events []eventsv1.Event) { events[0].Annotations = nil },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			plan, fwu, events := played(t)
			change(fwu, events)
			got, err := countsOf(fwu, events)
			if err != nil {
				t.Fatal(err)
			}
			if expectedOf(plan).diff(got) == "" {
				t.Error("the difference was not seen")
			}
		})
	}
}
