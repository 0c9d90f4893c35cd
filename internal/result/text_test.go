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

// TestShorten: a text that is cut shows it, and fits all the same; as long as it is when it is clean is what counts.
func TestShorten(t *testing.T) {
	cases := map[string]struct {
		text string
		max  int
		want string
	}{
		"short":            {"abcd", 4, "abcd"},
		"long":             {"abcde", 4, "a…"},
		"at a rune":        {"aéééé", 6, "aé…"},
		"short when clean": {"\n abcd \x00", 4, "abcd"},
		"long when clean":  {"a\x1b\x1bb", 5, "a…"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := result.Shorten(c.text, c.max); got != c.want {
				t.Errorf("Shorten(%q, %d) = %q, want %q", c.text, c.max, got, c.want)
			}
		})
	}
	if got := result.ShortName(strings.Repeat("n", 65)); got != strings.Repeat("n", 61)+"…" {
		t.Errorf("want 64 bytes of a name, got %q", got)
	}
}

// TestClean: what a person sees is one line in which nothing is hidden and nothing acts on a terminal; what can be read
// stays as it is, in any script, and padding at the ends is no part of a text.
func TestClean(t *testing.T) {
	cases := map[string]struct {
		text string
		max  int
		want string
	}{
		"nothing":                    {"", 10, ""},
		"plain":                      {"1.6-rc.1 (b)", 20, "1.6-rc.1 (b)"},
		"blanks within":              {"a  b", 10, "a  b"},
		"blanks at the ends":         {"  1.6 ", 10, "1.6"},
		"line feed at the end":       {"1.6\n", 10, "1.6"},
		"CR, TAB, NUL at the ends":   {"\t1.6\x00\r\n\x00", 10, "1.6"},
		"byte order marks":           {"\ufeff1.6\ufeff", 10, "1.6"},
		"other blanks within":        {"a\u00a0b\u3000c\u202fd", 20, "a b c d"},
		"other blanks at the ends":   {"\u00a01.6\u3000\u2003", 10, "1.6"},
		"only padding":               {" \n\x00", 10, ""},
		"line ends within":           {"a\r\nb\tc\vd\u0085e\u2028f\u2029g", 30, "a  b c d e f g"},
		"an escape sequence":         {"1.6\n\x1b[2J", 20, "1.6 \ufffd[2J"},
		"NUL, DEL and C1 within":     {"a\x00b\x7fc\u009bd", 20, "a\ufffdb\ufffdc\ufffdd"},
		"an escape at the ends":      {"\x1b[2J1.6\x1b", 20, "\ufffd[2J1.6\ufffd"},
		"turned around":              {"\u202e6.1", 20, "\ufffd6.1"},
		"isolates":                   {"a\u2066b\u2069", 20, "a\ufffdb\ufffd"},
		"no width":                   {"1\u200b.\ufeff6\u200d", 20, "1\ufffd.\ufffd6\ufffd"},
		"tags":                       {"a\U000e0041b", 20, "a\ufffdb"},
		"soft hyphen":                {"a\u00adb", 20, "a\ufffdb"},
		"fillers":                    {"a\u3164b\u115f\u1160\uffa0\u034fc\u2800", 30, "a\ufffdb\ufffd\ufffd\ufffd\ufffdc\ufffd"},
		"variation selectors":        {"a\ufe00b\ufe0fc\U000e0100d\u180b", 30, "a\ufffdb\ufffdc\ufffdd\ufffd"},
		"private and not assigned":   {"a\ue000b\u0378c\U0010ffffd", 20, "a\ufffdb\ufffdc\ufffdd"},
		"bytes that are not UTF-8":   {"a\xff\xfeb", 20, "a\ufffd\ufffdb"},
		"half a surrogate":           {"a\xed\xa0\x80", 20, "a\ufffd\ufffd\ufffd"},
		"other scripts":              {"升级成功 é ü ｖ１ हिन्दी", 60, "升级成功 é ü ｖ１ हिन्दी"},
		"cut at a rune":              {"ééé", 5, "éé"},
		"replaced and cut":           {"a\x01b", 3, "a"},
		"nothing left of a blank":    {"a b", 2, "a"},
		"cut after what is replaced": {"a\x01\x01b", 4, "a\ufffd"},
		"no room":                    {"abc", 0, ""},
		"less than none":             {"abc", -1, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := result.Clean(c.text, c.max); got != c.want {
				t.Errorf("Clean(%q, %d) = %q, want %q", c.text, c.max, got, c.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add(" aé\xff\U0001F600\n\u202e\x1b", 4)
	f.Fuzz(func(t *testing.T, text string, maxBytes int) {
		clean := result.Clean(text, maxBytes)
		if len(clean) > max(maxBytes, 0) || !utf8.ValidString(clean) || strings.ContainsFunc(clean, result.IsHidden) {
			t.Fatalf("Clean(%q, %d) = %q", text, maxBytes, clean)
		}
		if again := result.Clean(clean, maxBytes); again != clean {
			t.Fatalf("Clean(%q, %d) = %q", clean, maxBytes, again)
		}
	})
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
