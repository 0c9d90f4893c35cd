// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fwupgrade.io/operator/internal/upgrade"
)

// documented are the failure texts that the platform documents.
var documented = []string{
	"Device Abnormal is not online",
	"Task Conflict",
	"Waiting for the device online timeout",
	"Waiting for report cellId timeout",
	"Waiting for report device firmware version timeout",
	"Wait for the device to report upgrade result timeout",
	"Updating timeout and query device version for check timeout",
	"Waiting for device downloaded package timeout",
	"Integrity check failure for new downloaded package",
	"Unsupported package type",
	"Not enough storage for the new firmware package",
	"Out of memory during downloading process",
	"Connection lost during downloading process",
	"Invalid URI",
	"Firmware update failed",
}

func TestReasonKeepsDocumentedTexts(t *testing.T) {
	for _, text := range documented {
		if got := upgrade.Reason(text); got != text {
			t.Errorf("Reason(%q) = %q", text, got)
		}
	}
}

func TestReason(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"nothing":                  {"", upgrade.ReasonUnspecified},
		"white space":              {" \t\r\n\u00a0", upgrade.ReasonUnspecified},
		"control characters":       {"\x00\x1b\x7f\u200b\u202e", upgrade.ReasonUnspecified},
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
			if got := upgrade.Reason(c.text); got != c.want {
				t.Errorf("Reason(%q) = %q, want %q", c.text, got, c.want)
			}
			if got := upgrade.Reason(c.want); got != c.want {
				t.Errorf("Reason(%q) = %q, want the same", c.want, got)
			}
		})
	}
}

// TestReasonGroupsIDs holds that texts that differ only in random ids are one group.
func TestReasonGroupsIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`).Draw(t, "id")
		number := rapid.Uint32().Draw(t, "number")
		got := upgrade.Reason(fmt.Sprintf("Device %s lost block %d", id, number))
		if want := "Device <id> lost block <n>"; got != want {
			t.Fatalf("Reason is %q, want %q", got, want)
		}
	})
}

func checkReason(t interface{ Fatalf(string, ...any) }, text string) {
	reason := upgrade.Reason(text)
	if again := upgrade.Reason(reason); again != reason {
		t.Fatalf("Reason(%q) = %q, and of that %q", text, reason, again)
	}
	if len(reason) == 0 || len(reason) > 256 || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) {
		t.Fatalf("Reason(%q) = %q: not 1 to 256 bytes of clean UTF-8", text, reason)
	}
	if reason == upgrade.ReasonOther || reason == upgrade.ReasonRecovered {
		t.Fatalf("Reason(%q) = %q, which has a meaning of its own", text, reason)
	}
}

func TestReasonIsIdempotentAndBounded(t *testing.T) {
	word := rapid.StringMatching(`[0-9a-gA-GvVxTZ:._ -]{0,40}`)
	text := rapid.OneOf(rapid.String(), word, rapid.StringOfN(rapid.SampledFrom([]rune("a1:- <")), 200, 400, -1))
	rapid.Check(t, func(t *rapid.T) { checkReason(t, text.Draw(t, "text")) })
}

func FuzzReason(f *testing.F) {
	for _, text := range documented {
		f.Add(text)
	}
	f.Add("Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301 at 10.0.0.1:80, v1.2-a:b:c\xff\x00 Other")
	f.Fuzz(func(t *testing.T, text string) { checkReason(t, text) })
}

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
			if got := upgrade.CutString(c.text, c.max); got != c.want {
				t.Errorf("CutString(%q, %d) = %q, want %q", c.text, c.max, got, c.want)
			}
		})
	}
}

func FuzzCutString(f *testing.F) {
	f.Add("aé\xff\U0001F600", 4)
	f.Fuzz(func(t *testing.T, text string, maxBytes int) {
		cut := upgrade.CutString(text, maxBytes)
		if len(cut) > max(maxBytes, 0) || !utf8.ValidString(cut) {
			t.Fatalf("CutString(%q, %d) = %q", text, maxBytes, cut)
		}
		if utf8.ValidString(text) && (!strings.HasPrefix(text, cut) || len(cut) < min(len(text), maxBytes)-3) {
			t.Fatalf("CutString(%q, %d) = %q: lost too much", text, maxBytes, cut)
		}
	})
}
