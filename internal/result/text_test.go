// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"fwupgrade.io/operator/internal/result"
)

func TestCutString(t *testing.T) {
	cases := map[string]struct {
		text string
		max  int
		want string
	}{
		"short":                   {"abc", 3, "abc"},
		"long":                    {"abcd", 3, "abc"},
		"at a rune":               {"aéb", 2, "a"},
		"after a rune":            {"aéb", 3, "aé"},
		"within a long rune":      {"\U0001F600\U0001F600", 7, "\U0001F600"},
		"nothing":                 {"abc", 0, ""},
		"less than nothing":       {"abc", -1, ""},
		"not UTF-8":               {"a\xff\xfeb", 10, "a\ufffdb"},
		"not UTF-8 and then long": {"a\xffb", 3, "a"},
		"only continuation bytes": {strings.Repeat("\x80", 20), 10, "\ufffd"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := result.CutString(c.text, c.max); got != c.want {
				t.Errorf("CutString(%q, %d) = %q, want %q", c.text, c.max, got, c.want)
			}
		})
	}
}

func FuzzCutString(f *testing.F) {
	f.Add("aé\xff\U0001F600", 4)
	f.Fuzz(func(t *testing.T, text string, maxBytes int) {
		cut := result.CutString(text, maxBytes)
		if len(cut) > max(maxBytes, 0) || !utf8.ValidString(cut) {
			t.Fatalf("CutString(%q, %d) = %q", text, maxBytes, cut)
		}
		if utf8.ValidString(text) && (!strings.HasPrefix(text, cut) || len(cut) < min(len(text), maxBytes)-3) {
			t.Fatalf("CutString(%q, %d) = %q: lost too much", text, maxBytes, cut)
		}
	})
}
