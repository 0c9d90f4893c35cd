// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

// latePost is how long after createBefore the platform may be asked: the leader looked just before, stood still, had
// ten seconds left, and stood still again.
const latePost = 65 * time.Second

// checkReport looks at what the platform has of all waves there ever were.
func checkReport(r *northbound.Report) []string {
	if r == nil {
		return nil
	}
	var problems []string
	if n := r.Tasks.Duplicates; n > 0 {
		problems = append(problems, fmt.Sprintf("DUPLICATE: %d tasks do what another one does", n))
	}
	if n := r.Calls.Beyond; n > 0 {
		problems = append(problems, fmt.Sprintf("%d calls are not as documented: %v", n, r.Calls.BeyondSamples))
	}
	return problems
}

// checkWave compares a wave at rest with what the platform was asked for: it has its one task, whose devices are
// counted as the platform has them; or none where createBefore passed.
func checkWave(l *life, upgrades []v1alpha1.FirmwareUpgrade, creations []northbound.Creation) []string {
	problems := checkMade(l, creations)
	var own *v1alpha1.FirmwareUpgrade
	for i := range upgrades {
		switch f := &upgrades[i]; {
		case l.upgrade != nil && f.UID == l.upgrade.UID:
			own = f
		case l.wave.made != "" && operationOf(f) == l.wave.made, f.Spec.Task != nil && f.Spec.Task.PackageID == l.operation:
			problems = append(problems, fmt.Sprintf("there is another FirmwareUpgrade: %s/%s", f.Namespace, f.Name))
		}
	}
	if own == nil {
		return append(problems, "there is no FirmwareUpgrade")
	}
	return append(problems, checkWaveStatus(l, own)...)
}

// checkMade looks at what the platform was asked for, and notes the task that it made.
func checkMade(l *life, creations []northbound.Creation) []string {
	var problems, made []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, c := range creations {
		if c.FileID != l.operation {
			continue
		}
		if c.OperationID != "" && !slices.Contains(made, c.OperationID) {
			made = append(made, c.OperationID)
		}
		if l.kind == kindExpired || c.Time.After(l.closes().Add(latePost)) {
			say("the platform was asked at %s, and createBefore is %s", c.Time, l.closes())
		}
	}
	if len(made) > 1 {
		say("DUPLICATE: the tasks %v were created", made)
	}
	if len(made) == 0 && l.kind != kindClosing && l.kind != kindExpired {
		say("no task was created")
	}
	l.wave.made = ""
	if len(made) > 0 {
		l.wave.made = made[0]
	}
	return problems
}

// checkWaveStatus compares the status with the task that was made, or that none was.
func checkWaveStatus(l *life, fwu *v1alpha1.FirmwareUpgrade) []string {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	st := fwu.Status
	if st.OperationID != l.wave.made {
		say("status.operationId is %q, the task is %q", st.OperationID, l.wave.made)
	}
	want := v1alpha1.TaskCreated
	if l.wave.made == "" {
		want = v1alpha1.TaskExpired
	}
	switch {
	case st.Task == nil:
		return append(problems, "the status says nothing of the task")
	case st.Task.State != want:
		say("the task is %s, want %s: %s", st.Task.State, want, st.Task.Message)
	}
	ready := meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionReady)
	if all := int64(len(l.devices[0])); l.wave.made != "" && (!ready || st.Devices.Succeeded != all) {
		say("Ready is %v with the counts %+v, all %d devices succeeded: %s", ready, st.Devices, all,
			reasonOf(st.Conditions, v1alpha1.ConditionReady))
	}
	return problems
}

// operationOf is the task that a FirmwareUpgrade has.
func operationOf(f *v1alpha1.FirmwareUpgrade) string {
	return cmp.Or(f.Spec.OperationID, f.Status.OperationID)
}
