// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"fwupgrade.io/operator/internal/result"
)

// No cell of the CSV calls or fetches anything, whatever a device reports. An id or a number with a sign before it
// stays as it is.
func TestCSVCallsNothing(t *testing.T) {
	for text, want := range map[string]string{
		"=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0": "'-2+3+cmd|' /C calc'!A0", "+A1": "+A1",
		"-8x_Q.1:2": "-8x_Q.1:2", "-1+1": "'-1+1", "=A1": "'=A1", "@SUM(A1)": "'@SUM(A1)",
		"＝1": "'＝1", "\n=A1": "'\n=A1", "\t=A1": "'\t=A1", "1.6": "1.6", "'=1": "'=1", "": "",
	} {
		var out bytes.Buffer
		p := &csvPrinter{writer: csv.NewWriter(&out)}
		r := result.Result{Task: result.Task{AppID: text, OperationID: text}, DeviceID: text, SubOperationID: text}
		r.CurVersion, r.TargetVersion, r.SourceVersion, r.StatusDesc = text, text, text, text
		if err := p.row(&r); err != nil {
			t.Fatal(err)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		for i, column := range rows[0] {
			switch column {
			case "state", "receiveTime", "failTime", "cause":
			default:
				if rows[1][i] != want {
					t.Errorf("%s of %q: want %q, got %q", column, text, want, rows[1][i])
				}
			}
		}
	}
}
