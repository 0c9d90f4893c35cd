// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"
	"testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

func TestCompareStored(t *testing.T) {
	result := func(device string, change ...func(*upgrade.Result)) upgrade.Result {
		r := upgrade.Result{Task: upgrade.Task{OperationID: "op"}, DeviceID: device}
		r.State, r.CurVersion, r.ReceivedAt = v1alpha1.StateSucceeded, "1.6", 1
		for _, c := range change {
			c(&r)
		}
		return r
	}
	results := []upgrade.Result{result("a"), result("b"), result("refused"), result("unsent")}
	answers := pushed{{status: http.StatusOK}, {status: http.StatusOK}, {status: http.StatusServiceUnavailable}, {status: statusUnsent}}
	cases := map[string]struct {
		stored []upgrade.Result
		want   string // part of the error; empty for none
	}{
		"all, in another order":         {stored: []upgrade.Result{result("b"), result("a")}},
		"received at other times":       {stored: []upgrade.Result{result("a"), result("b", func(r *upgrade.Result) { r.ReceivedAt = 9 })}},
		"twice, while it is compacted":  {stored: []upgrade.Result{result("a"), result("b"), result("a")}},
		"one that was not answered 200": {stored: []upgrade.Result{result("a"), result("b"), result("refused")}},
		"one that never left": {
			stored: []upgrade.Result{result("a"), result("b"), result("unsent")}, want: "1 are that were not pushed",
		},
		"one is lost": {stored: []upgrade.Result{result("a")}, want: "1 are not stored"},
		"one was never pushed": {
			stored: []upgrade.Result{result("a"), result("b"), result("c")}, want: "1 are that were not pushed",
		},
		"one has another version": {
			stored: []upgrade.Result{result("a"), result("b", func(r *upgrade.Result) { r.CurVersion = "1.7" })}, want: "1 are not stored",
		},
		"one is of another task": {
			stored: []upgrade.Result{result("a"), result("b", func(r *upgrade.Result) { r.OperationID = "other" })}, want: "1 are not stored",
		},
		"nothing": {want: "2 are not stored"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := compareStored(results, answers, c.stored)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}
