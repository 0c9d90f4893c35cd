// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fwupgrade.io/operator/api/v1alpha1"
)

// upgrade makes a FirmwareUpgrade of two expected devices with counts.
func upgrade(c v1alpha1.DeviceCounts, ready bool) *v1alpha1.FirmwareUpgrade {
	fwu := &v1alpha1.FirmwareUpgrade{ObjectMeta: metav1.ObjectMeta{UID: "uid"}}
	fwu.Spec = v1alpha1.FirmwareUpgradeSpec{OperationID: "op", ExpectedDevices: new(int64(2))}
	fwu.Status.Devices = c
	if ready {
		fwu.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
	}
	return fwu
}

func TestLook(t *testing.T) {
	both := dueCounts{devices: 2, succeeded: 2, ended: 2}
	good := v1alpha1.DeviceCounts{Expected: 2, Succeeded: 2}
	cases := map[string]struct {
		fwu  *v1alpha1.FirmwareUpgrade
		due  dueCounts
		want string
	}{
		"good":             {upgrade(good, true), both, ""},
		"a wrong sum":      {upgrade(v1alpha1.DeviceCounts{Expected: 2, Succeeded: 1}, false), both, "don't add up"},
		"invented":         {upgrade(good, false), dueCounts{devices: 2, succeeded: 1, ended: 1}, "DOUBLED"},
		"counts less":      {upgrade(v1alpha1.DeviceCounts{Expected: 2, Pending: 2}, false), both, "less than before"},
		"ready too early":  {upgrade(good, true), dueCounts{devices: 3, succeeded: 3, ended: 1}, "FALSE GREEN"},
		"ready and failed": {upgrade(v1alpha1.DeviceCounts{Expected: 2, Succeeded: 1, Failed: 1}, true), dueCounts{2, 2, 2, 2}, "FALSE GREEN"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWatcher(nil, newAnswers(), nil)
			w.before["uid"] = v1alpha1.DeviceCounts{Succeeded: 1}
			w.look(c.fwu, c.due)
			got := strings.Join(w.problems, "\n")
			if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

// Where the spec lists devices, they have to have ended, and no more of them may be bad than the policy allows.
func TestLookAtListedDevices(t *testing.T) {
	cases := map[string]struct {
		reports [2]reports
		allowed int32
		want    string
	}{
		"both good":           {[2]reports{set(reportSuccess), set(reportFailure, reportSuccess)}, 0, ""},
		"one to come":         {[2]reports{set(reportSuccess), set(reportUpdating)}, 1, "FALSE GREEN"},
		"one failed":          {[2]reports{set(reportSuccess), set(reportFailure)}, 0, "FALSE GREEN"},
		"one suspect":         {[2]reports{set(reportSuccess), set(reportSuspect)}, 0, "FALSE GREEN"},
		"as many as may be":   {[2]reports{set(reportSuccess), set(reportFailure)}, 1, ""},
		"more than there may": {[2]reports{set(reportSuspect), set(reportFailure)}, 1, "FALSE GREEN"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWatcher(nil, newAnswers(), nil)
			w.answers.devices["a"] = &known{due: c.reports[0]}
			w.answers.devices["b"] = &known{due: c.reports[1]}
			fwu := upgrade(v1alpha1.DeviceCounts{}, true)
			fwu.Spec.ExpectedDevices, fwu.Spec.Devices = nil, []string{"a", "b"}
			fwu.Spec.FailurePolicy = &v1alpha1.FailurePolicy{MaxFailed: intstr.FromInt32(c.allowed)}
			w.look(fwu, dueCounts{})
			got := strings.Join(w.problems, "\n")
			if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

func TestHolder(t *testing.T) {
	devices := map[string]known{"d": {certain: set(reportSuccess)}}
	placeholder := upgrade(v1alpha1.DeviceCounts{}, false)
	placeholder.Spec.Placeholder = true
	other := upgrade(v1alpha1.DeviceCounts{}, false)
	other.UID = "other"
	list := func(all ...*v1alpha1.FirmwareUpgrade) (items []v1alpha1.FirmwareUpgrade) {
		for _, f := range all {
			items = append(items, *f)
		}
		return items
	}
	declared := upgrade(v1alpha1.DeviceCounts{}, false)
	cases := map[string]struct {
		declared *v1alpha1.FirmwareUpgrade
		have     []v1alpha1.FirmwareUpgrade
		want     string
	}{
		"declared":           {declared, list(declared), ""},
		"placeholder":        {nil, list(placeholder), ""},
		"none":               {declared, nil, "there is no FirmwareUpgrade"},
		"no placeholder":     {nil, nil, "there is no FirmwareUpgrade"},
		"two":                {declared, list(declared, placeholder), "several"},
		"another one":        {declared, list(other), "want"},
		"nobody declared it": {nil, list(declared), "nobody declared it"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := &life{task: &task{operation: "op"}, upgrade: c.declared}
			_, problems := l.holder(c.have, devices)
			got := strings.Join(problems, "\n")
			if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}
