// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// maxQuoteBytes is how much of a value an error quotes.
const maxQuoteBytes = 64

// checkID says what is wrong with the id of something, or nothing. Ids are opaque but must be told apart exactly, also
// by people and terminals.
func checkID(id string) string {
	switch {
	case id == "":
		return "is missing"
	case len(id) > storage.MaxIDBytes:
		return fmt.Sprintf("is longer than %d bytes: %q…", storage.MaxIDBytes, quote(id))
	// The decoder put the replacement character where the body was not UTF-8: ids that differed may not differ now.
	case strings.ContainsRune(id, utf8.RuneError):
		return fmt.Sprintf("holds bytes that are not UTF-8: %q", quote(id))
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Sprintf("holds control characters: %q", quote(id))
	}
	return ""
}

// quote returns the beginning of a value, at most maxQuoteBytes, for people: what can't be printed is replaced.
func quote(value string) string {
	// Cut before the replacement as well, so that a long value isn't copied whole.
	if len(value) > maxQuoteBytes {
		value = value[:maxQuoteBytes]
	}
	printable := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, value)
	return result.CutString(printable, maxQuoteBytes)
}
