// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// writeResult is what the error of a write means for the entries.
type writeResult int

const (
	// writeStored means that the slice is stored.
	writeStored writeResult = iota
	// writeRefused means that this slice will never be stored as it is: its content is refused.
	writeRefused
	// writeUnclear means that it is not stored yet, or that nobody knows: the same slice is to be sent again.
	writeUnclear
	// writeFull means that the cluster's store takes nothing from here for now: that lasts longer than senders wait.
	writeFull
)

// What the admission policy of the store says (config/policy/store.yaml). The API server gives the reason Forbidden and
// its text, and nothing else to know the policy by.
const (
	policyDenied  = "denied request: "
	textFull      = policyDenied + "the store is full"
	textOtherName = policyDenied + "the results of this cluster are stored by the installation in"
)

// isStoreClosed says whether the admission policy of the store refused a slice, whatever it holds.
func isStoreClosed(err error) bool {
	return apierrors.IsForbidden(err) &&
		(strings.Contains(err.Error(), textFull) || strings.Contains(err.Error(), textOtherName))
}

// writeResultOf says what the error of a write means.
func writeResultOf(err error) writeResult {
	switch {
	case err == nil:
		return writeStored
	// Nobody else takes a name of 128 random bits: an earlier attempt did, although its answer said otherwise.
	case apierrors.IsAlreadyExists(err):
		return writeStored
	case apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err), apierrors.IsBadRequest(err):
		return writeRefused
	case isStoreClosed(err):
		return writeFull
	}
	return writeUnclear
}

// errorReason names an error in a few words out of a fixed list, for metrics and logs.
func errorReason(err error) string {
	switch {
	case writeResultOf(err) == writeRefused:
		return "refused"
	case isStoreClosed(err):
		return "store_full"
	case errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return "timeout"
	case apierrors.IsForbidden(err):
		return "forbidden"
	case apierrors.IsUnauthorized(err):
		return "unauthorized"
	case apierrors.IsNotFound(err):
		return "not_found"
	case apierrors.IsTooManyRequests(err):
		return "too_many_requests"
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code < http.StatusInternalServerError {
		return "other"
	}
	return "unavailable"
}

// errorReasons are all that errorReason returns.
func errorReasons() []string {
	return []string{
		"refused", "store_full", "timeout", "forbidden", "unauthorized", "not_found", "too_many_requests", "other",
		"unavailable",
	}
}

// loggable is an error without what a sender pushed: refusals quote the content they refuse.
func loggable(err error) error {
	if writeResultOf(err) == writeRefused {
		return errors.New(string(apierrors.ReasonForError(err)))
	}
	return err
}

// suggestedDelay is how long the API server asks to wait, within maxBackoff; 0 if it doesn't.
func suggestedDelay(err error) time.Duration {
	seconds, ok := apierrors.SuggestsClientDelay(err)
	if !ok {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxBackoff)
}
