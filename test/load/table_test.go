// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	r := reportOf(map[string][]float64{keyOperator: {90, 100, 40}, keyObject: {5}, keyDecode: {39000}},
		map[string]measurement{
			keyOperator: {PerSecond: 7, P50: 1, P99: 22, Max: 333, Refused: 4, Unsent: 5, Late: 6, BehindMaxSeconds: 1.5,
				EtcdBytes: 77, News: &newsFigures{
					Count: 44, Missing: 3, Status: seconds{P50: 0.5, P99: 0.9, Max: 1.1}, Event: seconds{P50: 0.6, P99: 1, Max: 1.2},
				}},
		})
	r.Loads = append(r.Loads, load{Key: "open-9", Title: "Never measured"})
	r.Targets = findTargets(r)
	var b bytes.Buffer
	if err := r.writeTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^Closed; medians of 3 rounds$`,
		`(?m)^ +operator, 1 task +90 \(40–100\) `,
		`(?m)^ +object +5 +0 `,
		`(?m)here it gave 39000\.$`,
		`(?m)^Open$`,
		`(?m)^ +operator, 1 task +7 +1 +22 +333 +9 +6 +1\.5 +0\.0 .* 77 *$`,
		`(?m)^ +operator, 1 task +44 +0\.5 +0\.9 +1\.1 +0\.6 +1\.0 +1\.2 +3 *$`,
		`(?m)^In all 6 turns `,
		`(?m)^missed +open-8 +news never told, operator, 1 task `,
		`(?m)^met +closed-2 +operator / one object a result +18\.00 × +\(18\.00–18\.00\) +≥ 15 ×$`,
		`(?m)^met +open-8 +p99 of the answer, operator, 1 task +22\.00 ms +\(22\.00–22\.00\) +≤ 100 ms$`,
	} {
		if !regexp.MustCompile(want).Match(b.Bytes()) {
			t.Errorf("the table lacks %s", want)
		}
	}
	for _, unwanted := range []string{"Never measured", "inline", "NaN"} {
		if strings.Contains(b.String(), unwanted) {
			t.Errorf("the table says %q", unwanted)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
}
