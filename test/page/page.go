// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page runs the commands of a manual's page as they are written there, and compares what they print.
package page

import (
	"fmt"
	"regexp"
	"strings"
)

// Block is one block of commands of a page.
type Block struct {
	// Line is where it begins in the page, Section the heading of the second level that it stands below.
	Line    int
	Section string
	// Commands are what is typed, Output is what the page says is printed; empty where it says nothing.
	Commands, Output string
}

// Parse returns the blocks of a page in Markdown that can be run: each of the kind bash, with the block of the kind
// text that follows it. How many blocks are of the kind console, which can't be run here, it returns as well. Every
// other kind of block is an error, so that none is left out by mistake.
func Parse(page string) (blocks []Block, notRun int, err error) {
	var kind, section string
	var begin int // the line of the fence that is open; 0 where none is
	var text []string
	for i, line := range strings.Split(page, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		if !isFence && strings.HasPrefix(strings.TrimSpace(line), "```") {
			return nil, 0, fmt.Errorf("line %d: a fence that is indented: it would be left out", i+1)
		}
		switch {
		case !isFence && begin > 0:
			text = append(text, line)
		case !isFence:
			if heading, is := strings.CutPrefix(line, "## "); is {
				section = heading
			}
		case begin == 0:
			kind, begin, text = fence, i+1, nil
		default:
			content := strings.Join(text, "\n") + "\n"
			switch last := len(blocks) - 1; {
			case kind == "bash":
				blocks = append(blocks, Block{Line: begin, Section: section, Commands: content})
			case kind == "console":
				notRun++
			case kind != "text":
				return nil, 0, fmt.Errorf("line %d: a block of the kind %q: only bash, text and console are known",
					begin, kind)
			case last < 0 || blocks[last].Output != "" || blocks[last].Section != section:
				return nil, 0, fmt.Errorf("line %d: this output has no commands", begin)
			default:
				blocks[last].Output = content
			}
			begin = 0
		}
	}
	if begin > 0 {
		return nil, 0, fmt.Errorf("line %d: this block has no end", begin)
	}
	return blocks, notRun, nil
}

// varying returns what differs from run to run: times of day, dates and durations.
func varying() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`),
		regexp.MustCompile(`\d\d:\d\d:\d\d`),
		regexp.MustCompile(`\b\d+(\.\d+)? ?(ms|min|s|m|h|d)\b(\d+(s|m|h)\b)?`),
		regexp.MustCompile(`\b\d+(m|h|d)\d+(s|m|h)\b`),
	}
}

var blanks = regexp.MustCompile(`[ \t]+`)

// normal returns a text without what differs from run to run: times, and how wide columns are.
func normal(text string) string {
	for _, v := range varying() {
		text = v.ReplaceAllString(text, "<time>")
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(blanks.ReplaceAllString(line, " "), " ")
	}
	return strings.Join(lines, "\n")
}

// Matches tells whether what was printed is what the page says. There … stands for anything within a line, and on a
// line of its own for any number of lines.
func Matches(page, printed string) bool {
	var pattern strings.Builder
	pattern.WriteString(`^`)
	for line := range strings.SplitSeq(normal(page), "\n") {
		if line == "…" {
			pattern.WriteString(`(.*\n)*?`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\n`)
	}
	pattern.WriteString(`$`)
	return regexp.MustCompile(pattern.String()).MatchString(normal(printed) + "\n")
}

// SaysSomething tells whether the output has a line that is not a placeholder.
func (b Block) SaysSomething() bool {
	return strings.Trim(b.Output, "… \n") != ""
}
