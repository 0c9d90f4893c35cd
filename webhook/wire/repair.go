// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// byteOrderMark may stand before a text and says nothing about it, in UTF-8.
const byteOrderMark = '\ufeff'

// plainText returns the text of a body: what is UTF-16 as UTF-8, and without the blanks, control characters and byte
// order marks around it. It may share the memory of the body and does not change it.
func plainText(body []byte) []byte {
	if order := utf16Order(body); order != nil {
		units := make([]uint16, len(body)/2)
		for i := range units {
			units[i] = order.Uint16(body[2*i:])
		}
		text := make([]byte, 0, len(body))
		for _, r := range utf16.Decode(units) {
			text = utf8.AppendRune(text, r)
		}
		if len(body)%2 != 0 {
			text = append(text, body[len(body)-1]) // half a character: a zero is padding, anything else no JSON
		}
		body = text
	}
	return withoutPadding(body)
}

// withoutPadding returns a text without the blanks, control characters and byte order marks around it.
func withoutPadding(text []byte) []byte {
	return bytes.TrimFunc(text, func(r rune) bool { return r <= ' ' || r == byteOrderMark })
}

// utf16Order returns the byte order of a body in UTF-16, which begins with a mark or with the brace of an object and
// another ASCII character, after whatever blanks; nil for every other body.
func utf16Order(body []byte) binary.ByteOrder {
	for _, order := range [...]binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		rest := body
		for len(rest) >= 4 && order.Uint16(rest) <= ' ' {
			rest = rest[2:]
		}
		if len(rest) < 4 {
			continue
		}
		first, second := order.Uint16(rest), order.Uint16(rest[2:])
		if first == byteOrderMark || first == '{' && second < utf8.RuneSelf {
			return order
		}
	}
	return nil
}

// standIn takes the place of a backslash that has none in a JSON text. It is a control character, so that an id can't
// hold it and a text shows that something stood there.
const standIn = '\x7f'

// repaired appends to fixed a JSON text in which the mistakes that leave no doubt are made good: a control character
// within a string is escaped, one between two tokens becomes a blank, and a backslash that escapes nothing is replaced.
// With pairs, strings are read as an older encoding of Chinese or Japanese, in which a byte above ASCII and the next
// one are one character: the second may look like a backslash. What is appended is at most six times as long as the
// text. mended is false if there is nothing to repair.
func repaired(fixed, text []byte, pairs bool) (_ []byte, mended bool) {
	const hexDigits = "0123456789abcdef"
	inString := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			inString = !inString
			fixed = append(fixed, c)
		case !inString:
			mended = mended || c < ' '
			fixed = append(fixed, max(c, ' '))
		case c < ' ':
			mended = true
			fixed = append(fixed, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case pairs && isPair(text[i:]):
			mended = true
			i++
			fixed = append(fixed, c, standIn)
		case c == '\\' && isEscape(text[i:]):
			i++
			fixed = append(fixed, c, text[i])
		case c == '\\':
			mended = true
			fixed = append(fixed, standIn)
		default:
			fixed = append(fixed, c)
		}
	}
	return fixed, mended
}

// isPair says whether a text begins with a character of two bytes in GBK, Big5 or Shift JIS. Its second byte is never a
// quotation mark.
func isPair(text []byte) bool { return len(text) > 1 && text[0] > 0x80 && text[1] >= '0' }

// isEscape says whether a text that begins with a backslash begins with an escape sequence of JSON.
func isEscape(text []byte) bool {
	if len(text) < 2 {
		return false
	}
	if text[1] != 'u' {
		return bytes.IndexByte([]byte(`"\/bfnrt`), text[1]) >= 0
	}
	if len(text) < 6 {
		return false
	}
	for _, c := range text[2:6] {
		if !isHexDigit(c) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
