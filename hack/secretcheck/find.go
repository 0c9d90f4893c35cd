// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
)

// What a secret looks like.
var (
	// callbackURL is the callback's path with something behind it that is no placeholder, as "<secret>" is.
	callbackURL = regexp.MustCompile(`messageReceiver/+[A-Za-z0-9._~!$&'()*+,;=:@-]*[A-Za-z0-9]{4}`)
	// serviceAccountToken is a JSON web token: two objects and a signature.
	serviceAccountToken = regexp.MustCompile(`eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}`)
	// privateKey begins one, in PEM.
	privateKey = regexp.MustCompile(`-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----`)
	// encoded is a byte as URLs have it, escape one as JSON and Go have it.
	encoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	escape  = regexp.MustCompile(`\\(u00[0-9A-Fa-f]{2}|x[0-9A-Fa-f]{2}|/)`)
)

// finder finds secrets in a line.
type finder struct {
	// texts are what is looked for as it stands, and what it is called.
	texts map[string]string
}

// newFinder looks for known secrets, also in base64, as Kubernetes shows them, and for what has the shape of one.
func newFinder(secrets []string) *finder {
	f := &finder{texts: map[string]string{}}
	for _, secret := range secrets {
		f.texts[secret] = "a secret of the callback"
		f.addBase64(secret, "a secret of the callback, in base64")
	}
	for _, kind := range []string{"", "RSA ", "EC "} {
		f.addBase64("-----BEGIN "+kind+"PRIVATE KEY", "a private key, in base64")
	}
	return f
}

// addBase64 looks for a text in base64, whatever stands before and behind it. Base64 writes three bytes at a time, so
// how a text is written depends on where in three bytes it begins. What of it shares its three bytes with something
// else is left out.
func (f *finder) addBase64(text, what string) {
	for before := range 3 {
		inner := text[before:]
		f.texts[base64.RawStdEncoding.EncodeToString([]byte(inner[:len(inner)/3*3]))] = what
	}
}

// find says what secret is in a line; nothing if there is none.
func (f *finder) find(line string) string {
	for _, form := range forms(line) {
		for text, what := range f.texts {
			if strings.Contains(form, text) {
				return what
			}
		}
		switch {
		case callbackURL.MatchString(form):
			return "the callback's URL with something behind it"
		case serviceAccountToken.MatchString(form):
			return "a token of a service account"
		case privateKey.MatchString(form):
			return "a private key"
		}
	}
	return ""
}

// forms returns a line as it is, without what URLs, JSON or Go encode, and without what is encoded twice.
func forms(line string) []string {
	all := []string{line}
	for range 2 {
		plain := escape.ReplaceAllStringFunc(encoded.ReplaceAllStringFunc(line, decode), decode)
		if plain == line {
			break
		}
		line = plain
		all = append(all, line)
	}
	return all
}

// decode turns an encoded byte into itself.
func decode(text string) string {
	if text == `\/` {
		return "/"
	}
	value, err := strconv.ParseUint(text[len(text)-2:], 16, 8)
	if err != nil {
		return text
	}
	return string([]byte{byte(value)})
}
