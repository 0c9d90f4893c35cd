// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package terminal tells what the reader's side of an output can show: what the plugin, the demo and `make run` print
// follows from it.
package terminal

import (
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// Terminal is what can be shown.
type Terminal struct {
	// Is says that the output goes to a terminal at all, and not to a file or a pipe.
	Is bool
	// Moves says that what was written can be drawn over, Colour that colours are welcome, too.
	Moves, Colour bool
	// Unicode says that the locale is UTF-8.
	Unicode bool
	// Width and Height are in characters; 0 where they are not known.
	Width, Height int
}

// Of finds out what can be shown where an output goes, by that and by the environment: TERM, NO_COLOR and the locale.
func Of(out io.Writer, getenv func(string) string) Terminal {
	t := Terminal{Unicode: isUTF8(getenv)}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) { //nolint:gosec // A descriptor is small.
		return t
	}
	t.Is, t.Moves = true, getenv("TERM") != "dumb"
	t.Colour = t.Moves && getenv("NO_COLOR") == ""
	if width, height, err := term.GetSize(int(file.Fd())); err == nil { //nolint:gosec // As above.
		t.Width, t.Height = width, height
	}
	return t
}

// isUTF8 says whether the locale is UTF-8: the first variable that is set counts. The console of Windows takes it
// whatever the locale.
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := getenv(name); locale != "" {
			locale = strings.ToLower(locale)
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return runtime.GOOS == "windows"
}

// Styled is a text in a style, which is the parameter of an escape sequence: "31" is red.
func Styled(style, text string) string { return "\x1b[" + style + "m" + text + "\x1b[0m" }
