// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxSpellingBytes is how long the escape of a character is at most: two \uXXXX, or a percent sign that was escaped
// five times.
const maxSpellingBytes = 12

// spelling is what a part of a text may stand for, beside itself: "%2F" for a slash.
type spelling struct {
	width int
	means string
}

// escapes are the spellings of a text, by where they begin. There may be several at a place, as "%2541" is "%41", or an
// A that was escaped twice.
type escapes map[int][]spelling

// escapesIn returns the escapes of a text: as in JSON, in a URL, in HTML or in a Go string.
func escapesIn(text string) escapes {
	found := escapes{}
	for at := 0; ; at++ {
		next := strings.IndexAny(text[at:], `\%&+`)
		if next < 0 {
			return found
		}
		at += next
		if s := escapesAt(text[at:]); len(s) > 0 {
			found[at] = s
		}
	}
}

// escapesAt returns the escapes that a text begins with.
func escapesAt(text string) []spelling {
	switch text[0] {
	case '+':
		return []spelling{{1, " "}}
	case '&':
		for escape, means := range htmlEscapes() {
			if strings.HasPrefix(text, escape) {
				return []spelling{{len(escape), means}}
			}
		}
	case '%':
		return percentEscapes(text)
	case '\\':
		return backslashEscapes(text)
	}
	return nil
}

func htmlEscapes() map[string]string {
	return map[string]string{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&#34;": `"`, "&quot;": `"`, "&#39;": "'"}
}

// percentEscapes returns what a percent sign begins. A URL may have been escaped several times: %2F, %252F, %25252F.
func percentEscapes(text string) (found []spelling) {
	for at := 1; at+2 <= maxSpellingBytes; at += 2 {
		n, ok := hexNumber(text, at, 2)
		if !ok {
			break
		}
		if found = append(found, spelling{at + 2, string([]byte{byte(n)})}); n != '%' {
			break
		}
	}
	return found
}

func backslashEscapes(text string) []spelling {
	if len(text) < 2 {
		return nil
	}
	const letters, means = `"\/nrtbfav`, "\"\\/\n\r\t\b\f\a\v"
	if n := strings.IndexByte(letters, text[1]); n >= 0 {
		return []spelling{{2, means[n : n+1]}}
	}
	const short, long = len(`\uXXXX`), len(`\UXXXXXXXX`)
	switch text[1] {
	case 'x':
		if n, ok := hexNumber(text, 2, 2); ok {
			return []spelling{{len(`\xXX`), string([]byte{byte(n)})}}
		}
	case 'U':
		if n, ok := hexNumber(text, 2, 8); ok && utf8.ValidRune(n) {
			return []spelling{{long, string(n)}}
		}
	case 'u':
		first, ok := hexNumber(text, 2, 4)
		switch {
		case ok && !utf16.IsSurrogate(first):
			return []spelling{{short, string(first)}}
		case ok && strings.HasPrefix(text[short:], `\u`):
			second, _ := hexNumber(text, short+2, 4)
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return []spelling{{2 * short, string(r)}}
			}
		}
	}
	return nil
}

// hexNumber reads so many digits of a text.
func hexNumber(text string, at, digits int) (rune, bool) {
	if len(text) < at+digits {
		return 0, false
	}
	n, err := strconv.ParseUint(text[at:at+digits], 16, 32)
	return rune(n), err == nil
}
