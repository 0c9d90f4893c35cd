// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"

	"fwupgrade.io/operator/internal/result"
)

// value is what a message says of one thing. It takes whatever comes: what is odd about it costs the notification only
// where that thing is needed.
type value struct {
	// text is the string without the padding around it, or the number as it was written; empty for everything else. null
	// and empty strings say nothing: they don't replace what was said before.
	text string
	// odd names the JSON type of what came where it was no string: "number", or, whatever came beside it, the type that
	// has no text: "array", "object" or "bool".
	odd string
	// differs says that the key stands several times, with different values. The last one is the text.
	differs bool
	// contradicts says that these values also differ as words and numbers: "FAIL" and "Fail" do not, nor 1 and "1.0".
	contradicts bool
}

// idValue is what a message says of an id. Of what is around it only blanks are no part of it: no id of the platform
// has any, nor can one in a spec.
type idValue struct{ value }

// UnmarshalJSON takes any JSON value. It fails for strings that are none.
func (v *value) UnmarshalJSON(data []byte) error { return v.read(data, result.IsPadding) }

// UnmarshalJSON takes any JSON value. It fails for strings that are none.
func (v *idValue) UnmarshalJSON(data []byte) error { return v.read(data, unicode.IsSpace) }

// read reads a JSON value, of a string what is not around it as padding.
func (v *value) read(data []byte, padding func(rune) bool) error {
	switch c := data[0]; {
	case c == '"':
		s, err := unquote(data, padding)
		if err != nil {
			return err
		}
		v.set(s)
	case c == '{':
		v.odd = "object"
	case c == '[':
		v.odd = "array"
	case c == 't', c == 'f':
		v.odd = "bool"
	case c != 'n':
		if !v.hasNoText() {
			v.odd = "number"
		}
		v.set(string(bytes.TrimSpace(data)))
	}
	return nil
}

// hasNoText says whether something came that has no text.
func (v *value) hasNoText() bool { return v.odd != "" && v.odd != "number" }

func (v *value) set(s string) {
	if s == "" {
		return
	}
	if v.text != "" && v.text != s {
		v.differs = true
		v.contradicts = v.contradicts || !strings.EqualFold(withoutFraction(v.text), withoutFraction(s))
	}
	v.text = s
}

// withoutFraction returns a number without a fraction of noughts, as some encoders write one to every number, and
// anything else as it is.
func withoutFraction(number string) string {
	whole, fraction, _ := strings.Cut(number, ".")
	if strings.Trim(fraction, "0") != "" || whole == "" {
		return number
	}
	return whole
}

// unquote returns a JSON string without the padding around it.
func unquote(data []byte, padding func(rune) bool) (string, error) {
	// Most strings need no unescaping; encoding/json has checked the rest of their syntax. Bytes that are not ASCII
	// take the long way, on which those that are not UTF-8 are replaced.
	if plain := data[1 : len(data)-1]; isPlain(plain) {
		return string(bytes.TrimFunc(plain, padding)), nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return "", err
	}
	trimmed := strings.TrimFunc(s, padding)
	if len(trimmed) < len(s) {
		trimmed = strings.Clone(trimmed) // the padding would stay in memory with it
	}
	return trimmed, nil
}

func isPlain(s []byte) bool {
	for _, c := range s {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}
