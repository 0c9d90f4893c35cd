// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

// waveOf is a wave of a kind with two devices, whose createBefore is an hour after began.
func waveOf(of kind) *life {
	l := &life{
		task:    &task{operation: "package", kind: of, wave: &wave{closes: time.Hour}, devices: [2][]string{{"a", "b"}}},
		began:   time.Now(),
		upgrade: &v1alpha1.FirmwareUpgrade{ObjectMeta: metav1.ObjectMeta{UID: "own"}},
	}
	return l
}

// asking is a FirmwareUpgrade that asks for the task of waveOf, and has come to a state.
func asking(uid types.UID, state v1alpha1.TaskState, operation string, succeeded int64) v1alpha1.FirmwareUpgrade {
	f := v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{UID: uid},
		Spec:       v1alpha1.FirmwareUpgradeSpec{Task: &v1alpha1.TaskRequest{PackageID: "package"}},
	}
	f.Status.Task = &v1alpha1.TaskStatus{State: state}
	f.Status.OperationID, f.Status.Devices.Succeeded = operation, succeeded
	ready := metav1.ConditionFalse
	if succeeded == 2 {
		ready = metav1.ConditionTrue
	}
	f.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready}}
	return f
}

// created is a creation that made a task, "" for one that made none, a time after it was planned.
func created(operation string, after time.Duration) northbound.Creation {
	return northbound.Creation{FileID: "package", OperationID: operation, Time: time.Now().Add(after)}
}

func TestCheckWave(t *testing.T) {
	good := asking("own", v1alpha1.TaskCreated, "op", 2)
	expired := asking("own", v1alpha1.TaskExpired, "", 0)
	placeholder := v1alpha1.FirmwareUpgrade{Spec: v1alpha1.FirmwareUpgradeSpec{OperationID: "op", Placeholder: true}}
	one := []northbound.Creation{created("", 0), created("op", 0), {FileID: "another", OperationID: "other"}}
	cases := map[string]struct {
		kind      kind
		upgrades  []v1alpha1.FirmwareUpgrade
		creations []northbound.Creation
		want      string
	}{
		"one task":               {kindDeclared, []v1alpha1.FirmwareUpgrade{good}, one, ""},
		"none, as it expired":    {kindExpired, []v1alpha1.FirmwareUpgrade{expired}, nil, ""},
		"one while it was open":  {kindClosing, []v1alpha1.FirmwareUpgrade{good}, one, ""},
		"none while it was open": {kindClosing, []v1alpha1.FirmwareUpgrade{expired}, one[:1], ""},
		"two tasks": {
			kindDeclared, []v1alpha1.FirmwareUpgrade{good}, append(one, created("op-2", 0)),
			"DUPLICATE: the tasks [op op-2]",
		},
		"no task": {
			kindDeclared, []v1alpha1.FirmwareUpgrade{expired}, one[:1],
			"no task was created",
		},
		"one after it expired": {kindExpired, []v1alpha1.FirmwareUpgrade{good}, one, "and createBefore is"},
		"asked for too late": {
			kindClosing, []v1alpha1.FirmwareUpgrade{good}, []northbound.Creation{created("op", 2*time.Hour)},
			"and createBefore is",
		},
		"another task": {
			kindDeclared, []v1alpha1.FirmwareUpgrade{asking("own", v1alpha1.TaskCreated, "x", 2)}, one,
			`is "x", the task is "op"`,
		},
		"a task that is not there": {
			kindExpired, []v1alpha1.FirmwareUpgrade{asking("own", v1alpha1.TaskExpired, "x", 0)}, nil,
			`is "x", the task is ""`,
		},
		"undecided": {
			kindDeclared, []v1alpha1.FirmwareUpgrade{asking("own", v1alpha1.TaskUncertain, "op", 2)}, one,
			"is Uncertain, want Created",
		},
		"a device is missing": {
			kindDeclared, []v1alpha1.FirmwareUpgrade{asking("own", v1alpha1.TaskCreated, "op", 1)}, one,
			"Ready is false",
		},
		"a placeholder": {
			kindDeclared, []v1alpha1.FirmwareUpgrade{good, placeholder}, one,
			"another FirmwareUpgrade",
		},
		"a rival": {
			kindRenamed, []v1alpha1.FirmwareUpgrade{good, asking("rival", v1alpha1.TaskCreated, "op", 0)}, one,
			"another FirmwareUpgrade",
		},
		"no FirmwareUpgrade": {kindDeclared, nil, one, "there is no FirmwareUpgrade"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := waveOf(c.kind)
			got := strings.Join(checkWave(l, c.upgrades, c.creations), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("want %q, got %q", c.want, got)
			}
			if len(c.creations) > 1 && l.taskID() != "op" {
				t.Errorf("the task is %q", l.taskID())
			}
		})
	}
}

func TestCheckReport(t *testing.T) {
	r := &northbound.Report{}
	if got := append(checkReport(nil), checkReport(r)...); len(got) > 0 {
		t.Errorf("nothing is wrong, and it says %v", got)
	}
	r.Tasks.Duplicates, r.Calls.Beyond = 1, 1
	if got := checkReport(r); len(got) != 2 || !strings.Contains(got[0], "DUPLICATE") {
		t.Errorf("got %v", got)
	}
}
