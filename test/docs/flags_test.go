// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	// helpLine is a flag in the output of manager --help: its name, its type if it has one, and what it says.
	helpLine = regexp.MustCompile(`(?m)^\s+--([a-z0-9-]+)( [a-z-]+)?\s{2,}(.*)$`)
	// helpDefault is the default at the end of what the help says.
	helpDefault = regexp.MustCompile(`\(default (.*)\)$`)
	// flagRow is a row of the manual's table.
	flagRow = regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)` \\|([^|]*)\\|")
	// code is what stands between backquotes.
	code = regexp.MustCompile("`([^`]*)`")
)

// TestFlagsTable holds that operations.md has the flags of the manager, each with its default, and no others. Those of
// the log share a row.
func TestFlagsTable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range flagRow.FindAllStringSubmatch(string(page), -1) {
		value := ""
		// Where a default has words around it, the last thing in code is what the manager says outside of a pod.
		if values := code.FindAllStringSubmatch(row[2], -1); len(values) > 0 {
			value = values[len(values)-1][1]
		}
		documented[row[1]] = canonical(value)
	}
	if diff := cmp.Diff(flagsOf(help(t)), documented); diff != "" {
		t.Errorf("flags with their defaults (-manager --help +docs/operations.md):\n%s", diff)
	}
	if !strings.Contains(string(page), "`--zap-…`") {
		t.Error("operations.md has no row for the flags of the log")
	}
}

// help returns what manager --help prints outside of a pod.
func help(t *testing.T) string {
	t.Helper()
	manager := filepath.Join(t.TempDir(), "manager")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", manager, "./cmd/manager")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the manager: %v\n%s", err, output)
	}
	var printed bytes.Buffer
	cmd := exec.CommandContext(t.Context(), manager, "--help")
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Run(); err != nil {
		t.Fatalf("manager --help: %v\n%s", err, printed.String())
	}
	return printed.String()
}

// flagsOf returns the flags of a help with their defaults, without those of the log.
func flagsOf(help string) map[string]string {
	flags := map[string]string{}
	for _, line := range helpLine.FindAllStringSubmatch(help, -1) {
		name, kind, usage := line[1], line[2], line[3]
		if strings.HasPrefix(name, "zap-") {
			continue
		}
		value := ""
		if found := helpDefault.FindStringSubmatch(usage); found != nil {
			value = strings.Trim(found[1], `"[]`)
		} else if kind == "" && name != "version" {
			value = "false" // pflag prints no default of a switch that is off
		}
		flags[name] = canonical(value)
	}
	return flags
}

// canonical makes durations that are the same look the same: 168h and 168h0m0s.
func canonical(value string) string {
	if duration, err := time.ParseDuration(value); err == nil && value != "0" {
		return duration.String()
	}
	return value
}

// TestFlagsOf holds that a help is read right, as the test above compares nothing otherwise.
func TestFlagsOf(t *testing.T) {
	got := flagsOf(strings.Join([]string{
		"Usage of manager:",
		"      --version                  print the version and end",
		"      --components strings       what it runs (default [webhook,controllers])",
		"      --path string              path (plain) (default \"/v1\")",
		"      --dir string               folder",
		"      --idle duration            how long (default 10m20s)",
		"      --anonymous                accept pushes from anybody",
		"      --leader-elect             one at a time (default true)",
		"      --zap-devel                the log",
	}, "\n"))
	want := map[string]string{
		"version": "", "components": "webhook,controllers", "path": "/v1", "dir": "", "idle": "10m20s",
		"anonymous": "false", "leader-elect": "true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}
