// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package runbook runs the commands of docs/runbook.md as they are written there: each section after what it is for has
// been brought about, on a control plane of its own with the operator installed.
package runbook

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/page"
)

const (
	manual = "docs/runbook.md"
	// mostNotRun is how many blocks of the page may be of a kind that no test can run: what is read from a keyboard or
	// follows from it, calls of the platform's own API, and requests to a pod's own address.
	mostNotRun = 5
)

// sections are the sections of the page that have commands, and the tests that run them.
var sections = map[string]string{
	"Nothing arrives":                 "TestNothingArrives",
	"Wrong secret":                    "TestWrongSecret",
	"The store is full":               "TestStoreIsFull",
	"Pushes are answered 503":         "TestEtcdIsFull",
	"etcd is full":                    "TestEtcdIsFull",
	"The certificate":                 "TestCertificate",
	"Counts are doubted":              "TestCountsAreDoubted",
	"No leader":                       "TestNoLeader",
	"Pods do not run":                 "TestPodsDoNotRun",
	"An upgrade stays Pending":        "TestPending",
	"Back up":                         "TestRestoreFromBackup",
	"Restore from the backup":         "TestRestoreFromBackup",
	"Restore from a snapshot of etcd": "TestRestoreFromSnapshot",
}

// TestEverySectionIsRun holds that a test runs each section that has commands, and that each output says something.
func TestEverySectionIsRun(t *testing.T) {
	found := map[string]bool{}
	for _, b := range runbook(t) {
		found[b.Section] = true
		if b.Output != "" && !b.SaysSomething() {
			t.Errorf("line %d: the output of these commands says nothing", b.Line)
		}
	}
	want, got := slices.Sorted(maps.Keys(sections)), slices.Sorted(maps.Keys(found))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sections that tests run, and those of the page (-tests +page):\n%s", diff)
	}
}

// section is a section of the page whose commands a test runs, one after the other.
type section struct {
	w      *world
	blocks []page.Block
}

// section returns the blocks of a section. The test has to run all of them.
func (w *world) section(t *testing.T, heading string) *section {
	t.Helper()
	if name := sections[heading]; name != t.Name() {
		t.Fatalf("the table says that %q runs the section %q", name, heading)
	}
	s := &section{w: w}
	for _, b := range runbook(t) {
		if b.Section == heading {
			s.blocks = append(s.blocks, b)
		}
	}
	if len(s.blocks) == 0 {
		t.Fatalf("%s has no commands under %q", manual, heading)
	}
	t.Cleanup(func() {
		if len(s.blocks) > 0 && !t.Failed() {
			t.Errorf("%d blocks under %q were not run, from line %d on", len(s.blocks), heading, s.blocks[0].Line)
		}
	})
	return s
}

// next returns the next block, which has to contain a text, so that a reader of the test knows where it is.
func (s *section) next(t *testing.T, contains string) page.Block {
	t.Helper()
	if len(s.blocks) == 0 {
		t.Fatalf("no block is left; want one with %q", contains)
	}
	b := s.blocks[0]
	s.blocks = s.blocks[1:]
	if !strings.Contains(b.Commands, contains) {
		t.Fatalf("line %d: the block has no %q:\n%s", b.Line, contains, b.Commands)
	}
	return b
}

// run runs the next block and compares what it prints.
func (s *section) run(t *testing.T, contains string) string {
	t.Helper()
	b := s.next(t, contains)
	printed := s.w.terminal.Run(t, b)
	t.Logf("line %d: %s%s", b.Line, b.Commands, printed)
	page.Compare(t, manual, b, printed)
	return printed
}

// await runs the next block, which only looks, until it prints what the page says.
func (s *section) await(t *testing.T, contains string) {
	t.Helper()
	b := s.next(t, contains)
	var printed string
	harness.Eventually(t, func() string {
		if printed = s.w.terminal.Run(t, b); page.Matches(b.Output, printed) {
			return ""
		}
		return fmt.Sprintf("line %d:\n%s\nshould print\n%s\nand printed\n%s", b.Line, b.Commands, b.Output, printed)
	})
	t.Logf("line %d: %s%s", b.Line, b.Commands, printed)
}

// runbook returns the blocks of the page.
func runbook(t *testing.T) []page.Block {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(manual)))
	if err != nil {
		t.Fatal(err)
	}
	blocks, notRun, err := page.Parse(string(content))
	if err != nil {
		t.Fatal(err)
	}
	if notRun > mostNotRun {
		t.Fatalf("%d blocks of the page are not run, want at most %d", notRun, mostNotRun)
	}
	return blocks
}
