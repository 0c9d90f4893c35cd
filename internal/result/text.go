// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean returns a text from outside as it may be shown to people, in any terminal: one line of valid UTF-8, at most
// maxBytes long and cut at the boundary of a rune, in which every character can be seen. What IsPadding at its ends is
// dropped; a line end, a TAB or a blank of another kind within it becomes a blank, and every other character that
// IsHidden, U+FFFD. Clean of what Clean returned is the same. The string returned
// does not keep a longer one in memory.
func Clean(s string, maxBytes int) string {
	if len(s) <= maxBytes && isPlain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.TrimFunc(s, IsPadding) {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case IsHidden(r):
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > maxBytes {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimRightFunc(b.String(), IsPadding)
}

// maxShortName is how much of an id, a version or another name a message shows.
const maxShortName = 64

// Shorten returns a text as it may stand in a message, cut to so many bytes so that there is room for what follows; "…"
// says that it was cut.
func Shorten(text string, maxBytes int) string {
	const ellipsis = "…"
	if clean := Clean(text, utf8.UTFMax*len(text)); len(clean) <= maxBytes {
		return clean
	}
	return Clean(text, maxBytes-len(ellipsis)) + ellipsis
}

// ShortName returns an id, a version or another name from outside as it may stand in a message.
func ShortName(name string) string { return Shorten(name, maxShortName) }

// IsHidden says whether a character can't be seen, or changes how others are seen: it is a control or format character
// (such as U+202E, which turns the text after it around), a filler, a variation selector, a blank other than U+0020, a
// line or paragraph separator, half a surrogate, private, or not assigned. In an id such a character would make two
// devices look like one. Characters that can be seen but look like others, such as the Cyrillic a, are not hidden.
func IsHidden(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == '\x7f'
	}
	const emptyBraille = '\u2800' // a sign without any dot
	return r == emptyBraille || unicode.In(r, unicode.Z, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co, unicode.Cn,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// IsPadding says whether a character at an end of a version or a description is no part of it: a blank, a line end, a
// NUL, as buffers of C end in, or a byte order mark.
func IsPadding(r rune) bool { return unicode.IsSpace(r) || r == 0 || r == '\ufeff' }

// isPlain says whether Clean has nothing to do: most texts are ASCII that can be seen.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}

// CutString cuts s to at most maxBytes bytes, at the boundary of a rune. Bytes that are not UTF-8 are replaced first, a
// run of them by one U+FFFD. The string returned may share the memory of s.
func CutString(s string, maxBytes int) string {
	// What is cut off anyway need not be replaced.
	return CutRunes(strings.ToValidUTF8(CutRunes(s, maxBytes), string(utf8.RuneError)), maxBytes)
}

// CutRunes cuts s to at most maxBytes bytes without cutting a rune in two.
func CutRunes(s string, maxBytes int) string {
	if len(s) <= maxBytes {
		return s
	}
	end := max(maxBytes, 0)
	// A rune has at most three bytes that don't start one; more of them are not UTF-8 and may be cut anywhere.
	for back := 0; back < utf8.UTFMax-1 && end > 0 && !utf8.RuneStart(s[end]); back++ {
		end--
	}
	return s[:end]
}
