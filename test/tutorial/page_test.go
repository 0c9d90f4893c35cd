// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tutorial runs the commands of docs/tutorial.md as they are written there, and compares what they print.
package tutorial

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// block is one block of commands of the page.
type block struct {
	// line is where it begins in the page.
	line int
	// commands are what is typed, output is what the page says is printed; empty where it says nothing.
	commands, output string
}

// parse returns the blocks of a page in Markdown: each of the kind bash, with the block of the kind text that follows
// it. Every other kind of block is an error, so that none is left out by mistake.
func parse(page string) ([]block, error) {
	var blocks []block
	var kind string
	var begin int // the line of the fence that is open; 0 where none is
	var text []string
	for i, line := range strings.Split(page, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case !isFence && begin > 0:
			text = append(text, line)
		case !isFence:
		case begin == 0:
			kind, begin, text = fence, i+1, nil
		default:
			content := strings.Join(text, "\n") + "\n"
			switch last := len(blocks) - 1; {
			case kind == "bash":
				blocks = append(blocks, block{line: begin, commands: content})
			case kind != "text":
				return nil, fmt.Errorf("line %d: a block of the kind %q: only bash and text are known", begin, kind)
			case last < 0 || blocks[last].output != "":
				return nil, fmt.Errorf("line %d: this output has no commands", begin)
			default:
				blocks[last].output = content
			}
			begin = 0
		}
	}
	if begin > 0 {
		return nil, fmt.Errorf("line %d: this block has no end", begin)
	}
	return blocks, nil
}

// What differs from run to run: times of day, dates and durations.
var varying = []*regexp.Regexp{
	regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`),
	regexp.MustCompile(`\d\d:\d\d:\d\d`),
	regexp.MustCompile(`\b\d+(\.\d+)? ?(ms|min|s|m|h|d)\b(\d+(s|m|h)\b)?`),
	regexp.MustCompile(`\b\d+(m|h|d)\d+(s|m|h)\b`),
}

var blanks = regexp.MustCompile(`[ \t]+`)

// normal returns a text without what differs from run to run: times, and how wide columns are.
func normal(text string) string {
	for _, v := range varying {
		text = v.ReplaceAllString(text, "<time>")
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(blanks.ReplaceAllString(line, " "), " ")
	}
	return strings.Join(lines, "\n")
}

// matches tells whether what was printed is what the page says. There … stands for anything within a line, and on a
// line of its own for any number of lines.
func matches(page, printed string) bool {
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

// saysSomething tells whether an expected output has a line that is not a placeholder.
func saysSomething(output string) bool {
	return strings.Trim(output, "… \n") != ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestMatches(t *testing.T) {
	cases := map[string]struct {
		page, printed string
		want          bool
	}{
		"equal":                     {page: "a\nb\n", printed: "a\nb\n", want: true},
		"another line":              {page: "a\nb\n", printed: "a\nc\n"},
		"a line more":               {page: "a\n", printed: "a\nb\n"},
		"a line less":               {page: "a\nb\n", printed: "a\n"},
		"other columns and times":   {page: "NAME   AGE\nx      9s\n", printed: "NAME  AGE\nx     2m3s \n", want: true},
		"another time of day":       {page: "at 2026-10-26T07:00:00Z\n", printed: "at 2026-10-27T08:11:00Z\n", want: true},
		"a time that is a count":    {page: "9 devices\n", printed: "8 devices\n"},
		"a placeholder in a line":   {page: "a … c\n", printed: "a b b c\n", want: true},
		"and what is behind it":     {page: "a … c\n", printed: "a b b d\n"},
		"a placeholder for lines":   {page: "a\n…\nd\n", printed: "a\nb\nc\nd\n", want: true},
		"a placeholder for nothing": {page: "a\n…\nd\n", printed: "a\nd\n", want: true},
		"signs of patterns":         {page: "a (5) [x] .*\n", printed: "a (5) [x] .*\n", want: true},
		"a sign is no pattern":      {page: "a.c\n", printed: "abc\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := matches(tc.page, tc.printed); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	const good = "x\n```bash\nls\n```\nIt prints:\n\n```text\na\n```\n\n```bash\nid\n```\n"
	blocks, err := parse(good)
	if err != nil || len(blocks) != 2 {
		t.Fatalf("got %v, %v", blocks, err)
	}
	want := block{line: 2, commands: "ls\n", output: "a\n"}
	if blocks[0] != want {
		t.Errorf("got %+v, want %+v", blocks[0], want)
	}
	for name, bad := range map[string]string{
		"another kind":        "```yaml\na\n```\n",
		"no kind":             "```\na\n```\n",
		"output alone":        "```text\na\n```\n",
		"two outputs":         good[:len(good)-16] + "\n```text\na\n```\n",
		"a block without end": "```bash\na\n",
	} {
		if blocks, err := parse(bad); err == nil {
			t.Errorf("%s: got %v, want an error", name, blocks)
		}
	}
}
