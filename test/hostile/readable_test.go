// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// checkReadable holds that a text is what it looks like: valid UTF-8, and but for line ends without a control or format
// character, or a separator that breaks a line.
func checkReadable(t *testing.T, what, text string) {
	t.Helper()
	for n, line := range strings.Split(text, "\n") {
		at := strings.IndexFunc(line, func(r rune) bool {
			return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
		})
		if at >= 0 {
			r, _ := utf8.DecodeRuneInString(line[at:])
			t.Errorf("%s, line %d: holds %U: %q", what, n+1, r, line[max(0, at-80):min(len(line), at+40)])
			return
		}
		if !utf8.ValidString(line) {
			t.Errorf("%s, line %d: is no UTF-8: %q", what, n+1, line)
			return
		}
	}
}
