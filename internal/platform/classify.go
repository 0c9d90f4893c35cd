// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"net/http"
)

// The platform's error codes that mean something here (all documented but for the last).
const (
	codeWrongSecret     = "100208"
	codeTokenInvalid    = "1010005"
	codeThrottled       = "1010009"
	codeNoApplication   = "100203"
	codeTaskUnknown     = "123009"
	codeCallbackRefused = "100222"
	// codeExists is documented for other subscriptions of the platform; that those to upgrades have it is inferred, as
	// is the status 409.
	codeExists = "100227"
)

// classify says what an answer means; nil is success.
func (c *Client) classify(call string, status int, body []byte) *Error {
	if status >= 200 && status < 300 {
		return nil
	}
	var said wireError
	_ = json.Unmarshal(body, &said) // what is no JSON has no code
	code := string(said.Code)
	kind, message := meaning(call, status, code)
	if said.Description != "" {
		message += ": " + string(said.Description)
	}
	failure := &Error{Kind: kind, Call: call, HTTPStatus: status, Code: code, Message: message}
	if call == CallCreateTask {
		failure.creation = refusedCreation(status, code)
	}
	return c.fail(failure)
}

func meaning(call string, status int, code string) (Kind, string) {
	switch {
	case code == codeThrottled, status == http.StatusTooManyRequests:
		return Throttled, "the platform takes no more calls for now; lower callsPerMinute, or have its limit raised"
	case code == codeWrongSecret, call == CallLogin && status == http.StatusUnauthorized:
		return WrongCredentials, "the platform refuses the appId and its secret; correct them"
	case status == http.StatusUnauthorized, status == http.StatusForbidden && code == codeTokenInvalid:
		return TokenInvalid, "the platform refuses the token"
	case status >= 500:
		return Unexpected, "the platform failed"
	case status < 400: // 1xx are no answers
		return Unexpected, "the platform redirects, which is not followed; correct the endpoint"
	case code == codeTaskUnknown:
		return NotFound, "the platform does not know this task"
	case code == codeCallbackRefused:
		return CallbackRefused, "the platform takes no such callback URL; it needs a port, a path and a public address"
	case call == CallSubscribe && (code == codeExists || status == http.StatusConflict):
		return Exists, "there is such a subscription already"
	case (call == CallListSubscriptions || call == CallListTasks) &&
		(status == http.StatusNotFound || status == http.StatusMethodNotAllowed):
		return Unsupported, "the platform has no such list"
	case code != "":
		return Refused, "the platform refuses the call"
	}
	return Unexpected, "the platform refuses the call without an error code; is this the northbound API's address?"
}

// unreadable is the error of an answer of success that can't be understood.
func (c *Client) unreadable(call string, err error) *Error {
	return c.fail(&Error{
		Kind: Unexpected, Call: call, Err: err,
		Message: "the answer can't be understood; is this the northbound API's address? " + err.Error(),
	})
}
