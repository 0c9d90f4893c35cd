// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is taken for a code. Longer numbers are ids, times or sizes.
const (
	// maxCodeDigits is how many digits a code may have; the platform's own have up to seven.
	maxCodeDigits = 8
	// maxSignedDigits is how many a negative one may have: 32 bits.
	maxSignedDigits = 10
	// maxLoneDigits is how many a code may have, or a hexadecimal one such as 0x11, that nothing announces.
	maxLoneDigits = 4
	// maxDottedDigits and maxDottedParts bound a code such as 4.04 or 404.13.
	maxDottedDigits = 3
	maxDottedParts  = 3
	// maxNameLetters and maxNameDigits bound each part of a code such as ERR-FOTA-17, and maxDottedNumber the number of
	// one such as IOTDA.014016.
	maxNameLetters  = 12
	maxNameDigits   = 6
	maxDottedNumber = 8
	// maxLeadBytes is how much of the text before a number is looked at.
	maxLeadBytes = 64
	// maxFillers is how many words, as "is" or "number", may stand between the word that announces a code and the code.
	maxFillers = 2
)

// place is a part of a text, with what stands around it.
type place struct {
	text       string
	start, end int
}

func (p place) word() string   { return p.text[p.start:p.end] }
func (p place) before() string { return p.text[:p.start] }
func (p place) after() string  { return p.text[p.end:] }

// isCode says whether a number tells causes apart: it is short, a word before it announces a code, or it opens the text
// or is all of it, and nothing after it makes it an amount.
func (p place) isCode() bool {
	word, after := p.word(), p.after()
	if !isShortNumber(word, strings.HasSuffix(p.before(), "-")) || continues(after) || isAmount(after) {
		return false
	}
	switch p.leads() {
	case leadCode:
		return true
	case leadFailure:
		return !goesOn(after)
	case leadNone:
		return isHTTPStatus(word) && strings.Contains(strings.ToLower(p.text), "http")
	case leadStart:
		return after == "" || strings.IndexByte(word, '.') < 0 && len(word) <= maxNameDigits && opens(after)
	}
	return false
}

// isHTTPStatus says whether a number may be the status of an HTTP answer that failed.
func isHTTPStatus(word string) bool {
	return len(word) == 3 && (word[0] == '4' || word[0] == '5') && !strings.Contains(word, ".")
}

// isHexCode says whether a number such as 0x11 tells causes apart. One of more than four digits that nothing announces
// is an address, and in a text about checksums each is a checksum.
func (p place) isHexCode() bool {
	digits := len(p.word()) - len("0x")
	if isAmount(p.after()) {
		return false
	}
	switch lead := p.leads(); lead {
	case leadCode, leadFailure:
		return digits <= maxCodeDigits
	case leadNone, leadStart:
		text := strings.ToLower(p.text)
		return digits <= maxLoneDigits && !strings.Contains(text, "crc") && !strings.Contains(text, "checksum") &&
			!strings.Contains(text, "校验")
	}
	return false
}

// isShortNumber says whether a word is a number of few digits, or a few of these joined by dots.
func isShortNumber(word string, negative bool) bool {
	if strings.Trim(word, "0123456789.") != "" {
		return false
	}
	parts := strings.Split(word, ".")
	if len(parts) == 1 {
		return len(word) <= maxCodeDigits || negative && len(word) <= maxSignedDigits
	}
	for _, part := range parts {
		if len(part) > maxDottedDigits {
			return false
		}
	}
	return len(parts) <= maxDottedParts
}

// isAnnouncedCode says whether a part is a code once one is announced: a short hexadecimal number without 0x, such as
// 4b or 8007000E, or a short number with letters behind that are no unit, as 5xx.
func isAnnouncedCode(part string) bool {
	if count(part).hex == len(part) {
		return len(part) <= maxLoneDigits || len(part) <= maxCodeDigits && part == strings.ToUpper(part)
	}
	letters := strings.TrimLeft(part, "0123456789")
	return len(letters) < len(part) && len(part) <= maxLoneDigits &&
		count(letters).letters == len(letters) && !isUnit(strings.ToLower(letters))
}

// isCodeName says whether a word is a code by its form: capital letters and a short number, as E1003, ORA-00942 and
// IOTDA.014016. One that begins with a word for a device is not, nor a long one of hexadecimal digits alone.
func isCodeName(word string) bool {
	name := strings.TrimRight(word, "0123456789")
	digits := len(word) - len(name)
	maxDigits, joined := maxNameDigits, strings.TrimRight(name, "-_.")
	if strings.HasSuffix(name, ".") {
		maxDigits = maxDottedNumber
	}
	counts := count(word)
	if digits == 0 || digits > maxDigits || len(name)-len(joined) > 1 ||
		counts.hex == counts.letters+counts.digits && counts.hex >= minIDPart {
		return false
	}
	for part := range strings.FieldsFuncSeq(joined, func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
		isName := part == strings.ToUpper(part) || joined != name && name[len(name)-1] == '.' && capitals(part) >= 2
		if len(part) > maxNameLetters || count(part).letters != len(part) || !isName || isDeviceWord(part) {
			return false
		}
	}
	return joined != ""
}

func capitals(s string) int {
	n := 0
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			n++
		}
	}
	return n
}

// lead is what the text before a word announces.
type lead int

const (
	leadNone    lead = iota
	leadStart        // nothing stands before it
	leadCode         // a code
	leadFailure      // perhaps a code: it is said that something failed
	leadDevice       // a device, or another thing with an id
	leadAddress      // an address, an offset or a checksum
	leadPath         // a part of a path
)

// identifies says whether what follows is an id, whatever it looks like.
func (l lead) identifies() bool { return l == leadDevice || l == leadPath }

// leads says what the text before a place announces: by its last word, but for fillers and for signs that link.
func (p place) leads() lead {
	before := p.before()
	before = before[max(0, len(before)-maxLeadBytes):]
	if isHTTPVersion(before) {
		return leadCode
	}
	if chunk := before[strings.LastIndexAny(before, " \"'()[],:=")+1:]; strings.Contains(chunk, "/") {
		return leadPath
	}
	if strings.HasSuffix(before, "@") {
		return leadAddress
	}
	for range maxFillers + 1 {
		trimmed := strings.TrimRightFunc(before, isLink)
		gap := before[len(trimmed):]
		word := lastWord(trimmed)
		if trimmed == "" && len(p.before()) <= maxLeadBytes {
			return leadStart
		}
		if isFiller(strings.ToLower(word)) {
			before = trimmed[:len(trimmed)-len(word)]
			continue
		}
		rest := trimmed[:len(trimmed)-len(word)]
		isPart := rest != "" && isDigit(rest[len(rest)-1])
		if isPart || strings.Contains(gap, ". ") { // of a name, or a new sentence
			return leadNone
		}
		return leadOf(word)
	}
	return leadNone
}

// isHTTPVersion says whether a text ends with HTTP/, with or without a version, so that a status follows.
func isHTTPVersion(s string) bool {
	s = strings.TrimRight(strings.TrimRight(s, " "), "0123456789.")
	return strings.HasSuffix(strings.ToLower(s), "http/")
}

// isLink says whether a character may stand between a code and the word that announces it.
func isLink(r rune) bool {
	return r == ' ' || strings.ContainsRune("-_.:=#,([{<\"'°№：＝＃（【［「『“‘，、", r)
}

// lastWord returns the letters at the end of a text.
func lastWord(s string) string {
	return s[len(strings.TrimRightFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) })):]
}

// continues says whether a number goes on behind its end, as in 17/20, 4,096 and 3.3V.
func continues(after string) bool {
	if len(after) < 2 {
		return false
	}
	digits := len(after) - 1 - len(strings.TrimLeft(after[1:], "0123456789"))
	return strings.IndexByte("/-_.:", after[0]) >= 0 && digits > 0 || after[0] == ',' && digits == 3
}

// goesOn says whether a word in small letters follows, so that the number is a part of a sentence.
func goesOn(after string) bool {
	rest := strings.TrimLeft(after, " ")
	r, _ := utf8.DecodeRuneInString(rest)
	return rest != after && unicode.IsLower(r)
}

// opens says whether what follows a number at the beginning of a text makes it a code: "404 Not Found", "7: timeout".
func opens(after string) bool {
	rest := strings.TrimLeft(after, " ")
	r, _ := utf8.DecodeRuneInString(rest)
	return rest != "" && !isDigitRune(r) && r != '<' && !goesOn(after)
}

// isAmount says whether what follows makes a number an amount: a unit, a percent sign, or a word in the plural.
func isAmount(after string) bool {
	rest := strings.TrimLeft(after, " ")
	for _, unit := range []string{
		"%", "％", "‰", "°", "次", "秒", "毫秒", "分", "小时", "天", "年", "月", "日", "時", "时", "个", "個", "台", "块", "包",
		"行", "字节", "回", "バイト", "초", "분", "번", "개",
	} {
		if strings.HasPrefix(rest, unit) {
			return true
		}
	}
	word := rest[:len(rest)-len(strings.TrimLeftFunc(rest, unicode.IsLetter))]
	if rest == after || word == "" {
		return false
	}
	if tail := rest[len(word):]; word == "of" && len(tail) > 1 && isDigit(tail[1]) || isUnit(strings.ToLower(word)) {
		return true
	}
	return isPlural(word) && !strings.HasPrefix(rest[len(word):], ":")
}

// isPlural says whether a word may be an English plural in small letters, so that a number before it counts something.
func isPlural(word string) bool {
	switch word {
	case "this", "does", "means", "status", "occurs":
		return false
	}
	return len(word) > 3 && word == strings.ToLower(word) && word[len(word)-1] == 's' && word[len(word)-2] != 's'
}
