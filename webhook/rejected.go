// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"time"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// original is a push as it came, byte for byte, so that it can be pushed again: of its body as much as is kept.
type original struct {
	// body is the body, or its beginning.
	body []byte
	// size is how many bytes the body had.
	size int64
	// encoding is the Content-Encoding; empty for none.
	encoding string
}

// newOriginal copies what is kept of a body: it was read into memory that is used again.
func newOriginal(body []byte, size int64, encoding string) original {
	kept := bytes.Clone(body[:min(len(body), storage.MaxRejectedBodyBytes)])
	return original{body: kept, size: size, encoding: encoding}
}

// rejectedNotification is what is stored of an authentic push that can't be used.
func rejectedNotification(arrived time.Time, reason string, push original) *storage.RejectedNotification {
	rejected := &storage.RejectedNotification{
		ReceiveTime:     metav1.NewMicroTime(arrived),
		Reason:          result.Clean(reason, storage.MaxRejectedReasonBytes),
		ContentEncoding: push.encoding,
	}
	text := push.body
	if int64(len(text)) < push.size {
		rejected.BodyBytes = push.size
		text = wholeRunes(text)
	}
	if isReadable(text) {
		rejected.Body = string(text)
	} else {
		rejected.RawBody = push.body
	}
	return rejected
}

// isReadable says whether a text can be printed as it is: it is UTF-8, and nothing in it moves a cursor, changes a
// colour or turns the order of characters around.
func isReadable(text []byte) bool {
	moves := func(r rune) bool {
		return result.IsHidden(r) && r != '\t' && r != '\n' && r != '\r' && !unicode.Is(unicode.Zs, r) // any blank
	}
	return utf8.Valid(text) && bytes.IndexFunc(text, moves) < 0
}

// wholeRunes returns a text that was cut without the part of a character that may be left at its end.
func wholeRunes(text []byte) []byte {
	for tail := 1; tail < utf8.UTFMax && tail <= len(text); tail++ {
		if end := len(text) - tail; utf8.RuneStart(text[end]) {
			if !utf8.FullRune(text[end:]) {
				return text[:end]
			}
			break
		}
	}
	return text
}
