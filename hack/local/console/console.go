// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package console prints for people at a terminal: lines that fit, in colour where that is wanted, and one line that
// moves while something takes long. Where nobody watches, in a log or a file, it prints plain lines.
package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"k8s.io/utils/clock"

	"fwupgrade.io/operator/internal/terminal"
)

// MaxWidth is the widest that a printed line is, in columns; less where the terminal is narrower.
const MaxWidth = 100

// minWidth is the narrowest that is kept to: below it there would be nothing left to read.
const minWidth = 40

// Options say what the reader's side can show.
type Options struct {
	// Live redraws the last line. Otherwise every line stands as it was printed.
	Live bool
	// Colour is for escape sequences that colour.
	Colour bool
	// Unicode is for a locale of UTF-8. Otherwise everything that is not ASCII is replaced.
	Unicode bool
	// Width is how many columns a line has at most; default MaxWidth.
	Width int
	// Clock tells how long something takes; default the real one.
	Clock clock.WithTicker
}

// Console prints lines. Its methods may be called from several goroutines.
type Console struct {
	options Options

	mu     sync.Mutex // guards what follows
	out    io.Writer
	moving string // the line that is redrawn; empty where there is none
	open   bool   // a line was begun and has no end yet
	room   int    // how many dots it has room for
}

// New returns a console that prints to out.
func New(out io.Writer, o Options) *Console {
	if o.Width == 0 {
		o.Width = MaxWidth
	}
	o.Width = max(minWidth, min(o.Width, MaxWidth))
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Console{out: out, options: o}
}

// For returns a console for a file such as standard output: live where that is a terminal, in colour there unless
// NO_COLOR is set, in ASCII unless the locale is of UTF-8.
func For(file *os.File) *Console {
	shows := terminal.Of(file, os.Getenv)
	return New(file, Options{Live: shows.Moves, Colour: shows.Colour, Unicode: shows.Unicode, Width: shows.Width})
}

// Live tells whether the last line can be redrawn.
func (c *Console) Live() bool { return c.options.Live }

// Style is how text stands out, as the parameter of the escape sequence.
type Style string

// The styles.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Title prints a headline, with an empty line before it.
func (c *Console) Title(text string) {
	c.print("", Plain)
	c.print(c.fit("── "+text), Bold)
}

// Line prints a line, cut to the width.
func (c *Console) Line(text string) { c.print(c.fit(text), Plain) }

// Styled prints a line, cut to the width, in a style.
func (c *Console) Styled(style Style, text string) { c.print(c.fit(text), style) }

// Paragraph prints a text in as many lines as it needs; what a line of it goes on with is indented.
func (c *Console) Paragraph(text string, indent int) {
	for whole := range strings.SplitSeq(c.plain(text), "\n") {
		for _, line := range wrap(whole, c.options.Width, indent) {
			c.print(line, Plain)
		}
	}
}

func (c *Console) print(line string, style Style) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	fmt.Fprintln(c.out, c.styled(style, line))
	fmt.Fprint(c.out, c.moving)
}

// erase makes room for a whole line.
func (c *Console) erase() {
	if c.moving != "" {
		fmt.Fprint(c.out, "\r\x1b[K")
	}
	if c.open {
		fmt.Fprintln(c.out)
		c.open = false
	}
}

// draw redraws the line that moves; an empty text takes it away.
func (c *Console) draw(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	c.moving = text
	fmt.Fprint(c.out, text)
}

func (c *Console) styled(style Style, text string) string {
	if style == Plain || !c.options.Colour || text == "" {
		return text
	}
	return terminal.Styled(string(style), text)
}
