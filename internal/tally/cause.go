// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"strings"
	"unicode"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

const (
	// CauseUnspecified is the group of failures that came without a text.
	CauseUnspecified = "Unspecified"
	// CauseOther is the row of a summary for the failures beyond the most frequent causes. Cause never returns it: a
	// device that reports this very text is in the group "Other (reported)".
	CauseOther = "Other"
	// CauseRecovered is the group, in a digest of failures, of devices that had succeeded before anything but the time
	// of their failure was known. Cause never returns it either.
	CauseRecovered = "Recovered"
	// reportedSuffix tells a reported text from a cause that has a meaning of its own here.
	reportedSuffix = " (reported)"
	// maxCauseBytes is how long a cause may be; the bound of status.details.causes.
	maxCauseBytes = 256
)

// What stands in a cause for what differs from device to device.
const (
	placeholderNumber = "<n>"
	placeholderID     = "<id>"
)

// Cause is the group that a failure text belongs to: the text without control and formatting characters, its white
// space collapsed, and the ids, addresses, versions and numbers in it replaced by <id> and <n>, so that one cause is
// one group. It is valid UTF-8 of 1 to 256 bytes. Cause(Cause(s)) is Cause(s).
func Cause(statusDesc string) string {
	cause := collapse(result.CutString(statusDesc, storage.MaxStatusDescBytes))
	// What stands alone after a replacement or a cut may have become replaceable itself. Every round leaves fewer digits
	// and colons, or a shorter text, or ends the loop.
	for before := ""; cause != before; {
		before = cause
		cause = strings.TrimRight(result.CutRunes(replaceVariables(cause), maxCauseBytes), " ")
	}
	switch cause {
	case "":
		return CauseUnspecified
	case CauseOther, CauseRecovered:
		return cause + reportedSuffix
	default:
		return cause
	}
}

// collapse trims s, makes every run of white space one space, and drops control and formatting characters.
func collapse(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
		default:
			if space {
				b.WriteByte(' ')
				space = false
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// replaceVariables replaces the words of s that are ids or numbers. A word is a run of ASCII letters, digits and the
// characters that join them.
func replaceVariables(s string) string {
	if !strings.ContainsAny(s, "0123456789:") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for len(s) > 0 {
		end := 0
		for end < len(s) && isWordByte(s[end]) {
			end++
		}
		if end == 0 {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		word := s[:end]
		s = s[end:]
		core := strings.TrimLeft(word, joiners)
		b.WriteString(word[:len(word)-len(core)])
		trimmed := strings.TrimRight(core, joiners)
		b.WriteString(replaceWord(trimmed))
		b.WriteString(core[len(trimmed):])
	}
	return b.String()
}
