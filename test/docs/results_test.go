// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs tests the programs that the manuals give people to run.
package docs

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// program returns the block of a manual that begins with this line, without its fences.
func program(t *testing.T, manual, firstLine string) string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n"+firstLine)
	block, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		t.Fatalf("%s has no program that begins with %q", manual, firstLine)
	}
	return firstLine + block
}

// runResults runs results.py over slices with a table each.
func runResults(t *testing.T, tables [][]storage.ResultTable, arguments ...string) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("The program of the manual needs python3, which is not installed")
	}
	var list storage.ResultSliceList
	for _, t := range tables {
		list.Items = append(list.Items, storage.ResultSlice{Tables: t})
	}
	list.Items = append(list.Items, storage.ResultSlice{}) // one with rejected notifications has no table
	slices, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "results.py")
	if err := os.WriteFile(file, []byte(program(t, "../../docs/storage.md", "# results.py:")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, append([]string{file}, arguments...)...)
	cmd.Env = append(os.Environ(), "PYTHONIOENCODING=utf-8")
	cmd.Stdin = bytes.NewReader(slices)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(printed), "\n"), "\n")
}

// reported is what a device of the task op reported.
func reported(device string, at int64, state storage.State, desc string) result.Result {
	return result.Result{
		Task: result.Task{AppID: "app", OperationID: "op"}, DeviceID: device, ReceivedAt: at,
		ResultFields: storage.ResultFields{State: state, StatusDesc: desc, CurVersion: "1.5"},
	}
}

// stored is how results are stored in one slice.
func stored(results ...result.Result) []storage.ResultTable {
	for i := range results {
		results[i].Normalize()
	}
	return result.Pack(results)
}

// TestResultsOfATask holds that the program of the manual prints each device of a task once, on one line, with its best
// result: a device that succeeded after a failure is not listed as failed. What all rows of a table share, as the cause
// of devices that failed alike, is printed for each. States of a newer version don't stop it.
func TestResultsOfATask(t *testing.T) {
	newer := stored(reported("d8", 8, "Verifying", "x"))
	other := reported("d9", 9, storage.StateFailed, "of another task")
	other.OperationID = "op2"
	tables := [][]storage.ResultTable{
		stored(reported("d2", 1, storage.StateFailed, "No space"), reported("d1", 1, storage.StateFailed, "No space")),
		stored(reported("d2", 2, storage.StateSucceeded, "")),
		stored(reported("d3", 3, storage.StateFailed, "Two\nlines,\t\"quoted\"\x1b[31m"),
			reported("d1", 4, storage.StateFailed, "HTTP 404"), reported("d4", 4, storage.StateDownloading, ""), other),
		stored(reported("d1", 2, storage.StateFailed, "No space")),
		newer,
	}
	want := []string{
		"app\td1\tFailed\t4\t1.5\tHTTP 404",
		"app\td2\tSucceeded\t2\t1.5\t",
		"app\td3\tFailed\t3\t1.5\tTwo lines, \"quoted\" [31m",
		"app\td4\tDownloading\t4\t1.5\t",
		"app\td8\tVerifying\t8\t1.5\tx",
	}
	if diff := cmp.Diff(want, runResults(t, tables, "op")); diff != "" {
		t.Errorf("Unexpected results (-want,+got):\n%s", diff)
	}
	want = []string{
		"app\td1\tFailed\t1\t1.5\tNo space",
		"app\td1\tFailed\t2\t1.5\tNo space",
		"app\td1\tFailed\t4\t1.5\tHTTP 404",
	}
	if diff := cmp.Diff(want, runResults(t, tables, "op", "d1")); diff != "" {
		t.Errorf("Unexpected results of one device (-want,+got):\n%s", diff)
	}
}
