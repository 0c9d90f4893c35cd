// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"fwupgrade.io/operator/internal/result"
)

// mask stands where something was redacted.
const mask = "[redacted]"

const (
	// keptSecrets is how many of the last secrets, and of the last tokens, are redacted: the platform may still talk of
	// those before the present one.
	keptSecrets = 4
	// keptNamed is how many values are redacted that the caller named, and that the platform itself gave.
	keptNamed = 64
	// maxLearnedBytes is how long a URL of the platform may be to be redacted, so that it can't make every text's
	// redaction cost what it likes. In a query it has 256 at most (documented).
	maxLearnedBytes = 512
	// minPartBytes is how long a part of a callback URL must be to be redacted by itself. A shorter one is a word of
	// other texts.
	minPartBytes = 4
	// minSegmentBytes is how long one segment of its path must be for that: "messageReceiver" alone tells nothing, but
	// a secret has to be long.
	minSegmentBytes = 12
)

// redactor replaces what must not be told in every text that leaves the package: the secret, tokens, and what the
// caller named.
type redactor struct {
	mu                              sync.RWMutex
	secrets, tokens, named, learned [][]byte
}

func (r *redactor) addSecret(secret []byte) { r.add(&r.secrets, keptSecrets, secret) }
func (r *redactor) addToken(token string)   { r.add(&r.tokens, keptSecrets, []byte(token)) }

// addNamed adds values of the caller. Of a URL or a path its parts are redacted, too.
func (r *redactor) addNamed(values ...[]byte) {
	for _, value := range values {
		for _, part := range parts(value) {
			r.add(&r.named, keptNamed, part)
		}
	}
}

// addLearned adds a callback URL that the platform gave: another receiver's, perhaps. It can't replace what the caller
// named, nor be a mere word.
func (r *redactor) addLearned(callbackURL string) {
	if u, err := url.Parse(callbackURL); err != nil || u.Host == "" || len(callbackURL) > maxLearnedBytes {
		return
	}
	for _, part := range parts([]byte(callbackURL)) {
		r.add(&r.learned, keptNamed, part)
	}
}

// add adds a value to a list, of which the last ones are kept. What is around a value may be an editor's line end.
func (r *redactor) add(list *[][]byte, kept int, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return
	}
	known := func(other []byte) bool { return bytes.Equal(other, value) }
	*list = append(slices.DeleteFunc(*list, known), bytes.Clone(value))
	*list = (*list)[max(0, len(*list)-kept):]
}

// parts returns a value, and of a URL or a path also its path, its query and their longer segments, decoded.
func parts(value []byte) [][]byte {
	text := strings.TrimSpace(string(value))
	if text == "/" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Path == "" || !strings.Contains(text, "/") {
		return [][]byte{value}
	}
	found := [][]byte{[]byte(text)}
	for _, part := range []string{u.Path, u.RawQuery} {
		whole := strings.Trim(part, "/")
		if len(whole) >= minPartBytes {
			found = append(found, []byte(whole))
		} else if whole != "" {
			found = append(found, []byte(part))
		}
		for _, segment := range strings.FieldsFunc(whole, func(c rune) bool { return strings.ContainsRune("/&=", c) }) {
			if len(segment) < minSegmentBytes {
				continue
			}
			found = append(found, []byte(segment))
			if decoded, err := url.QueryUnescape(segment); err == nil && decoded != segment {
				found = append(found, []byte(decoded))
			}
		}
	}
	return found
}

// clean returns a text from outside as it may be shown: redacted, one line of visible characters, at most maxBytes
// long. It is cut to that last, so that no half of a secret is left at its end, and redacted once more after a line end
// became a blank.
func (r *redactor) clean(text string, maxBytes int) string { return r.cleanFrom(text, maxBytes, 1) }

// readFactor is how much more of a text is looked at than may be shown: what is hidden, and escapes, take room.
const readFactor = 4

func (r *redactor) cleanFrom(text string, maxBytes, least int) string {
	end := len(result.CutRunes(text, readFactor*maxBytes))
	cut := end < len(text)
	redacted := r.replace(text[:min(len(text), end+maxSpellingBytes)], end, cut, least)
	clean := result.Clean(redacted, utf8.UTFMax*len(redacted))
	if clean != redacted {
		clean = r.replace(clean, len(clean), cut, least)
	}
	if cut {
		clean += "…"
	}
	return result.Shorten(clean, maxBytes)
}

// word returns a word from outside in small letters: as it is where it is one of those that are known, else redacted.
func word[T ~string](r *redactor, text string, known ...T) T {
	lower := T(strings.ToLower(text))
	if slices.Contains(known, lower) {
		return lower
	}
	return T(strings.ToLower(r.clean(text, maxWordBytes)))
}

// id returns an id from outside without the blanks around it, as the webhook takes it; nothing where no notification
// could have it, or it holds what must not be told: what is left of it would be another device or task. Short parts of
// URLs are words, and an id may well have one: "push", "iot1".
func (r *redactor) id(id string) string {
	id = strings.TrimSpace(id)
	if result.CheckID(id) != "" || r.replace(id, len(id), false, minSegmentBytes) != id {
		return ""
	}
	return id
}

// name returns a version or another name from outside, by which a task is recognised, as it may be shown. Short parts
// of URLs are left, as in an id.
func (r *redactor) name(name string) string { return r.cleanFrom(name, maxTextBytes, minSegmentBytes) }

// replace replaces what must not be told in text[:end]; of the parts of URLs only those that have so many bytes. Where
// the text was cut there, also what may be the beginning of such a value.
func (r *redactor) replace(text string, end int, cut bool, least int) string {
	known := escapesIn(text)
	asBytes, hidden := []byte(text), make([]bool, end)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, list := range []struct {
		values [][]byte
		least  int
	}{{r.secrets, 1}, {r.tokens, 1}, {r.named, least}, {r.learned, least}} {
		for _, value := range list.values {
			switch {
			case len(value) < list.least:
			case !cut && len(known) == 0 && !bytes.Contains(asBytes, value): // nearly always
			case !cut && len(value) > end:
			default: // more of a value than that can't be in the text
				newPattern(value[:min(len(value), end+1)]).hide(text, end, cut, known, hidden)
			}
		}
	}
	return masked(text[:end], hidden)
}

// masked returns a text with a mask in place of every run of what is hidden.
func masked(text string, hidden []bool) string {
	if !slices.Contains(hidden, true) {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if !hidden[i] {
			b.WriteByte(text[i])
		} else if i == 0 || !hidden[i-1] {
			b.WriteString(mask)
		}
	}
	return b.String()
}
