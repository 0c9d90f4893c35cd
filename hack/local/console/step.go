// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
)

const (
	// frame is how often the line that moves is redrawn; pulse, how often a dot is printed where none can be.
	frame = 100 * time.Millisecond
	pulse = time.Second
	// barWidth is how many columns the bar itself has.
	barWidth = 24
	// endWidth is how many columns the end of a line of dots may take.
	endWidth = len(" stopped after 9999 s")
)

// Step shows that something is being done, and for how long, until the returned function is called. That has to be
// called once, with whether it was done.
func (c *Console) Step(text string) (end func(done bool)) {
	began := c.options.Clock.Now()
	stop, stopped := make(chan struct{}), make(chan struct{})
	every := frame
	if !c.options.Live {
		every = pulse
		c.begin(c.cut(c.plain("  "+text+" "), c.options.Width-endWidth))
	}
	ticker := c.options.Clock.NewTicker(every)
	go func() {
		defer close(stopped)
		defer ticker.Stop()
		for n := 0; ; n++ {
			c.move(text, n, c.options.Clock.Since(began))
			select {
			case <-stop:
				return
			case <-ticker.C():
			}
		}
	}()
	return func(done bool) {
		close(stop)
		<-stopped
		c.end(text, done, c.options.Clock.Since(began))
	}
}

// Steps shows one step after the other: the returned function begins the next one, which ends the one before, and end
// ends the last one.
func (c *Console) Steps() (next func(text string), end func(done bool)) {
	last := func(bool) {}
	next = func(text string) {
		last(true)
		last = c.Step(text)
	}
	return next, func(done bool) { last(done) }
}

// begin prints the beginning of a line.
func (c *Console) begin(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	fmt.Fprint(c.out, text)
	c.open, c.room = true, c.options.Width-endWidth-utf8.RuneCountInString(text)
}

// move shows that the step goes on, for the n-th time.
func (c *Console) move(text string, n int, passed time.Duration) {
	if c.options.Live {
		frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
		if !c.options.Unicode {
			frames = []rune("|/-\\")
		}
		line := fmt.Sprintf("%c %s … %d s", frames[n%len(frames)], text, int(passed.Seconds()))
		c.draw(c.cut(c.plain(line), c.options.Width-1))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open && n > 0 && c.room > 0 {
		fmt.Fprint(c.out, ".")
		c.room--
	}
}

// end prints how a step ended.
func (c *Console) end(text string, done bool, passed time.Duration) {
	seconds := fmt.Sprintf("%.0f s", passed.Seconds())
	c.mu.Lock()
	open := c.open
	if open {
		ending := seconds
		if !done {
			ending = "stopped after " + seconds
		}
		fmt.Fprintln(c.out, " "+ending)
		c.open = false
	}
	c.mu.Unlock()
	if open || !c.options.Live {
		return
	}
	c.draw("")
	if done {
		c.Styled(Green, "✓ "+text+" ("+seconds+")")
		return
	}
	c.Styled(Yellow, "✗ "+text+" (stopped after "+seconds+")")
}

// Bar is a bar that shows how far something is. Where the console is not live it shows nothing.
type Bar struct {
	console *Console
	bar     *progressbar.ProgressBar
	drawn   time.Time
}

// Bar begins a bar that is full at total. It is used by one goroutine.
func (c *Console) Bar(total int) *Bar {
	theme := progressbar.ThemeASCII
	if c.options.Unicode {
		theme = progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}
	}
	return &Bar{console: c, bar: progressbar.NewOptions(total,
		// The console writes it, so that lines can be printed above it.
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetTheme(theme),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
	)}
}

// Set draws the bar at n, with what it says behind it, unless it has just been drawn.
func (b *Bar) Set(n int, text string) {
	o := b.console.options
	if !o.Live || o.Clock.Since(b.drawn) < frame && n < b.bar.GetMax() {
		return
	}
	b.drawn = o.Clock.Now()
	b.bar.Describe(b.console.plain(text))
	_ = b.bar.Set(n) // nothing can fail where nothing is written
	line := strings.TrimRight(strings.TrimPrefix(b.bar.String(), "\r"), " ")
	b.console.draw(b.console.styled(Green, b.console.cut(line, o.Width-1)))
}

// End takes the bar away.
func (b *Bar) End() {
	if b.console.options.Live {
		b.console.draw("")
	}
}
