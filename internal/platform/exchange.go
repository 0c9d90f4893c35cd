// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// callTimeout is how long one exchange with the platform may take, from the connection to the end of the answer.
	// How long a call waits for its turn before is bounded by the caller's context.
	callTimeout = 30 * time.Second

	contentJSON = "application/json"
	contentForm = "application/x-www-form-urlencoded"
)

// exchange waits for the turn of a call, makes it, and returns the answer of success.
func (c *Client) exchange(ctx context.Context, r request, t *token) (status int, body []byte, err error) {
	if open, _, _ := c.breaker.state(c.clock.Now()); open {
		return 0, nil, breakerOpen(r.name)
	}
	var tried attempt
	waited, err := c.limiter.acquire(ctx, r.priority, func() error {
		if t != nil && !c.tokens.isCurrent(*t) {
			return errStale
		}
		// Whether the platform works again is tried by calls that may be made twice.
		ok := r.posting == nil || c.breaker.isClosed()
		if ok {
			tried, ok = c.breaker.begin(c.clock.Now())
		}
		if !ok {
			return breakerOpen(r.name)
		}
		return nil
	})
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return 0, nil, canceled(r.name, err)
	case err != nil:
		return 0, nil, err
	}
	began := c.clock.Now()
	status, body, failure := c.send(ctx, r, t)
	c.limiter.release()
	now := c.clock.Now()
	call := Call{Name: r.name, Outcome: OutcomeSuccess, Duration: now.Sub(began), Waited: waited}
	if failure != nil {
		call.Outcome = string(failure.Kind)
	}
	c.judge(tried, failure, now)
	c.observe(call)
	if failure != nil {
		return 0, nil, failure
	}
	return status, body, nil
}

// judge tells limiter and breaker how a call ended; failure is nil where it succeeded.
func (c *Client) judge(tried attempt, failure *Error, now time.Time) {
	switch {
	case failure == nil:
		tried.succeeded()
	case failure.Kind == Throttled:
		tried.succeeded() // it works, and says no
		c.limiter.throttle()
	case failure.Kind == Canceled:
		tried.abandoned()
	case failure.HTTPStatus >= http.StatusInternalServerError && isAboutTask(failure.Call):
		tried.abandoned() // may be that one task's trouble: others would suffer from it, were it the platform's
	case failure.HTTPStatus == 0, failure.HTTPStatus >= http.StatusInternalServerError:
		tried.failed(now)
	default:
		tried.succeeded() // as above
	}
}

// isAboutTask says whether a call asks for one task. Whether the platform fails with all, the other calls show.
func isAboutTask(call string) bool { return call == CallGetTask || call == CallListSubTasks }

// send makes the one HTTP exchange of a call.
func (c *Client) send(ctx context.Context, r request, t *token) (status int, body []byte, failure *Error) {
	inTime, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	began := c.clock.Now()
	response, err := c.roundTrip(inTime, r, t)
	if err != nil {
		return 0, nil, c.noAnswer(ctx, r.name, err)
	}
	defer func() { _ = response.Body.Close() }()
	c.mu.Lock()
	c.offset.observe(response.Header.Get("Date"), began, c.clock.Now())
	c.mu.Unlock()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return 0, nil, c.noAnswer(ctx, r.name, fmt.Errorf("the answer broke off: %w", err))
	case len(body) > maxAnswerBytes:
		return 0, nil, c.fail(&Error{
			Kind: Unexpected, Call: r.name, HTTPStatus: response.StatusCode,
			Message: "the answer is larger than 4 MiB, which no answer of the platform should be",
		})
	}
	failure = c.classify(r.name, response.StatusCode, body)
	if failure == nil && r.read != nil {
		if failure = r.read(body); failure != nil {
			failure.HTTPStatus = response.StatusCode
		}
	}
	if failure != nil && errors.Is(ctx.Err(), context.Canceled) { // half an answer may be what came of that
		return 0, nil, c.noAnswer(ctx, r.name, ctx.Err())
	}
	return response.StatusCode, body, failure
}

// roundTrip sends a request. There is no header Idempotency-Key: with it Go's transport may send a POST twice.
func (c *Client) roundTrip(ctx context.Context, r request, t *token) (*http.Response, error) {
	target := c.endpoint + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var content io.Reader
	if r.body != nil {
		content = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", contentJSON)
	req.Header.Set("User-Agent", "fwupgrade-operator")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if t != nil {
		// Documented. Written as it is documented, not as Go would: App_key.
		req.Header["app_key"] = []string{c.appID}
		req.Header.Set("Authorization", "Bearer "+t.value)
	}
	if r.posting != nil {
		return r.posting.roundTrip(c.transport, req)
	}
	return c.http.Do(req)
}

// noAnswer says why there was none. A caller that is cancelled gave up; the end of its time is the platform's failure
// as that of callTimeout is, else a platform that does not answer would never be left alone by those who have less
// time.
func (c *Client) noAnswer(ctx context.Context, call string, err error) *Error {
	cause := c.redactor.wrap(err)
	if _, ok := errors.AsType[*notReadyError](err); ok {
		return &Error{Kind: Canceled, Call: call, Message: "the caller took the call back before it was sent", Err: cause}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		failure := canceled(call, cause)
		failure.sent = true
		return failure
	}
	if problem, ok := certificateProblem(err); ok {
		return c.fail(&Error{Kind: CertificateInvalid, Call: call, Message: problem, Err: cause})
	}
	message := "the platform can't be reached: " + cause.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		message = fmt.Sprintf("the platform did not answer in time, within %s at most", callTimeout)
	}
	return c.fail(&Error{Kind: Unreachable, Call: call, Message: message, Err: cause})
}

// fail completes an error: its texts become such as may be shown.
func (c *Client) fail(e *Error) *Error {
	e.Message = c.redactor.clean(e.Message, maxMessageBytes)
	e.Code = c.redactor.clean(e.Code, maxCodeBytes)
	if _, ok := e.Err.(*redactedError); !ok { //nolint:errorlint // this very error, not what it wraps
		e.Err = c.redactor.wrap(e.Err)
	}
	return e
}

func breakerOpen(call string) *Error {
	return &Error{
		Kind: BreakerOpen, Call: call,
		Message: "the last calls failed one after the other: the platform is left alone for a while",
	}
}

func canceled(call string, cause error) *Error {
	return &Error{Kind: Canceled, Call: call, Message: "the caller gave up waiting", Err: cause}
}
