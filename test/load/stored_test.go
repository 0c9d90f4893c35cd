// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"
	"testing"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

func TestCompareStored(t *testing.T) {
	of := func(device string, change ...func(*result.Result)) result.Result {
		r := result.Result{Task: result.Task{OperationID: "op"}, DeviceID: device}
		r.State, r.CurVersion, r.ReceivedAt = storage.StateSucceeded, "1.6", 1
		for _, c := range change {
			c(&r)
		}
		return r
	}
	results := []result.Result{of("a"), of("b"), of("refused"), of("unsent")}
	answers := pushed{{status: http.StatusOK}, {status: http.StatusOK}, {status: http.StatusServiceUnavailable},
		{status: statusUnsent}}
	cases := map[string]struct {
		stored []result.Result
		want   string // part of the error; empty for none
	}{
		"all, in another order":         {stored: []result.Result{of("b"), of("a")}},
		"received at other times":       {stored: []result.Result{of("a"), of("b", func(r *result.Result) { r.ReceivedAt = 9 })}},
		"twice, while it is compacted":  {stored: []result.Result{of("a"), of("b"), of("a")}},
		"one that was not answered 200": {stored: []result.Result{of("a"), of("b"), of("refused")}},
		"one that never left": {
			stored: []result.Result{of("a"), of("b"), of("unsent")}, want: "1 are that were not pushed",
		},
		"one is lost": {stored: []result.Result{of("a")}, want: "1 are not stored"},
		"one was never pushed": {
			stored: []result.Result{of("a"), of("b"), of("c")}, want: "1 are that were not pushed",
		},
		"one has another version": {
			stored: []result.Result{of("a"), of("b", func(r *result.Result) { r.CurVersion = "1.7" })}, want: "1 are not stored",
		},
		"one is of another task": {
			stored: []result.Result{of("a"), of("b",
				func(r *result.Result) { r.OperationID = "other" })}, want: "1 are not stored",
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
