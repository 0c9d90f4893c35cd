// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"net/http"
	"strings"
)

// CreationOutcome is what an error of CreateTask says of the task.
type CreationOutcome string

const (
	// CreationNotSent says that nothing of the request left: there was no connection, no token, no turn in time, or the
	// caller was not ready. There is no task.
	CreationNotSent CreationOutcome = "NotSent"
	// CreationThrottled says that the platform refused for now: it takes no more calls (429, 1010009), or does not know
	// the application at present (100203). There is no task.
	CreationThrottled CreationOutcome = "Throttled"
	// CreationTokenRefused says that the platform refused the token (401, 1010005). There is no task.
	CreationTokenRefused CreationOutcome = "TokenRefused"
	// CreationRefused says that the platform refused the request for good (400 with a code of its own, 1200xx or 1230xx).
	// There is no task.
	CreationRefused CreationOutcome = "Refused"
	// CreationUnknown says that there may be a task. It is everything else.
	CreationUnknown CreationOutcome = "Unknown"
)

// Creation says what an error of CreateTask tells of the task. Where it tells nothing for certain, and of any other
// error, it is CreationUnknown. It is nothing for nil.
func Creation(err error) CreationOutcome {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok && e.creation != "" {
		return e.creation
	}
	return CreationUnknown
}

// refusedCreation says what a whole answer that is no success tells of the task. Here are only the refusals after which
// there is none for certain. A code counts with its own status alone: of one with a 5xx it is not clear what failed.
func refusedCreation(status int, code string) CreationOutcome {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden && code == codeTokenInvalid:
		return CreationTokenRefused
	case status == http.StatusTooManyRequests, status == http.StatusForbidden && code == codeThrottled,
		status == http.StatusForbidden && code == codeNoApplication:
		return CreationThrottled
	case status == http.StatusBadRequest && isTaskCode(code):
		return CreationRefused
	}
	return CreationUnknown
}

// isTaskCode says whether an error code is one of those of tasks: 1200xx and 1230xx (documented are 120015, 123016 and
// 123019–123033).
func isTaskCode(code string) bool {
	const digits = len("1230xx")
	return len(code) == digits && strings.Trim(code, "0123456789") == "" &&
		(strings.HasPrefix(code, "1200") || strings.HasPrefix(code, "1230"))
}

// creationFailed returns the error of a creation. Of one that was not sent it may be another call's, the login's, which
// others have got as well.
func creationFailed(err error, sent bool) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || sent {
		return err
	}
	failure := *e
	failure.creation = CreationNotSent
	return &failure
}
