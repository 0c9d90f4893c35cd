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

// id returns the id of something, or what is wrong with it. Blanks around it are no part of it: no id of the platform
// has any, nor can one in a spec. Beyond that nothing is guessed, as two devices could become one.
func (v *value) id() (id, problem string) {
	switch {
	case v.odd != "":
		return "", fmt.Sprintf("is a JSON %s, not a string", v.odd)
	case v.differs:
		return "", "stands there several times, with different values"
	}
	return v.text, checkID(v.text)
}

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
	case strings.ContainsFunc(id, result.IsHidden):
		return fmt.Sprintf("holds characters that can't be seen: %q", quote(id))
	}
	return ""
}

// quote returns the beginning of a value, at most maxQuoteBytes, for people.
func quote(value string) string { return result.Clean(value, maxQuoteBytes) }
