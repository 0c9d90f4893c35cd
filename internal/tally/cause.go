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
	// maxCauseBytes is how long a cause may be, and the text of a failure; the bound of status.details.causes.
	maxCauseBytes = 256
)

// What stands in a cause for what differs from device to device.
const (
	placeholderNumber = "<n>"
	placeholderID     = "<id>"
)

// Cause is the group that a failure text belongs to: the text without characters that can't be seen, its white space
// collapsed, and what differs from device to device replaced by <id> and <n>, so that one cause is one group: ids,
// serial numbers, addresses, ports, versions, times, durations, sizes, offsets, percentages and the queries of URLs.
// What tells causes apart stays: codes, such as HTTP 404, error -5, 0x11 and IOTDA.014016. It is valid UTF-8 of 1 to
// 256 bytes. Cause(Cause(s)) is Cause(s).
func Cause(statusDesc string) string {
	cause := collapse(result.CutString(statusDesc, storage.MaxStatusDescBytes))
	// What stands alone after a replacement or a cut may have become replaceable itself. Every round leaves fewer
	// digits, colons and queries, or a shorter text, or ends the loop.
	for before := ""; cause != before; {
		before = cause
		cause = cut(replaceVariables(cause))
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

// cut leaves what a cause may be long.
func cut(s string) string { return strings.TrimRight(result.CutRunes(s, maxCauseBytes), " ") }

// collapse trims s, makes every run of white space one space, drops characters that can't be seen, and makes
// full-width digits the usual ones.
func collapse(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
		case result.IsHidden(r):
		default:
			if space {
				b.WriteByte(' ')
				space = false
			}
			if '０' <= r && r <= '９' {
				r += '0' - '０'
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// replaceVariables replaces the words of s that tell devices apart. A word is a run of ASCII letters, digits and the
// characters that join them.
func replaceVariables(s string) string {
	if !strings.ContainsAny(s, "0123456789:?") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for at := 0; at < len(s); {
		end := at
		for end < len(s) && isWordByte(s[end]) {
			end++
		}
		if end > at {
			writeWord(&b, place{s, at, end})
			at = end
			continue
		}
		if query := queryBytes(s[at:]); query > 0 {
			b.WriteString("?" + placeholderID)
			at += query
			continue
		}
		b.WriteByte(s[at])
		at++
	}
	return b.String()
}

// writeWord writes what stands in a cause for a word, and the joiners around it as they are.
func writeWord(b *strings.Builder, word place) {
	core := word
	for core.start < core.end && isJoiner(core.text[core.start]) {
		core.start++
	}
	for core.start < core.end && isJoiner(core.text[core.end-1]) {
		core.end--
	}
	b.WriteString(word.text[word.start:core.start])
	b.WriteString(replaceWord(core))
	b.WriteString(word.text[core.end:word.end])
}

// queryBytes is how long the query of a URL is that s begins with, its question mark included; 0 where there is none.
func queryBytes(s string) int {
	if s[0] != '?' {
		return 0
	}
	end := strings.IndexAny(s, " \"'<>()[]{}")
	if end < 0 {
		end = len(s)
	}
	if !strings.Contains(s[:end], "=") {
		return 0
	}
	return end
}
