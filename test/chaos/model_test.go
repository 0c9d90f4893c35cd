// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

func set(all ...report) reports {
	var r reports
	for _, report := range all {
		r.add(report)
	}
	return r
}

func stateOf(state storage.State, failedAt int64) result.Result {
	r := result.Result{ReceivedAt: 5, FailedAt: failedAt}
	r.State = state
	if state == storage.StateSucceeded {
		r.CurVersion = targetVersion
	}
	r.Normalize()
	return r
}

func TestStoredContradictsAnswers(t *testing.T) {
	cases := map[string]struct {
		known
		stored result.Result
		want   string // the beginning of the problem; empty for none
	}{
		"what was answered": {
			known{certain: set(reportDownloading, reportSuccess)}, stateOf(storage.StateSucceeded, 0), "",
		},
		"recovered": {known{certain: set(reportFailure, reportSuccess)}, stateOf(storage.StateSucceeded, 3), ""},
		"a success lost": {
			known{certain: set(reportDownloading, reportSuccess)}, stateOf(storage.StateDownloading, 0), "LOST",
		},
		"a failure lost beneath a success": {
			known{certain: set(reportFailure, reportSuccess)}, stateOf(storage.StateSucceeded, 0), "LOST",
		},
		"a failure lost": {known{certain: set(reportUpdating, reportFailure)}, stateOf(storage.StateUpdating, 0), "LOST"},
		"a success that got no answer": {
			known{certain: set(reportUpdating), possible: set(reportSuccess)}, stateOf(storage.StateSucceeded, 0), "",
		},
		"and is not there": {
			known{certain: set(reportUpdating), possible: set(reportSuccess)}, stateOf(storage.StateUpdating, 0), "",
		},
		"a step lost":         {known{certain: set(reportDownloading, reportUpdating)}, stateOf(storage.StateDownloading, 0), "LOST"},
		"an invented step":    {known{certain: set(reportDownloading)}, stateOf(storage.StateUpdating, 0), "is stored as Upd"},
		"another version":     {known{certain: set(reportSuspect)}, stateOf(storage.StateSucceeded, 0), "is stored with version 2.0"},
		"an invented success": {known{certain: set(reportUpdating)}, stateOf(storage.StateSucceeded, 0), "is stored as succ"},
		"an invented failure": {known{certain: set(reportUpdating)}, stateOf(storage.StateFailed, 0), "is stored as failed"},
		"an invented failure before": {
			known{certain: set(reportSuccess)}, stateOf(storage.StateSucceeded, 3), "is stored with a failure",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.contradiction(c.stored)
			if (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

func TestCheckStored(t *testing.T) {
	l := &life{task: &task{}, purged: true}
	l.deleted = time.Now()
	devices := map[string]known{
		"purged": {certain: set(reportSuccess)}, "stays": {certain: set(reportSuccess)},
		"unclear": {possible: set(reportSuccess), unclear: l.deleted}, "lost": {phase: 1, certain: set(reportSuccess)},
	}
	have := map[string]result.Result{
		"stays": stateOf(storage.StateSucceeded, 0), "unclear": stateOf(storage.StateSucceeded, 0),
		"invented": stateOf(storage.StateSucceeded, 0),
	}
	got := strings.Join(checkStored(l, devices, have), "\n")
	for _, want := range []string{"stays was purged", "LOST lost", "invented is stored and was never"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 2 {
		t.Errorf("want 3 problems:\n%s", got)
	}
}

func TestCount(t *testing.T) {
	suspect := stateOf(storage.StateSucceeded, 3)
	suspect.CurVersion = "1.9"
	good := stateOf(storage.StateSucceeded, 0)
	good.CurVersion = targetVersion
	have := map[string]result.Result{
		"a": suspect, "b": good, "c": stateOf(storage.StateFailed, 0), "d": stateOf(storage.StateIdle, 0),
	}
	base := v1alpha1.DeviceCounts{Succeeded: 2, Failed: 1, InProgress: 1, Suspect: 1, Recovered: 1}
	cases := map[string]struct {
		spec                          v1alpha1.FirmwareUpgradeSpec
		expected, pending, unexpected int64
	}{
		"unknown":  {v1alpha1.FirmwareUpgradeSpec{}, 4, 0, 0},
		"too many": {v1alpha1.FirmwareUpgradeSpec{ExpectedDevices: new(int64(3))}, 3, 0, 1},
		"pending":  {v1alpha1.FirmwareUpgradeSpec{ExpectedDevices: new(int64(6))}, 6, 2, 0},
		"listed":   {v1alpha1.FirmwareUpgradeSpec{Devices: []string{"a", "e"}}, 2, 1, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := base
			want.Expected, want.Pending, want.Unexpected = c.expected, c.pending, c.unexpected
			if diff := cmp.Diff(want, count(c.spec, have)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A status that is right in all but one thing is found wrong.
func TestCheckConditions(t *testing.T) {
	devices := map[string]known{"a": {certain: set(reportSuccess)}, "b": {certain: set(reportFailure)}}
	conditions := func(ready, finished, degraded, stalled, reconciling bool) *v1alpha1.FirmwareUpgrade {
		fwu := &v1alpha1.FirmwareUpgrade{Spec: v1alpha1.FirmwareUpgradeSpec{ExpectedDevices: new(int64(2))}}
		fwu.Status.Devices = v1alpha1.DeviceCounts{Expected: 2, Succeeded: 1, Failed: 1}
		for kind, is := range map[string]bool{
			v1alpha1.ConditionReady: ready, v1alpha1.ConditionFinished: finished, v1alpha1.ConditionDegraded: degraded,
			v1alpha1.ConditionStalled: stalled, v1alpha1.ConditionReconciling: reconciling,
		} {
			status := metav1.ConditionFalse
			if is {
				status = metav1.ConditionTrue
			}
			fwu.Status.Conditions = append(fwu.Status.Conditions, metav1.Condition{Type: kind, Status: status})
		}
		return fwu
	}
	l := &life{task: &task{kind: kindDeclared}}
	if got := checkConditions(l, conditions(false, true, false, true, false), devices, nil); len(got) > 0 {
		t.Errorf("want no problem, got %v", got)
	}
	for name, fwu := range map[string]*v1alpha1.FirmwareUpgrade{
		"a false green":     conditions(true, true, false, false, false),
		"never finished":    conditions(false, false, false, false, true),
		"degraded for none": conditions(false, true, true, true, false),
		"nobody is told":    conditions(false, true, false, false, false),
		"waits for ever":    conditions(false, true, false, true, true),
	} {
		if got := checkConditions(l, fwu, devices, nil); len(got) == 0 {
			t.Errorf("%s: no problem is found", name)
		}
	}
}

func TestGapsBeyondOutages(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	gaps := []interval{{at(10), at(30)}, {at(100), at(104)}}
	outages := []interval{{at(18), at(25)}, {at(5), at(12)}, {at(20), at(22)}, {at(200), at(300)}}
	if got, want := longestBeyond(gaps, outages), 11*time.Second; got != want {
		t.Errorf("want %s, got %s", want, got)
	}
	if got, want := longestBeyond(gaps, nil), 20*time.Second; got != want {
		t.Errorf("want %s, got %s", want, got)
	}
}

func TestFewestFaults(t *testing.T) {
	var faults []fault
	for i := range 13 {
		faults = append(faults, fault{number: i})
	}
	runs := 0
	got := fewest(faults, func(some []fault) bool {
		runs++
		has := map[int]bool{}
		for _, f := range some {
			has[f.number] = true
		}
		return has[3] && has[11]
	})
	if len(got) != 2 || got[0].number != 3 || got[1].number != 11 {
		t.Errorf("want faults 3 and 11, got %v", got)
	}
	if runs > 60 {
		t.Errorf("it took %d runs", runs)
	}
}
