// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// rejectedNotification is what is stored of an authentic push that can't be used.
func rejectedNotification(arrived time.Time, reason string, body []byte) *storage.RejectedNotification {
	return &storage.RejectedNotification{
		ReceiveTime: metav1.NewMicroTime(arrived),
		Reason:      printable(reason, storage.MaxRejectedReasonBytes),
		Body:        result.CutString(beginning(body), storage.MaxRejectedBodyBytes),
	}
}

// beginning copies as much of a body as may be stored; the body itself is read into memory that is used again.
func beginning(body []byte) string {
	return string(body[:min(len(body), storage.MaxRejectedBodyBytes)])
}

// printable replaces what would garble a line of text, and cuts it.
func printable(s string, maxBytes int) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, result.CutString(s, maxBytes))
	return result.CutString(clean, maxBytes)
}
