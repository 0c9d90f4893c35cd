// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// root is the root of the repository.
const root = "../.."

// manuals reads all manuals, or ends the test.
func manuals(t *testing.T) map[string]*manual {
	t.Helper()
	all, err := readManuals(root)
	if err != nil {
		t.Fatal(err)
	}
	if all["README.md"] == nil || all["docs/README.md"] == nil {
		t.Fatal("The manuals have no README.md or no docs/README.md")
	}
	return all
}

// TestLinks holds that every link within the repository leads to a file, and to a heading where it names one.
func TestLinks(t *testing.T) {
	all := manuals(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		for _, link := range m.links {
			if problem := m.problem(link, all); problem != "" {
				t.Errorf("%s: the link %s %s", name, link, problem)
			}
		}
	}
}

// problem says what is wrong with a link, or nothing.
func (m *manual) problem(link string, all map[string]*manual) string {
	file, anchor, outside := m.resolve(link)
	if outside {
		return ""
	}
	if strings.HasPrefix(file, "..") || strings.HasPrefix(file, "/") {
		return "leaves the repository"
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(file))); err != nil {
		return "leads to no file"
	}
	if anchor == "" {
		return ""
	}
	target := all[file]
	if target == nil {
		return "names a heading of what is no manual"
	}
	if !target.anchors[anchor] {
		return "leads to no heading of " + file
	}
	return ""
}

// TestPagesCanBeFound holds that every page of docs can be reached from the two indexes.
func TestPagesCanBeFound(t *testing.T) {
	all := manuals(t)
	found := map[string]bool{"README.md": true, "docs/README.md": true}
	for next := slices.Sorted(maps.Keys(found)); len(next) > 0; next = next[1:] {
		for _, link := range all[next[0]].links {
			file, _, outside := all[next[0]].resolve(link)
			if !outside && all[file] != nil && !found[file] {
				found[file] = true
				next = append(next, file)
			}
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "docs/") && !found[name] {
			t.Errorf("%s can't be reached from README.md or docs/README.md", name)
		}
	}
	index := map[string]bool{}
	for _, link := range all["docs/README.md"].links {
		file, _, _ := all["docs/README.md"].resolve(link)
		index[file] = true
	}
	for name := range all {
		if filepath.Dir(name) == "docs" && name != "docs/README.md" && !index[name] {
			t.Errorf("docs/README.md, the list of all manuals, lacks %s", name)
		}
	}
}

// TestSlug holds how GitHub names headings.
func TestSlug(t *testing.T) {
	for heading, want := range map[string]string{
		"Deleting, moving, renaming":   "deleting-moving-renaming",
		"Don't delete slices":          "dont-delete-slices",
		"failurePolicy":                "failurepolicy",
		"kubectl fwupgrade wait NAME…": "kubectl-fwupgrade-wait-name",
		"A -  b_c":                     "a----b_c",
		"Größe, 1.6":                   "größe-16",
	} {
		if diff := cmp.Diff(want, slug(heading)); diff != "" {
			t.Errorf("slug of %q (-want +got):\n%s", heading, diff)
		}
	}
}

// TestParseManual holds that links, anchors and commands are found wherever they stand, as the tests above are empty
// otherwise.
func TestParseManual(t *testing.T) {
	source := strings.Join([]string{
		"# The `first` one", "", "See [a](b.md#c) and ![d](e.svg).", "", "| x |", "|---|", "| [f][g] `make h` |", "",
		"## Again", "## Again", "", "```console", "$ make i", "output", "```", "", "```yaml", "make: j", "```", "",
		"[g]: k.md",
	}, "\n")
	got := parseManual("docs/design.md", []byte(source))
	want := &manual{
		name:     "docs/design.md",
		links:    []string{"b.md#c", "e.svg", "k.md"},
		anchors:  map[string]bool{"the-first-one": true, "again": true, "again-1": true},
		commands: []string{"make i"},
		spans:    []string{"first", "make h"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(manual{})); diff != "" {
		t.Errorf("the manual (-want +got):\n%s", diff)
	}
	all := map[string]*manual{"docs/design.md": got}
	for link, want := range map[string]string{
		"#again-1":      "",
		"#again-2":      "leads to no heading of docs/design.md",
		"no-such.md":    "leads to no file",
		"../../else.md": "leaves the repository",
		"https://x/#y":  "",
	} {
		if diff := cmp.Diff(want, got.problem(link, all)); diff != "" {
			t.Errorf("the problem of %s (-want +got):\n%s", link, diff)
		}
	}
}
