// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"unicode/utf8"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// id returns the id of something, or what is wrong with it. Nothing is guessed, as two devices could become one.
func (v *idValue) id() (id, problem string) {
	switch {
	case v.odd != "":
		return "", fmt.Sprintf("is a JSON %s, not a string", v.odd)
	case v.differs:
		return "", "stands there several times, with different values"
	}
	return v.text, result.CheckID(v.text)
}

// version returns a version for people. One of several that differ, or of which one has no text, is marked as a text
// that could not be read, so that it counts as no other version.
func (v *value) version() string {
	const mark = string(utf8.RuneError)
	if v.differs || v.hasNoText() {
		return result.Clean(v.text, storage.MaxVersionBytes-len(mark)) + mark
	}
	return result.Clean(v.text, storage.MaxVersionBytes)
}
