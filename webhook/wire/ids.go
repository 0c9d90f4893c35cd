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

// id returns the id of something, or what is wrong with it. Nothing is guessed, as two devices could become one.
func (v *idValue) id() (id, problem string) {
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
	}
	return unclear(id)
}

// unclear says what in a text can't be read or can't be seen, or nothing: two such texts that look alike may differ.
func unclear(text string) string {
	switch {
	// The decoder put the replacement character where the body was not UTF-8: texts that differed may not differ now.
	case strings.ContainsRune(text, utf8.RuneError):
		return fmt.Sprintf("holds bytes that are not UTF-8: %q", quote(text))
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Sprintf("holds control characters: %q", quote(text))
	case strings.ContainsFunc(text, result.IsHidden):
		return fmt.Sprintf("holds characters that can't be seen: %q", quote(text))
	}
	return ""
}

// version returns a version for people. One of several that differ, or of which one has no text, is marked as a text
// that could not be read, so that it counts as no other version.
func (v *value) version() string {
	const mark = string(utf8.RuneError)
	if v.differs || v.hasNoText() {
		return result.Clean(v.text, storage.MaxVersionBytes-len(mark)) + mark
	}
	return result.Clean(v.text, storage.MaxVersionBytes)
}

// quote returns the beginning of a value, at most maxQuoteBytes, for people.
func quote(value string) string { return result.Clean(value, maxQuoteBytes) }
