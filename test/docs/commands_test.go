// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	// targetRule matches the line of a Makefile that begins a rule; several targets may share it.
	targetRule = regexp.MustCompile(`(?m)^([A-Za-z0-9_ -]+):(?:[^=]|$)`)
	// makeCommand matches a call of make at the beginning of a command. What stands behind several blanks describes it.
	makeCommand = regexp.MustCompile(`(?:^|&& |; |\$\()make((?: [^\s#&|;)]+)*)`)
	// target matches the name of a target, and no variable or option.
	target = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
)

// called returns the targets that a command calls.
func called(command string) []string {
	var targets []string
	for _, call := range makeCommand.FindAllStringSubmatch(command, -1) {
		for word := range strings.FieldsSeq(call[1]) {
			if !target.MatchString(word) {
				if strings.Contains(word, "=") {
					continue // a variable
				}
				break // what follows is no target any more
			}
			targets = append(targets, word)
		}
	}
	return targets
}

// TestMakeTargetsExist holds that the Makefile has every target that a manual tells to make.
func TestMakeTargetsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	existing := map[string]bool{}
	for _, rule := range targetRule.FindAllStringSubmatch(string(makefile), -1) {
		for name := range strings.FieldsSeq(rule[1]) {
			existing[name] = true
		}
	}
	count := 0
	for name, m := range manuals(t) {
		for _, command := range slices.Concat(m.commands, m.spans) {
			for _, target := range called(command) {
				if count++; !existing[target] {
					t.Errorf("%s tells to run %q, but there is no target %s", name, command, target)
				}
			}
		}
	}
	if count == 0 {
		t.Error("No manual calls make: the test looks at nothing")
	}
}

// TestCalled holds which words of a command are targets.
func TestCalled(t *testing.T) {
	for command, want := range map[string][]string{
		"make demo    # a control plane":              {"demo"},
		"make generate manifests":                     {"generate", "manifests"},
		"make dist IMAGE=a:b && kubectl apply -f x":   {"dist"},
		"cd a && make image PUSH=1":                   {"image"},
		"make bench BENCH_ARGS=\"--connections=64\"":  {"bench"},
		"make -C hack all":                            nil,
		"make run       control plane":                {"run"},
		"kubectl fwupgrade results make-believe make": nil,
	} {
		if diff := cmp.Diff(want, called(command)); diff != "" {
			t.Errorf("targets of %q (-want +got):\n%s", command, diff)
		}
	}
}
