// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local/console"
)

// TestDemo plays the demo as a log sees it: every line fits, no row of the status comes twice, the phases come in their
// order, and what is announced is explained.
func TestDemo(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`")
	}
	var printed bytes.Buffer
	out := console.New(&printed, console.Options{Unicode: true})
	dir := filepath.Join(t.TempDir(), "demo")
	s, err := run(t.Context(), out, dir)
	if code := end(out, s, err, false); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, printed.String())
	}
	lines := strings.Split(strings.TrimSpace(printed.String()), "\n")
	for _, line := range lines {
		if n := len([]rune(line)); n > console.MaxWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	checkRows(t, lines)
	for _, want := range []string{
		"── Starting a control plane and the operator",
		"$ kubectl apply -f " + sample,
		"firmwareupgrade.fwupgrade.io/water-meters-1.6 created",
		"Every push was answered 200: stored.",
		"firmwareupgrade.fwupgrade.io/water-meters-1.6 condition met",
		"✓ 1000 devices = 976 succeeded + 24 failed, and the causes, all as pushed",
		"✓ 30 failures announced = 24 devices that failed for good + 6 that succeeded when tried again",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q", want)
		}
	}
	waits := regexp.MustCompile(
		`^  waits until \d\d:\d\d:\d\d for retries of the 24 failed devices, then for Events \.* \d+ s$`,
	)
	if !slices.ContainsFunc(lines, waits.MatchString) {
		t.Error("it does not say what it waits for")
	}
	if t.Failed() {
		t.Log(printed.String())
	}
	checkLeft(t, dir)
}

// checkRows holds that the rows of the table go from Pending to the end, no two of them alike.
func checkRows(t *testing.T, lines []string) {
	t.Helper()
	first := slices.Index(lines, header())
	if first < 0 {
		t.Fatal("no table")
	}
	var phases []string
	seen := map[string]bool{}
	for _, line := range lines[first+1:] {
		if strings.HasPrefix(line, "──") {
			break
		}
		phase := strings.Fields(line + " .")[0]
		if !slices.Contains([]string{"Pending", "Running", "PartiallySucceeded"}, phase) {
			continue
		}
		if seen[line] {
			t.Errorf("twice: %s", line)
		}
		seen[line] = true
		phases = append(phases, phase)
	}
	want := []string{"Pending", "Running", "PartiallySucceeded"}
	if got := slices.Compact(phases); !slices.Equal(got, want) {
		t.Errorf("the phases are %v, want %v", got, want)
	}
}

// checkLeft holds that the logs are left, and nothing that is secret.
func checkLeft(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{"etcd.log", "kube-apiserver.log", "lock", "manager.log"}
	if !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		args []string
		code int
		done bool
		want string
	}{
		"nothing":    {},
		"help":       {args: []string{"--help"}, done: true, want: "make demo"},
		"short":      {args: []string{"-h"}, done: true, want: "make demo"},
		"a flag":     {args: []string{"--fast"}, done: true, code: exitUsage, want: "unknown flag: --fast"},
		"a argument": {args: []string{"fast"}, done: true, code: exitUsage, want: "unexpected argument"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code, done := parse(tc.args, &out)
			if code != tc.code || done != tc.done {
				t.Errorf("got %d, %t, want %d, %t", code, done, tc.code, tc.done)
			}
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("want %q in %q", tc.want, out.String())
			}
		})
	}
}
