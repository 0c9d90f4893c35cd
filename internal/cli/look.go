// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/terminal"
)

const (
	// defaultWidth is how wide the output is where nothing says otherwise.
	defaultWidth = 80
	// maxTextBytes is how long a text may be that is shown: more than any condition's message.
	maxTextBytes = 8 << 10
)

// look is how the output may look.
type look struct {
	// width and height are those of the terminal in characters; height is 0 where there is none.
	width, height int
	// terminal says that there is one, cursor that its cursor may be moved, colour that colours are welcome, unicode that
	// the locale is UTF-8.
	terminal, cursor, colour, unicode bool
}

// lookOf finds out how the output may look: neither colour nor a moving cursor unless a terminal shows it.
func lookOf(out io.Writer, getenv func(string) string) look {
	shows := terminal.Of(out, getenv)
	l := look{width: defaultWidth, terminal: shows.Is, unicode: shows.Unicode}
	if columns, err := strconv.Atoi(getenv("COLUMNS")); err == nil && columns > 0 {
		l.width = columns
	}
	if shows.Width > 0 {
		l.width, l.height = shows.Width, shows.Height
	}
	l.cursor = shows.Moves && l.height > 0
	l.colour = l.cursor && shows.Colour
	return l
}

// clean returns a text as it may be shown: one line in which nothing is hidden, ASCII where the locale is not UTF-8.
func (l look) clean(text string) string {
	text = result.Clean(text, maxTextBytes)
	if l.unicode {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r == '…':
			b.WriteString("...")
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// ellipsis is what shows that a text was cut.
func (l look) ellipsis() string {
	if l.unicode {
		return "…"
	}
	return "..."
}

// cut cuts a clean text to so many columns, visibly.
func (l look) cut(text string, columns int) string {
	if columnsOf(text) <= columns {
		return text
	}
	room := columns - columnsOf(l.ellipsis())
	var b strings.Builder
	for graphemes := uniseg.NewGraphemes(text); graphemes.Next(); {
		if room -= graphemes.Width(); room < 0 {
			break
		}
		b.WriteString(graphemes.Str())
	}
	return strings.TrimRight(b.String(), " ") + l.ellipsis()
}

// wrap breaks a clean text into lines of so many columns, at blanks. A word that is longer stays whole.
func wrap(text string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case columnsOf(line)+1+columnsOf(word) <= columns:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// columnsOf is how many columns a text takes: a Chinese letter takes two.
func columnsOf(text string) int { return uniseg.StringWidth(text) }

// pad fills a text up with blanks to so many columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-columnsOf(text)))
}

// Colours of a terminal.
const (
	green  = "32"
	red    = "31"
	yellow = "33"
	grey   = "90"
)

// paint colours a text where colours are welcome.
func (l look) paint(colour, text string) string {
	if !l.colour || text == "" {
		return text
	}
	return terminal.Styled(colour, text)
}
