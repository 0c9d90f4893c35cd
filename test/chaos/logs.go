// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// checkLogs looks through the logs of the operator's processes for what must not be in them.
func checkLogs(dir string, secrets ...string) []string {
	var problems []string
	names, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is a good one
	for _, name := range names {
		content, err := os.ReadFile(name)
		switch {
		case err != nil:
			problems = append(problems, fmt.Sprintf("read %s: %s", name, err))
		case slices.ContainsFunc(secrets, func(secret string) bool { return bytes.Contains(content, []byte(secret)) }):
			problems = append(problems, "a secret is in "+name)
		case bytes.Contains(content, []byte("\npanic: ")) || bytes.Contains(content, []byte("\nfatal error: ")),
			bytes.Contains(content, []byte("Observed a panic")), bytes.Contains(content, []byte("WARNING: DATA RACE")):
			problems = append(problems, "a process panicked: see "+name)
		}
	}
	return problems
}
