// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// maxQuoteBytes is how much of a value an error quotes.
const maxQuoteBytes = 64

// CheckID says what is wrong with the id of something, or nothing. Ids are opaque but must be told apart exactly, also
// by people and terminals. Blanks around it are the caller's matter.
func CheckID(id string) string {
	switch {
	case id == "":
		return "is missing"
	case len(id) > storage.MaxIDBytes:
		return fmt.Sprintf("is longer than %d bytes: %q…", storage.MaxIDBytes, Quote(id))
	}
	return Unclear(id)
}

// Unclear says what in a text can't be read or can't be seen, or nothing: two such texts that look alike may differ.
func Unclear(text string) string {
	switch {
	// The decoder put the replacement character where the body was not UTF-8: texts that differed may not differ now.
	case strings.ContainsRune(text, utf8.RuneError):
		return fmt.Sprintf("holds bytes that are not UTF-8: %q", Quote(text))
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Sprintf("holds control characters: %q", Quote(text))
	case strings.ContainsFunc(text, IsHidden):
		return fmt.Sprintf("holds characters that can't be seen: %q", Quote(text))
	}
	return ""
}

// Quote returns the beginning of a value, at most maxQuoteBytes, for people.
func Quote(value string) string { return Clean(value, maxQuoteBytes) }
