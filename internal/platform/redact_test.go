// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// spellings are the ways in which a text may hold a value.
func spellings(value string) map[string]string {
	inJSON, _ := json.Marshal(value)
	inside := func(quoted string) string { return quoted[1 : len(quoted)-1] }
	slashes := strings.ReplaceAll(string(inJSON), "/", `\/`)
	var percent, units, hex strings.Builder
	for _, c := range []byte(value) {
		_, _ = fmt.Fprintf(&percent, "%%%02x", c)
		_, _ = fmt.Fprintf(&hex, `\x%02x`, c)
	}
	for _, r := range value {
		if r > 0xffff {
			r -= 0x10000
			_, _ = fmt.Fprintf(&units, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		} else {
			_, _ = fmt.Fprintf(&units, `\u%04X`, r)
		}
	}
	return map[string]string{
		"itself": value, "JSON": inside(string(inJSON)), `JSON with \/`: inside(slashes),
		"query": url.QueryEscape(value), "path": url.PathEscape(value), "twice": url.QueryEscape(url.PathEscape(value)),
		"three times": url.PathEscape(url.PathEscape(url.PathEscape(value))), "every byte": percent.String(),
		"every character": units.String(), "every byte in Go": hex.String(), "HTML": html.EscapeString(value),
		"quoted": inside(strconv.Quote(value)), "quoted in ASCII": inside(strconv.QuoteToASCII(value)),
	}
}

func TestRedactSpellings(t *testing.T) {
	values := []string{
		testSecret, testCallback, "token-1", "%25", "a%2Fb", `back\slash\u0041`, "a b+c", "Ünïcödé-😀-end", "<&>'\"",
	}
	for _, value := range values {
		var r redactor
		r.addSecret([]byte(value))
		for name, spelling := range spellings(value) {
			got := r.clean("before "+spelling+" after", maxMessageBytes)
			if got != "before [redacted] after" {
				t.Errorf("%q as %s, %q: got %q", value, name, spelling, got)
			}
		}
	}
}

// TestRedactProperties holds that no value is left in any text, however it is mixed with others and wherever it is cut.
func TestRedactProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.StringMatching(`[ -~äé😀]{4,40}`), 1, 4).Draw(t, "values")
		var r redactor
		var text strings.Builder
		for _, value := range values {
			r.addSecret([]byte(value))
		}
		for range rapid.IntRange(1, 10).Draw(t, "pieces") {
			value := rapid.SampledFrom(values).Draw(t, "value")
			all := spellings(value)
			names := []string{"itself", "JSON", "query", "path", "twice", "every byte"}
			name := rapid.SampledFrom(names).Draw(t, "spelling")
			text.WriteString(rapid.StringMatching(`[a-z .:"/%\\]{0,30}`).Draw(t, "between"))
			text.WriteString(all[name])
		}
		got := r.clean(text.String(), rapid.IntRange(16, 200).Draw(t, "cut"))
		for _, value := range values {
			value = strings.TrimSpace(value)
			if value != "" && strings.Contains(got, value) && !strings.Contains(mask, value) {
				t.Fatalf("%q of %q has %q", got, text.String(), value)
			}
		}
	})
}

func TestRedactParts(t *testing.T) {
	cases := map[string]struct{ value, text, want string }{
		"a URL":              {testCallback, "url " + testCallback + " is illegal", "url [redacted] is illegal"},
		"its path":           {testCallback, "path /v1.0.0/messageReceiver/pa55word-in-the-path!", "path /[redacted]!"},
		"its last segment":   {testCallback, "pa55word-in-the-path", "[redacted]"},
		"its query":          {testCallback, "key=another+secret+word", "[redacted]"},
		"its query, decoded": {testCallback, "another secret word", "[redacted]"},
		"its host":           {testCallback, "receiver.example.com", "receiver.example.com"},
		"a path":             {"/hook/0123456789abcdef", "no 0123456789abcdef here", "no [redacted] here"},
		"a short path":       {"/cb", "GET /cb, curb", "GET [redacted], curb"},
		"the root":           {"/", "a/b", "a/b"},
		"a line end":         {"hunter22\n", "is hunter22.", "is [redacted]."},
		"nothing":            {"", "a", "a"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var r redactor
			r.addNamed([]byte(tc.value))
			if got := r.clean(tc.text, maxMessageBytes); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestRedactBeforeCutting holds that no half of a secret is left where a text is cut, and none that a blank was put
// into.
func TestRedactBeforeCutting(t *testing.T) {
	var r redactor
	r.addSecret([]byte("correct horse battery"))
	for n := range 60 {
		got := r.clean(strings.Repeat("x", n)+"correct horse battery", 40)
		if strings.Contains(got, "corr") {
			t.Errorf("after %d bytes: %q", n, got)
		}
	}
	r.addSecret([]byte("tab\tin it"))
	if got := r.clean("tab\tin it", 80); got != mask {
		t.Errorf("got %q", got)
	}
	if got := r.clean("correct\nhorse\tbattery", 80); got != mask {
		t.Errorf("got %q", got)
	}
}

// TestRedactWhereCut holds that of a value at which a long text is cut nothing is left, however it is spelled there and
// whatever of the text before takes no room.
func TestRedactWhereCut(t *testing.T) {
	const value, shown = "QWZ/QVZ QUZWKQWVZUK", 40
	var r redactor
	r.addSecret([]byte(value))
	for name, spelling := range spellings(value) {
		for n := range len(spelling) + 1 {
			hidden := strings.Repeat(value, 9)[:shown*readFactor-n]
			hidden = hidden[:len(hidden)/len(value)*len(value)]
			text := hidden + strings.Repeat("x", shown*readFactor-n-len(hidden)) + spelling + "after"
			got := r.clean(text, shown)
			if strings.ContainsAny(got, `QWZVUK/ %\0123456789`) {
				t.Errorf("%s, cut after %d bytes of it: %q", name, n, got)
			}
		}
	}
}

// TestRedactRepetitions holds that texts which may be read in very many ways are redacted as others are: the way in
// which that is done takes no turn back.
func TestRedactRepetitions(t *testing.T) {
	for text, value := range map[string]string{
		strings.Repeat(`\`, 2000): strings.Repeat(`\`, 34) + "b", strings.Repeat("%25", 1300): strings.Repeat("%", 200) + "b",
		strings.Repeat("a", 4000):  strings.Repeat("a", maxTokenBytes-1) + "b",
		strings.Repeat("a+", 2000): strings.Repeat("a ", 50) + "b",
	} {
		var r redactor
		for n := range keptSecrets {
			r.addToken(value[n:])
		}
		for range 100 { // as many texts as a page has
			if got := r.clean(text, maxTextBytes); strings.Contains(got, mask) || !strings.HasPrefix(got, text[:4]) {
				t.Fatalf("%.20q…: %.20q…", text, got)
			}
		}
		got := r.clean(text[:2000]+value+"|", len(text)+len(value))
		if !strings.Contains(got, mask) || !strings.HasSuffix(got, "|") {
			t.Errorf("%.20q…: %.20q…", text, got)
		}
	}
}

// TestRedactIsBounded holds that a platform that names thousands of callback URLs takes no place of the caller's.
func TestRedactIsBounded(t *testing.T) {
	var r redactor
	r.addNamed([]byte(testCallback))
	r.addSecret([]byte(testSecret))
	for i := range 1000 {
		r.addLearned(fmt.Sprintf("https://example.com/other/receiver-number-%d", i))
		r.addToken(fmt.Sprintf("token-%d", i))
	}
	r.addLearned("the") // is no URL
	r.addLearned("https://example.com/" + strings.Repeat(`\`, 1000))
	got := r.clean("the "+testSecret+" of "+testCallback+" token-999", 99)
	if got != "the [redacted] of [redacted] [redacted]" {
		t.Errorf("got %q", got)
	}
	if len(r.learned) > keptNamed || len(r.tokens) > keptSecrets {
		t.Errorf("%d learned, %d tokens", len(r.learned), len(r.tokens))
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("a%25", "x%2525y")
	f.Add("é\\u", `\u00e9\\u`)
	f.Fuzz(func(t *testing.T, secret, text string) {
		var r redactor
		r.addSecret([]byte(secret))
		got := r.clean(text+secret+text, maxTextBytes)
		if secret = strings.TrimSpace(secret); len(secret) > len(mask) && strings.Contains(got, secret) {
			t.Errorf("%q has %q", got, secret)
		}
	})
}
