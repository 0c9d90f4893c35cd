// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs tests that the manuals are true where a program can tell: their links, the flags and the targets of make
// that they name.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// skipped are folders that hold no manual of this repository.
var skipped = map[string]bool{".git": true, "bin": true, "node_modules": true, "testdata": true}

// manual is a parsed file of Markdown.
type manual struct {
	// name is the file's path from the root of the repository, with slashes.
	name string
	// links are where its links and images lead, as they are written.
	links []string
	// anchors are the fragments that lead to its headings.
	anchors map[string]bool
	// commands are the lines of its blocks of shell commands, without their prompts; spans are its inline code.
	commands, spans []string
}

// readManuals parses every file of Markdown below a folder, by name.
func readManuals(root string) (map[string]*manual, error) {
	manuals := map[string]*manual{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipped[entry.Name()] {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(file) != ".md" {
			return nil
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return fmt.Errorf("name %s: %w", file, err)
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read a manual: %w", err)
		}
		name = filepath.ToSlash(name)
		manuals[name] = parseManual(name, source)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the manuals: %w", err)
	}
	return manuals, nil
}

// parseManual finds what the tests look at.
func parseManual(name string, source []byte) *manual {
	m := &manual{name: name, anchors: map[string]bool{}}
	document := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	// Nothing in the function below returns an error.
	_ = ast.Walk(document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := node.(type) {
		case *ast.Link:
			m.links = append(m.links, string(n.Destination))
		case *ast.Image:
			m.links = append(m.links, string(n.Destination))
		case *ast.Heading:
			m.addAnchor(slug(plain(n, source)))
		case *ast.CodeSpan:
			m.spans = append(m.spans, plain(n, source))
		case *ast.FencedCodeBlock:
			m.addCommands(string(n.Language(source)), n.Lines(), source)
		}
		return ast.WalkContinue, nil
	})
	return m
}

// addAnchor adds a heading's anchor. GitHub numbers those that repeat.
func (m *manual) addAnchor(anchor string) {
	unique := anchor
	for i := 1; m.anchors[unique]; i++ {
		unique = fmt.Sprintf("%s-%d", anchor, i)
	}
	m.anchors[unique] = true
}

// addCommands adds the commands of a block: those behind a prompt in a console, all lines of a script.
func (m *manual) addCommands(language string, lines *text.Segments, source []byte) {
	for i := range lines.Len() {
		segment := lines.At(i)
		line := strings.TrimSpace(string(segment.Value(source)))
		switch language {
		case "console":
			if command, prompted := strings.CutPrefix(line, "$ "); prompted {
				m.commands = append(m.commands, command)
			}
		case "bash", "sh", "shell", "":
			m.commands = append(m.commands, line)
		}
	}
}

// plain returns the text of a node without its markup.
func plain(node ast.Node, source []byte) string {
	var text strings.Builder
	_ = ast.Walk(node, func(child ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch t := child.(type) {
		case *ast.Text:
			text.Write(t.Value(source))
			if t.SoftLineBreak() {
				text.WriteByte(' ')
			}
		case *ast.String:
			text.Write(t.Value)
		}
		return ast.WalkContinue, nil
	})
	return text.String()
}

// slug is the anchor that GitHub gives to a heading: small letters, digits, hyphens and underscores stay, a blank
// becomes a hyphen, everything else goes.
func slug(heading string) string {
	var anchor strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			anchor.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			anchor.WriteRune(r)
		}
	}
	return anchor.String()
}

// resolve returns the file and the anchor that a link of a manual leads to; outside says that it leaves the repository.
func (m *manual) resolve(link string) (file, anchor string, outside bool) {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return "", "", true
	}
	file, anchor, _ = strings.Cut(link, "#")
	if file == "" {
		return m.name, anchor, false
	}
	return path.Join(path.Dir(m.name), file), anchor, false
}
