// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"unicode/utf8"

	"fwupgrade.io/operator/internal/result"
)

const (
	// maxNames is how many applications a message names.
	maxNames = 3
	// maxNameBytes is how much of an id, a version or another name a message shows.
	maxNameBytes = 64
	// ellipsis stands for what was cut off.
	ellipsis = "…"
)

// Short returns a text as it may stand in a message, cut to so many bytes so that there is room for what follows; "…"
// says that it was cut.
func Short(text string, maxBytes int) string {
	if clean := result.Clean(text, utf8.UTFMax*len(text)); len(clean) <= maxBytes {
		return clean
	}
	return result.Clean(text, maxBytes-len(ellipsis)) + ellipsis
}

// Name returns an id, a version or another name from outside as it may stand in a message.
func Name(id string) string { return Short(id, maxNameBytes) }
