// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tutorial

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/page"
)

// helpWidth is the widest that a line of `make help` may be.
const helpWidth = 100

// TestMakeHelp holds that `make help` fits, and that it has every target that has a description.
func TestMakeHelp(t *testing.T) {
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "make", "--no-print-directory", "help")
	cmd.Dir = root
	cmd.Env = page.Environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		if n := len([]rune(line)); n > helpWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	described := regexp.MustCompile(`(?m)^([a-zA-Z0-9_-]+):.* ## `)
	targets := described.FindAllStringSubmatch(read(t, filepath.Join(root, "Makefile")), -1)
	if len(targets) < 10 {
		t.Fatalf("found %d targets in the Makefile", len(targets))
	}
	for _, target := range targets {
		if !regexp.MustCompile(`(?m)^  ` + target[1] + ` `).Match(out) {
			t.Errorf("%s is missing in:\n%s", target[1], out)
		}
	}
}
