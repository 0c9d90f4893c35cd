// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"strings"
	"testing"
)

// wrongSecret is none of the webhook's.
const wrongSecret = "a-secret-that-nobody-has-given-me"

// wrongSecrets guesses: over one connection after the other, and many times over one.
func wrongSecrets(t *testing.T, w *webhook) {
	const guessers, guesses, atOnce = 32, 40, 1000
	many := strings.Repeat(push(wrongSecret, notification("guessed", "d", "SUCCESS")), atOnce)
	each(guessers, func(n int) {
		for i := range guesses {
			sent := push(wrongSecret, "{}")
			if i%8 == 0 {
				sent = many
			}
			got := w.exchange(t, source(n%slowSources), sent, 0)
			if !got.closed || len(got.statuses) != 1 || got.statuses[0] != "401" {
				t.Errorf("answered %v, closed: %v", got.statuses, got.closed)
			}
		}
	})
	w.checkCountedBeside(t)
	lines := strings.Count(w.log.String(), "Turned away a request")
	if lines > 2 { // a minute may begin anew meanwhile
		t.Errorf("%d lines tell of it", lines)
	}
}
