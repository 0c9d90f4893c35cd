// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/csv"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// printedCSV prints a result with these texts as CSV; with one, all of its texts are the same.
func printedCSV(t *testing.T, texts ...string) string {
	t.Helper()
	var out bytes.Buffer
	p := &csvPrinter{writer: csv.NewWriter(&out)}
	text := func(i int) string { return texts[i%len(texts)] }
	r := result.Result{
		Task: result.Task{AppID: text(0), OperationID: text(1)}, DeviceID: text(2), SubOperationID: text(3),
	}
	r.SourceVersion, r.TargetVersion, r.CurVersion, r.StatusDesc = text(4), text(5), text(6), text(7)
	r.State = storage.StateFailed
	if err := p.row(&r); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// readCSV reads CSV as a spreadsheet does that separates by another sign than the comma: quotes count at the beginning
// of a cell only.
func readCSV(t *testing.T, text string, separator rune) [][]string {
	t.Helper()
	reader := csv.NewReader(strings.NewReader(text))
	reader.Comma, reader.LazyQuotes, reader.FieldsPerRecord = separator, separator != ',', -1
	rows, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// No cell of the CSV calls or fetches anything, whatever a device reports. An id or a number with a sign before it
// stays as it is, unless it begins the line.
func TestCSVCallsNothing(t *testing.T) {
	for text, want := range map[string]string{
		"=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0": "'-2+3+cmd|' /C calc'!A0", "+A1": "+A1",
		"-8x_Q.1:2": "-8x_Q.1:2", "-1+1": "'-1+1", "=A1": "'=A1", "@SUM(A1)": "'@SUM(A1)",
		"＝1": "'＝1", "\n=A1": "\n'=A1", "\t=A1": "\t'=A1", "1.6": "1.6", "'=1": "'=1", "": "",
		"x;=A1": "x;'=A1", "=1;-1": "'=1;'-1", "x; =A1": "x;' =A1", `x;"=A1"`: `x;'"=A1"`, "x;y=1": "x;y=1", ";": ";",
		"x\t@A1": "x\t'@A1", "x\n-1": "x\n'-1", "a=b-c": "a=b-c", " =A1": "' =A1", "\u200b=A1": "'\u200b=A1",
	} {
		rows := readCSV(t, printedCSV(t, text), ',')
		if len(rows) != 2 {
			t.Fatal(rows)
		}
		for i, column := range rows[0] {
			wanted := want
			switch {
			case slices.Contains([]string{"state", "receiveTime", "failTime", "cause"}, column):
				continue
			case i == 0 && strings.ContainsAny(text[:min(1, len(text))], "+-"):
				wanted = "'" + text
			}
			if rows[1][i] != wanted {
				t.Errorf("%s of %q: want %q, got %q", column, text, wanted, rows[1][i])
			}
		}
	}
}

// Where the comma is the decimal sign, a spreadsheet separates the same file by semicolons, or somebody has it separate
// by tabs: then other cells begin, and end, within the texts. None of them is a formula, but for an id or a number.
func TestCSVCallsNothingWhateverSeparates(t *testing.T) {
	formula, signedID := regexp.MustCompile(`^[\s"]*[-+=@＝]`), regexp.MustCompile(`^[-+][-\w.:]*$`)
	part := rapid.SampledFrom([]string{
		"=", "+", "-", "@", "＝", "-1", ";", "\t", "\n", `"`, " ", ",", "x", "'", "5+cmd|' /C calc'!A0", "HYPERLINK(A1)",
	})
	text := rapid.Map(rapid.SliceOfN(part, 0, 5), func(parts []string) string { return strings.Join(parts, "") })
	rapid.Check(t, func(rt *rapid.T) {
		printed := printedCSV(t, rapid.SliceOfN(text, 8, 8).Draw(rt, "texts")...)
		for _, separator := range []rune{',', ';', '\t'} {
			for _, row := range readCSV(t, printed, separator) {
				for _, cell := range row {
					if formula.MatchString(cell) && !signedID.MatchString(cell) {
						rt.Fatalf("separated by %q, a cell is the formula %q:\n%s", separator, cell, printed)
					}
				}
			}
		}
	})
}

// The list of devices that have not reported is CSV, too. Nothing follows an id there.
func TestCSVOfMissingDevicesCallsNothing(t *testing.T) {
	var out bytes.Buffer
	write := (&session{}).devicePrinter(&out, formatCSV)
	for _, device := range []string{"-8x", "=A1", "x;=A1", "x\t=A1"} {
		if err := write(device); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "deviceId\n-8x\n'=A1\nx;'=A1\nx\t'=A1\n"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}
