// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

func TestCauseKeepsDocumentedTexts(t *testing.T) {
	for _, text := range resulttest.Documented() {
		if got := tally.Cause(text); got != text {
			t.Errorf("Cause(%q) = %q", text, got)
		}
	}
}

func TestCause(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"nothing":                  {"", tally.CauseUnspecified},
		"white space":              {" \t\r\n\u00a0", tally.CauseUnspecified},
		"control characters":       {"\x00\x1b\x7f\u200b\u202e", tally.CauseUnspecified},
		"our own Other":            {" Other\n", "Other (reported)"},
		"our own Recovered":        {"Recovered", "Recovered (reported)"},
		"the distinct spelling":    {"Other (reported)", "Other (reported)"},
		"collapsed":                {"  Invalid\n\t URI ", "Invalid URI"},
		"a terminal's escapes":     {"\x1b[31mInvalid\x07 URI", "[<id> URI"},
		"a UUID":                   {"Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301 is gone", "Device <id> is gone"},
		"an upper-case UUID":       {"Device 3F2504E0-4F89-11D3-9A0C-0305E82C3301.", "Device <id>."},
		"a UUID of letters mostly": {"abcdefab-cdef-abcd-efab-cdefabcdefa1 gone", "<id> gone"},
		"a hexadecimal id":         {"id=d41d8cd98f00b204e9800998ecf8427e;", "id=<id>;"},
		"a mixed id":               {"app kqXz8AbPl_0Qe7RtYvN2mWsD4fGh lost", "app <id> lost"},
		"a device name":            {"Device dev-000123 failed", "Device dev-<n> failed"},
		"an IPv4 address":          {"No route to 10.0.0.17:5683, gave up", "No route to <n>, gave up"},
		"an IPv6 address":          {"No route to [fe80::1ff:fe23:4567:890a]", "No route to [<id>]"},
		"a MAC address":            {"MAC aa:bb:cc:dd:ee:ff", "MAC <id>"},
		"versions":                 {"Is V1.3.0-17, wants v1.6", "Is <n>, wants <n>"},
		"plain numbers":            {"Got 17 of 4096 bytes (0%)", "Got <n> of <n> bytes (<n>%)"},
		"a number with a unit":     {"Timeout after 30s and 256KB", "Timeout after <n>s and <n>KB"},
		"a negative number":        {"Error -17", "Error -<n>"},
		"a hexadecimal number":     {"Error 0x80070057", "Error <n>"},
		"a date and a time":        {"At 2024-01-02T03:04:05.678Z and 03:04:05", "At <n> and <n>"},
		"a file":                   {"No such file /fw/pkg_1.6.2.bin", "No such file /fw/pkg_<n>.<n>.<n>.bin"},
		"names of techniques stay": {"SHA256, HTTP2 or X509 failed with E1234", "SHA256, HTTP2 or X509 failed with E1234"},
		"words with joiners stay":  {"Re-flash: not done: time-out.", "Re-flash: not done: time-out."},
		"another script":           {"错误码17：电量不足", "错误码<n>：电量不足"},
		"not UTF-8":                {"Invalid \xff\xfe URI", "Invalid \ufffd URI"},
		"cut":                      {strings.Repeat("a", 300), strings.Repeat("a", 256)},
		"cut at a rune":            {strings.Repeat("é", 200) + "a", strings.Repeat("é", 128)},
		"cut before a space":       {strings.Repeat("a", 255) + " b", strings.Repeat("a", 255)},
		"longer by placeholders":   {strings.Repeat("1 ", 300), strings.TrimSpace(strings.Repeat("<n> ", 64))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tally.Cause(c.text); got != c.want {
				t.Errorf("Cause(%q) = %q, want %q", c.text, got, c.want)
			}
			if got := tally.Cause(c.want); got != c.want {
				t.Errorf("Cause(%q) = %q, want the same", c.want, got)
			}
		})
	}
}

// TestCauseGroupsIDs holds that texts that differ only in random ids are one group.
func TestCauseGroupsIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`).Draw(t, "id")
		number := rapid.Uint32().Draw(t, "number")
		got := tally.Cause(fmt.Sprintf("Device %s lost block %d", id, number))
		if want := "Device <id> lost block <n>"; got != want {
			t.Fatalf("Cause is %q, want %q", got, want)
		}
	})
}

func checkCause(t resulttest.Fataler, text string) {
	cause := tally.Cause(text)
	if again := tally.Cause(cause); again != cause {
		t.Fatalf("Cause(%q) = %q, and of that %q", text, cause, again)
	}
	bounded := 0 < len(cause) && len(cause) <= 256
	if !bounded || !utf8.ValidString(cause) || strings.ContainsFunc(cause, unicode.IsControl) {
		t.Fatalf("Cause(%q) = %q: not 1 to 256 bytes of clean UTF-8", text, cause)
	}
	if cause == tally.CauseOther || cause == tally.CauseRecovered {
		t.Fatalf("Cause(%q) = %q, which has a meaning of its own", text, cause)
	}
}

func TestCauseIsIdempotentAndBounded(t *testing.T) {
	word := rapid.StringMatching(`[0-9a-gA-GvVxTZ:._ -]{0,40}`)
	text := rapid.OneOf(rapid.String(), word, rapid.StringOfN(rapid.SampledFrom([]rune("a1:- <")), 200, 400, -1))
	rapid.Check(t, func(t *rapid.T) { checkCause(t, text.Draw(t, "text")) })
}

func FuzzCause(f *testing.F) {
	for _, text := range resulttest.Documented() {
		f.Add(text)
	}
	f.Add("Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301 at 10.0.0.1:80, v1.2-a:b:c\xff\x00 Other")
	f.Fuzz(func(t *testing.T, text string) { checkCause(t, text) })
}
