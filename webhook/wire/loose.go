// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
)

// loose is a text that may come as a JSON string or number; a number is kept as it was written. null, true, false,
// objects and arrays count as absent.
type loose string

// UnmarshalJSON takes any JSON value; it fails for strings that are none.
func (l *loose) UnmarshalJSON(value []byte) error {
	switch c := value[0]; {
	case c == '"':
		// Most strings need no unescaping; encoding/json has checked the rest of their syntax. Bytes that are not
		// ASCII take the long way, on which those that are not UTF-8 are replaced.
		if plain := value[1 : len(value)-1]; isPlain(plain) {
			*l = loose(plain)
			return nil
		}
		return json.Unmarshal(value, (*string)(l))
	case c == '-', c >= '0' && c <= '9':
		*l = loose(bytes.TrimSpace(value))
	}
	return nil
}

func isPlain(s []byte) bool {
	for _, c := range s {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}
