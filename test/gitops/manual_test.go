// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// The table of the manual stands between these lines.
const (
	tableBegins = "<!-- what each tool shows: written by go test ./test/gitops -update -->\n"
	tableEnds   = "<!-- end of what each tool shows -->\n"
)

func manual(t *testing.T) (file, text string) {
	t.Helper()
	file = path(t, "docs", "gitops.md")
	content, err := os.ReadFile(file)
	must(t, err)
	return file, string(content)
}

// TestTableOfTheManual holds that the manual tells what TestStates finds.
func TestTableOfTheManual(t *testing.T) {
	file, text := manual(t)
	before, rest, found := strings.Cut(text, tableBegins)
	got, after, ends := strings.Cut(rest, tableEnds)
	if !found || !ends {
		t.Fatalf("%s has no table between %q and %q", file, tableBegins, tableEnds)
	}
	want := table()
	if *update {
		must(t, os.WriteFile(file, []byte(before+tableBegins+want+tableEnds+after), 0o644))
		return
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("run go test ./test/gitops -update (-want +got):\n%s", diff)
	}
}

// table is the states in Markdown.
func table() string {
	var b strings.Builder
	b.WriteString("\n| state | phase | reason of Ready | Flux (kstatus) | Argo CD |\n|---|---|---|---|---|\n")
	code := func(text string) string {
		return cmp.Or(strings.Replace("`"+text+"`", "``", "", 1), "none")
	}
	for _, s := range states {
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` | `%s` |\n",
			s.when, code(string(s.phase)), code(s.reason), s.kstatus, s.health)
	}
	b.WriteString("\n")
	return b.String()
}

// TestManualShowsTheSamples holds that the manuals show each sample as it is, but for the comment at its head.
func TestManualShowsTheSamples(t *testing.T) {
	_, text := manual(t)
	ofWaves, err := os.ReadFile(path(t, "docs", "waves.md"))
	must(t, err)
	text += string(ofWaves)
	shown := map[string]string{}
	for _, file := range sampleFiles(t) {
		shown[sampleFolder(t, file)] = file
	}
	waves := path(t, "config", "samples", "waves")
	must(t, fs.WalkDir(os.DirFS(waves), ".", func(file string, _ fs.DirEntry, err error) error {
		if filepath.Ext(file) == ".yaml" {
			shown[filepath.Join(waves, file)] = file
		}
		return err
	}))
	for name, file := range shown {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(name)
		must(t, err)
		body := string(content)
		for strings.HasPrefix(body, "# ") {
			_, body, _ = strings.Cut(body, "\n")
		}
		if block := "```yaml\n# " + file + "\n" + body + "```\n"; !strings.Contains(text, block) {
			t.Errorf("docs/gitops.md and docs/waves.md do not show this as it is:\n%s", block)
		}
	}
}
