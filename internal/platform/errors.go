// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// Kind says what became of a call, for whoever decides what to do about it.
type Kind string

const (
	// WrongCredentials says that the platform refuses the appId and secret. Logins are 1–15 minutes apart until the
	// secret is another one.
	WrongCredentials Kind = "WrongCredentials"
	// TokenContended says that somebody else logs in with this appId, which ends our tokens. Logins are 1–15 minutes
	// apart.
	TokenContended Kind = "TokenContended"
	// TokenInvalid says that the platform refused a token that it had just given.
	TokenInvalid Kind = "TokenInvalid"
	// Throttled says that the platform takes no more calls. Nothing is called for a minute.
	Throttled Kind = "Throttled"
	// Unreachable says that there was no answer, or it broke off.
	Unreachable Kind = "Unreachable"
	// CertificateInvalid says that the platform's certificate could not be verified, or the client's was not taken or
	// not to be had.
	CertificateInvalid Kind = "CertificateInvalid"
	// SecretUnreadable says that Options.Secret failed, or returned nothing. Err is its error.
	SecretUnreadable Kind = "SecretUnreadable"
	// NotFound says that the platform does not know the task (123009).
	NotFound Kind = "NotFound"
	// CallbackRefused says that the platform takes no such callback URL (100222).
	CallbackRefused Kind = "CallbackRefused"
	// Exists says that there is such a subscription already.
	Exists Kind = "Exists"
	// Refused says that the platform refused in another way, with an error code.
	Refused Kind = "Refused"
	// Unsupported says that the platform can't list tasks, or subscriptions.
	Unsupported Kind = "Unsupported"
	// Unexpected says that the platform failed (5xx), or that its answer can't be understood.
	Unexpected Kind = "Unexpected"
	// BreakerOpen says that the call was not made, as the last ones failed.
	BreakerOpen Kind = "BreakerOpen"
	// Canceled says that the caller's context ended while the call waited for its turn, or was cancelled while it was
	// made; or that the caller's ready said no.
	Canceled Kind = "Canceled"
)

// maxMessageBytes is how long the message of an Error is at most.
const maxMessageBytes = 512

// maxCodeBytes is how long an error code is at most. The platform's have 6 or 7 digits (documented).
const maxCodeBytes = 64

// Error is why a call failed. All its texts are redacted, cleaned and bounded: they may be shown to people.
type Error struct {
	Kind Kind
	// Call is the name of the call that failed: login, where another call needed a token and could not get one.
	Call string
	// HTTPStatus is 0 where there was no answer.
	HTTPStatus int
	// Code is the platform's error_code, where it gave one.
	Code string
	// Message is a sentence of at most 512 bytes that says what happened, and what to do where something is to be done.
	// It has no times in it: as long as nothing changes it stays the same.
	Message string
	// Err is the cause, where there is one besides the platform's answer. errors.Is and errors.As see through it, its
	// text is redacted.
	Err error
	// sent says of a call that the caller gave up that it may have reached the platform.
	sent bool
	// creation is what a failed creation says of the task; see Creation.
	creation CreationOutcome
}

// Error returns the call, the message and the platform's code.
func (e *Error) Error() string {
	switch {
	case e.Code != "":
		return fmt.Sprintf("%s: %s (HTTP %d, error code %s)", e.Call, e.Message, e.HTTPStatus, e.Code)
	case e.HTTPStatus != 0:
		return fmt.Sprintf("%s: %s (HTTP %d)", e.Call, e.Message, e.HTTPStatus)
	}
	return e.Call + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error of this package, else nothing.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// IsAboutRequest says whether an error tells only of the request that failed: the platform answered, and may answer
// others as it should.
func IsAboutRequest(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Call == CallLogin || e.HTTPStatus == 0 || e.HTTPStatus/100 == 3 { // redirects are the endpoint's matter
		return false
	}
	switch e.Kind {
	case Refused, NotFound, Unsupported, Unexpected, Exists, CallbackRefused:
		return true
	}
	return false
}

// redactedError is an error whose text is redacted. Who knows what to look for still finds it, as errors.Is and
// errors.As look into the error itself.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

// Is is for errors.Is.
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }

// As is for errors.As. What it finds is not redacted.
func (e *redactedError) As(target any) bool { return errors.As(e.err, target) }

// localAddress is our end of a connection, in texts of package net: "read tcp 10.0.0.1:44812->10.0.0.2:8743: …". Its
// port is another one each time.
var localAddress = regexp.MustCompile(`\S+:\d+->`)

// wrap returns an error with a redacted text, nil for nil. What net/http says of the URL is left out, and what would
// make the same trouble another text each time.
func (r *redactor) wrap(err error) error {
	if err == nil {
		return nil
	}
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err
	}
	text := localAddress.ReplaceAllString(err.Error(), "")
	return &redactedError{text: r.clean(text, maxMessageBytes), err: err}
}
