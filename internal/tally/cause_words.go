// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import "strings"

// joiners are the characters that hold the parts of an id, an address, a version or a time together.
const joiners = "-_.:"

// Bounds of what is taken for an id. Error codes and the names of techniques (E1234, SHA256, HTTP2, UTF-8) are shorter
// and stay, because they tell causes apart.
const (
	// minIDPart is how many characters a part of a word needs to be an id.
	minIDPart = 8
	// minIDWord is how many letters and digits a whole word of short parts needs to be an id.
	minIDWord = 16
	// minMixedID is how many characters a part needs to be an id in which letters and digits alternate.
	minMixedID = 6
	// minPathDigits is how many digits a part of a path needs to be an id.
	minPathDigits = 3
	// maxUnit is how many letters after a number are taken for its unit.
	maxUnit = 3
)

// replaceWord returns what stands in a cause for a word that neither begins nor ends with a joiner.
func replaceWord(p place) string {
	word := p.word()
	switch {
	case isColonHex(word):
		return placeholderID
	case !strings.ContainsFunc(word, isDigitRune):
		return word
	case isNumber(word):
		return replaceNumber(p)
	case isCodeName(word) && !p.leads().identifies(), isAnnouncedCode(word) && p.leads() == leadCode:
		return word
	case isIDWord(word):
		return placeholderID
	}
	var b strings.Builder
	part := p
	for part.start < p.end {
		part.end = p.end
		if end := strings.IndexAny(part.word(), joiners); end >= 0 {
			part.end = part.start + end
		}
		b.WriteString(replacePart(part))
		if part.end < p.end {
			b.WriteByte(p.text[part.end])
		}
		part.start = part.end + 1
	}
	return b.String()
}

// replaceNumber returns what stands in a cause for a number, a version, an address, a date or a time.
func replaceNumber(p place) string {
	if p.isCode() {
		return p.word()
	}
	return placeholderNumber
}

// replacePart returns what stands in a cause for a part of a word, without joiners.
func replacePart(p place) string {
	part := p.word()
	switch {
	case count(part).digits == 0:
		return part
	case isNumber(part):
		return replaceNumber(p)
	case isHexNumber(part):
		if p.isHexCode() {
			return part
		}
		return placeholderNumber
	case isAnnouncedCode(part) && p.leads() == leadCode:
		return part
	case isDigit(part[0]):
		return replaceAmount(part)
	}
	return replaceName(part, p.leads())
}

// replaceAmount returns what stands in a cause for a part that begins with a digit: a number with a unit, or an id.
func replaceAmount(part string) string {
	unit := strings.TrimLeft(part, "0123456789")
	if len(unit) <= maxUnit && !strings.ContainsFunc(unit, isDigitRune) {
		return placeholderNumber + unit
	}
	return placeholderID
}

// replaceName returns what stands in a cause for a part that begins with a letter and has a digit.
func replaceName(part string, lead lead) string {
	counts := count(part)
	name := strings.TrimRight(part, "0123456789")
	isNumbered := counts.digits == len(part)-len(name)
	switch {
	case lead == leadDevice, lead == leadPath && counts.digits >= minPathDigits:
		return placeholderID
	case isNumbered && isDeviceWord(name):
		return name + placeholderNumber
	case isNumbered && counts.digits <= maxCodeDigits && isCodeWord(name), isCodeName(part):
		return part
	case len(part) >= minIDPart && (counts.digits >= 2 || counts.hex == len(part)),
		len(part) >= minMixedID && alternates(part):
		return placeholderID
	}
	return part
}

// isNumber says whether a word is a number, a version, an IPv4 address, a date or a time: digits, joined by joiners or
// the T of a timestamp, perhaps with a v before or a Z behind.
func isNumber(word string) bool {
	word = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(word, "v"), "V"), "Z")
	digits := false
	for i := range len(word) {
		switch {
		case isDigit(word[i]):
			digits = true
		case digits && i+1 < len(word) && (word[i] == 'T' || isJoiner(word[i])):
			digits = false
		default:
			return false
		}
	}
	return digits
}

// isHexNumber says whether a part is a number such as 0x1F.
func isHexNumber(part string) bool {
	digits, found := strings.CutPrefix(strings.ToLower(part), "0x")
	return found && digits != "" && count(digits).hex == len(digits)
}

// isColonHex says whether a word is an IPv6 or a MAC address: groups of hexadecimal digits and at least two colons.
func isColonHex(word string) bool {
	colons := strings.Count(word, ":")
	if colons < 2 {
		return false
	}
	counts := count(word)
	return counts.hex+colons == len(word) && (counts.digits > 0 && counts.hex > counts.digits || colons >= 5)
}

// isIDWord says whether a whole word, with its joiners, is an id: a UUID or another long hexadecimal one, or a long
// mixture without a part that reads like a word.
func isIDWord(word string) bool {
	counts := count(word)
	alphanumeric := counts.letters + counts.digits
	if counts.hex == alphanumeric && alphanumeric >= minIDPart {
		return true
	}
	if alphanumeric < minIDWord || counts.digits < 3 {
		return false
	}
	for part := range strings.FieldsFuncSeq(word, func(r rune) bool { return strings.ContainsRune(joiners, r) }) {
		if readsLikeWord(part) {
			return false
		}
	}
	return true
}

// readsLikeWord says whether a part has at least five letters, nothing else, and no change of case within.
func readsLikeWord(part string) bool {
	if len(part) < 5 || count(part).letters != len(part) {
		return false
	}
	tail := part[1:]
	return tail == strings.ToLower(tail) || part == strings.ToUpper(part)
}

// alternates says whether letters and digits take turns at least three times, as they do in ids and hardly in names.
func alternates(part string) bool {
	turns := 0
	for i := 1; i < len(part); i++ {
		if isDigit(part[i]) != isDigit(part[i-1]) {
			turns++
		}
	}
	return turns >= 3
}

// characters counts the kinds of characters in a string; a digit is also hex.
type characters struct{ letters, digits, hex int }

func count(s string) characters {
	var c characters
	for i := range len(s) {
		switch b := s[i]; {
		case isDigit(b):
			c.digits++
			c.hex++
		case isLetter(b):
			c.letters++
			if lower := b | 0x20; lower <= 'f' {
				c.hex++
			}
		}
	}
	return c
}

func isDigit(b byte) bool     { return '0' <= b && b <= '9' }
func isDigitRune(r rune) bool { return '0' <= r && r <= '9' }
func isLetter(b byte) bool    { return 'a' <= b|0x20 && b|0x20 <= 'z' }
func isJoiner(b byte) bool    { return strings.IndexByte(joiners, b) >= 0 }
func isWordByte(b byte) bool  { return isDigit(b) || isLetter(b) || isJoiner(b) }
