// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"strings"
	"unicode/utf8"
)

// fit returns a text as a line that is no wider than the console.
func (c *Console) fit(text string) string { return c.cut(c.plain(text), c.options.Width) }

// plain returns a text without what the locale can't show.
func (c *Console) plain(text string) string {
	if c.options.Unicode {
		return text
	}
	return ascii(text)
}

// ascii replaces everything that is not ASCII: what this program prints by what looks alike, the rest by a question
// mark.
func ascii(text string) string {
	text = strings.NewReplacer("─", "-", "…", "...", "✓", "ok:", "✗", "failed:").Replace(text)
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, text)
}

// cut shortens a text to a number of columns, and shows that it did.
func (c *Console) cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	mark := c.plain("…")
	runes := []rune(text)[:width-utf8.RuneCountInString(mark)]
	return strings.TrimRight(string(runes), " ") + mark
}

// wrap breaks a text at blanks; what is longer than a line is broken anywhere. Blanks within a line stay, so that its
// columns do.
func wrap(text string, width, indent int) []string {
	var lines []string
	rest, prefix := []rune(text), ""
	for len(prefix)+len(rest) > width {
		room := width - len(prefix)
		at := room
		for i := room; i > 0; i-- {
			if rest[i] == ' ' && strings.TrimSpace(string(rest[:i])) != "" {
				at = i
				break
			}
		}
		lines = append(lines, prefix+strings.TrimRight(string(rest[:at]), " "))
		rest = []rune(strings.TrimLeft(string(rest[at:]), " "))
		prefix = strings.Repeat(" ", indent)
	}
	return append(lines, strings.TrimRight(prefix+string(rest), " "))
}
