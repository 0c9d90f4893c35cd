// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"fwupgrade.io/operator/internal/result"
)

// mask stands where something was redacted.
const mask = "[redacted]"

const (
	// keptSecrets is how many of the last secrets, and of the last tokens, are redacted: the platform may still talk of
	// those before the present one.
	keptSecrets = 4
	// keptNamed is how many values are redacted that the caller named, and that the platform itself gave.
	keptNamed = 64
	// minPartBytes is how long a part of a callback URL must be to be redacted by itself. A shorter one is a word of
	// other texts.
	minPartBytes = 4
	// minSegmentBytes is how long one segment of its path must be for that: "messageReceiver" alone tells nothing, but
	// a secret has to be long.
	minSegmentBytes = 12
)

// redactor replaces what must not be told in every text that leaves the package: the secret, tokens, and what the
// caller named.
type redactor struct {
	mu                              sync.RWMutex
	secrets, tokens, named, learned [][]byte
}

func (r *redactor) addSecret(secret []byte) { r.add(&r.secrets, keptSecrets, secret) }
func (r *redactor) addToken(token string)   { r.add(&r.tokens, keptSecrets, []byte(token)) }

// addNamed adds values of the caller. Of a URL or a path its parts are redacted, too.
func (r *redactor) addNamed(values ...[]byte) {
	for _, value := range values {
		for _, part := range parts(value) {
			r.add(&r.named, keptNamed, part)
		}
	}
}

// addLearned adds a callback URL that the platform gave: another receiver's, perhaps. It can't replace what the caller
// named, nor be a mere word.
func (r *redactor) addLearned(callbackURL string) {
	if u, err := url.Parse(callbackURL); err != nil || u.Host == "" || len(callbackURL) > maxTextBytes ||
		strings.Contains(callbackURL, `\`) {
		return
	}
	for _, part := range parts([]byte(callbackURL)) {
		r.add(&r.learned, keptNamed, part)
	}
}

// add adds a value to a list, of which the last ones are kept. What is around a value may be an editor's line end.
func (r *redactor) add(list *[][]byte, kept int, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return
	}
	known := func(other []byte) bool { return bytes.Equal(other, value) }
	*list = append(slices.DeleteFunc(*list, known), bytes.Clone(value))
	*list = (*list)[max(0, len(*list)-kept):]
}

// parts returns a value, and of a URL or a path also its path, its query and their longer segments, decoded.
func parts(value []byte) [][]byte {
	text := strings.TrimSpace(string(value))
	if text == "/" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Path == "" || !strings.Contains(text, "/") {
		return [][]byte{value}
	}
	found := [][]byte{[]byte(text)}
	for _, part := range []string{u.Path, u.RawQuery} {
		whole := strings.Trim(part, "/")
		if len(whole) >= minPartBytes {
			found = append(found, []byte(whole))
		} else if whole != "" {
			found = append(found, []byte(part))
		}
		for _, segment := range strings.FieldsFunc(whole, func(c rune) bool { return strings.ContainsRune("/&=", c) }) {
			if len(segment) < minSegmentBytes {
				continue
			}
			found = append(found, []byte(segment))
			if decoded, err := url.QueryUnescape(segment); err == nil && decoded != segment {
				found = append(found, []byte(decoded))
			}
		}
	}
	return found
}

// clean returns a text from outside as it may be shown: redacted, one line of visible characters, at most maxBytes
// long. It is cut last, so that no half of a secret is left at its end, and redacted once more after a line end became
// a blank.
func (r *redactor) clean(text string, maxBytes int) string { return r.cleanFrom(text, maxBytes, 1) }

func (r *redactor) cleanFrom(text string, maxBytes, least int) string {
	text = result.Clean(r.replaceFrom(text, least), utf8.UTFMax*(len(text)+len(mask)))
	return result.Shorten(r.replaceFrom(text, least), maxBytes)
}

// word returns a word from outside in small letters: as it is where it is one of those that are known, else redacted.
func word[T ~string](r *redactor, text string, known ...T) T {
	lower := T(strings.ToLower(text))
	if slices.Contains(known, lower) {
		return lower
	}
	return T(strings.ToLower(r.clean(text, maxTextBytes)))
}

// id returns an id from outside, cut to maxIDBytes; nothing where it holds what must not be told, as what is left would
// be another device or task. Short parts of URLs are words, and an id may well have one: "push", "iot1".
func (r *redactor) id(id string) string {
	if r.replaceFrom(id, minSegmentBytes) != id {
		return ""
	}
	return result.CutString(id, maxIDBytes)
}

// version returns a version from outside as it may be shown. Short parts of URLs are left, as in an id.
func (r *redactor) version(version string) string {
	return r.cleanFrom(version, maxTextBytes, minSegmentBytes)
}

// replaceFrom replaces what must not be told; of the parts of URLs only those that have so many bytes.
func (r *redactor) replaceFrom(text string, least int) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var b strings.Builder
	kept := 0 // until where text was written
	for i := 0; i < len(text); {
		n := max(
			longest(text[i:], r.secrets, 1), longest(text[i:], r.tokens, 1),
			longest(text[i:], r.named, least), longest(text[i:], r.learned, least),
		)
		if n == 0 {
			i++
			continue
		}
		b.WriteString(text[kept:i])
		b.WriteString(mask)
		i += n
		kept = i
	}
	if kept == 0 {
		return text
	}
	b.WriteString(text[kept:])
	return b.String()
}

// longest returns how much of the beginning of a text is the longest of the values that it begins with, of those that
// have so many bytes at least.
func longest(text string, values [][]byte, least int) int {
	n := 0
	for _, value := range values {
		if len(value) < least {
			continue
		}
		if width, ok := spells(text, value); ok {
			n = max(n, width)
		}
	}
	return n
}

// spells says whether a text begins with a value, and how long it is there. Each character may be itself, or escaped as
// in JSON, in a URL, in HTML or in a Go string. Where it may be several of these, as "%25" is a percent sign that is
// escaped or one before "25", the longer one is tried first. Of many backslashes in a row that takes for ever, so that
// none of the platform's choice are looked for.
func spells(text string, value []byte) (int, bool) {
	n := 0
	for len(value) > 0 {
		if r, size := utf8.DecodeRune(value); r != utf8.RuneError {
			if width := unicodeEscape(text[n:], r); width > 0 {
				n, value = n+width, value[size:]
				continue
			}
		}
		itself := n < len(text) && text[n] == value[0]
		escapes := escapesOf(text[n:], value[0])
		if itself && len(escapes) == 0 { // nearly always
			n, value = n+1, value[1:]
			continue
		}
		if itself {
			escapes = append(escapes, 1)
		}
		for _, width := range escapes {
			if rest, ok := spells(text[n+width:], value[1:]); ok {
				return n + width + rest, true
			}
		}
		return 0, false
	}
	return n, true
}

// unicodeEscape returns how long the \uXXXX, of which there may be two, or the \UXXXXXXXX of a character is that a text
// begins with.
func unicodeEscape(text string, want rune) (width int) {
	unit := func(s, prefix string, width int) rune {
		if !strings.HasPrefix(s, prefix) || len(s) < width {
			return -1
		}
		n, err := strconv.ParseUint(s[len(prefix):width], 16, 32)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	const short, long = len(`\uXXXX`), len(`\UXXXXXXXX`)
	first := unit(text, `\u`, short)
	switch {
	case first == want:
		return short
	case unit(text, `\U`, long) == want:
		return long
	case first >= 0 && utf16.DecodeRune(first, unit(text[short:], `\u`, short)) == want:
		return 2 * short
	}
	return 0
}

// escapesOf returns how long the escapes of a byte are that a text begins with, the longest first. A URL may have been
// escaped several times: %2F, %252F, %25252F.
func escapesOf(text string, c byte) (widths []int) {
	for _, escape := range [...]string{jsonEscape(c), htmlEscape(c)} {
		if escape != "" && strings.HasPrefix(text, escape) {
			return []int{len(escape)}
		}
	}
	switch {
	case c == ' ' && strings.HasPrefix(text, "+"):
		return []int{1}
	case strings.HasPrefix(text, `\x`):
		if n, ok := hexByte(text[2:]); ok && n == c {
			return []int{len(`\xXX`)}
		}
	case strings.HasPrefix(text, "%"):
		for at := 1; ; at += 2 {
			n, ok := hexByte(text[at:])
			if ok && n == c {
				widths = append(widths, at+2)
			}
			if !ok || n != '%' {
				break
			}
		}
	}
	slices.Reverse(widths)
	return widths
}

func hexByte(text string) (byte, bool) {
	if len(text) < 2 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:2], 16, 8)
	return byte(n), err == nil
}

func jsonEscape(c byte) string {
	switch c {
	case '"', '\\', '/':
		return `\` + string(rune(c))
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	return ""
}

func htmlEscape(c byte) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '"':
		return "&#34;"
	case '\'':
		return "&#39;"
	}
	return ""
}
