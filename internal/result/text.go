// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"strings"
	"unicode/utf8"
)

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
