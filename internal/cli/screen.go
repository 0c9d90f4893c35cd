// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// screen draws lines over those that it drew before, on a terminal.
type screen struct {
	*session
	// drawn is the picture that ends where the cursor is; none where something else was written below it.
	drawn []string
	// said is the last line that was written where nothing can be drawn.
	said string
}

func (s *session) newScreen() *screen { return &screen{session: s} }

// measure takes the size of the terminal anew. In another size the lines before may have been broken, so that they
// can't be drawn over.
func (s *screen) measure() {
	if now := lookOf(s.terminal, s.Getenv); now != s.look {
		s.look, s.drawn = now, nil
	}
}

// refresh is how often to draw anew although nothing changed: where it can be drawn.
func (s *screen) refresh() time.Duration {
	if s.look.cursor {
		return watchRefresh
	}
	return 0
}

// fits says whether lines can be drawn: there is a terminal that is high enough.
func (s *screen) fits(lines []string) bool {
	return s.look.cursor && len(lines) < s.look.height &&
		!slices.ContainsFunc(lines, func(line string) bool { return columnsOf(plain(line)) > s.look.width })
}

// draw draws lines in place of those before.
func (s *screen) draw(lines []string) error {
	if slices.Equal(lines, s.drawn) {
		return nil
	}
	var b strings.Builder
	if len(s.drawn) > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", len(s.drawn)) // up, and everything below goes
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	s.drawn = lines
	_, err := io.WriteString(s.Streams.Out, b.String())
	return err
}

// note prints a note to standard error, which may be the same terminal: what was drawn stays above it.
func (s *screen) note(format string, args ...any) {
	s.drawn = nil
	s.say(format, args...)
}

// isDrawn says whether anything stands on the screen.
func (s *screen) isDrawn() bool { return len(s.drawn) > 0 }

// line writes a line with the time, where nothing can be drawn, if it is another one than before.
func (s *screen) line(text string, now time.Time) error {
	text = s.look.clean(text)
	if text == s.said {
		return nil
	}
	s.said, s.drawn = text, nil
	_, err := fmt.Fprintf(s.Streams.Out, "%s  %s\n", rfc3339(now), text)
	return err
}

// plain is a line without colours.
func plain(line string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(line, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, line, _ = strings.Cut(after, "m")
	}
}
