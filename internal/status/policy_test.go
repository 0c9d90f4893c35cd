// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"

	"fwupgrade.io/operator/test/wrappers"
)

func TestJudgePolicy(t *testing.T) {
	cases := map[string]struct {
		max               string
		min               int64
		succeeded, failed int64
		finished          bool
		want              policyState
	}{
		"a count is judged at once":             {max: "2", min: 100, succeeded: 0, failed: 3, want: policyBroken},
		"a count is a maximum":                  {max: "2", succeeded: 0, failed: 2, want: policyKept},
		"no failure allowed":                    {max: "0", succeeded: 1000, failed: 1, want: policyBroken},
		"a percentage is a maximum":             {max: "5%", succeeded: 95, failed: 5, want: policyKept},
		"nothing is rounded":                    {max: "5%", succeeded: 94, failed: 5, want: policyBroken},
		"nothing is rounded in a large fleet":   {max: "1%", succeeded: 989_999, failed: 10_001, want: policyBroken},
		"exactly in a large fleet":              {max: "1%", succeeded: 990_000, failed: 10_000, want: policyKept},
		"too few reported":                      {max: "5%", min: 20, succeeded: 0, failed: 19, want: policyKept},
		"enough reported":                       {max: "5%", min: 20, succeeded: 0, failed: 20, want: policyBroken},
		"too few, but nothing more will come":   {max: "5%", min: 20, succeeded: 0, failed: 19, finished: true, want: policyBroken},
		"all may fail":                          {max: "100%", succeeded: 0, failed: 9, want: policyKept},
		"nothing has reported":                  {max: "0%", want: policyKept},
		"what the CRD would refuse allows none": {max: "many", succeeded: 9, failed: 1, want: policyBroken},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := wrappers.MakeFirmwareUpgrade("n", "ns").MaxFailed(c.max, c.min).Obj().Spec.FailurePolicy
			got := judgePolicy(p, judged{succeeded: c.succeeded, failed: c.failed}, c.finished)
			if got != c.want {
				t.Errorf("want %v, got %v", c.want, got)
			}
		})
	}
	p := wrappers.MakeFirmwareUpgrade("n", "ns").MaxFailed("5%", 0).Obj().Spec.FailurePolicy
	if got := judgePolicy(p, judged{succeeded: 97, failed: 3, suspect: 3}, false); got != policyBroken {
		t.Errorf("3 failed and 3 suspect of 100: want %v, got %v", policyBroken, got)
	}
	for failed, want := range map[int64]policyState{1: policyKept, 2: policyBroken} { // 5% of 20, whoever else reports
		j := judged{succeeded: 99, failed: failed, expected: 20, unexpected: 79 + failed}
		if got := judgePolicy(p, j, true); got != want {
			t.Errorf("%d failed of 20 expected, 99 succeeded: want %v, got %v", failed, want, got)
		}
	}
	if got := judgePolicy(nil, judged{failed: 9}, true); got != policyNone {
		t.Errorf("no policy: want %v, got %v", policyNone, got)
	}
}
