// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// The names of the calls, in Call and Error.
const (
	CallLogin             = "login"
	CallSubscribe         = "subscribe"
	CallListSubscriptions = "list-subscriptions"
	CallCreateTask        = "create-task"
	CallListTasks         = "list-tasks"
	CallGetTask           = "get-task"
	CallListSubTasks      = "list-subtasks"
)

// OutcomeSuccess is the outcome of a call that succeeded; that of another one is its Kind.
const OutcomeSuccess = "Success"

// Call is one call that was made.
type Call struct {
	// Name is one of the names of calls.
	Name string
	// Outcome is OutcomeSuccess or a Kind.
	Outcome string
	// Duration is how long the platform took, Waited how long the call waited for its turn before.
	Duration, Waited time.Duration
}

// Status is how the connection to the platform is. Whoever is to create a task looks at all of it before.
type Status struct {
	// Contended: somebody else logs in with the same appId.
	Contended bool
	// ThrottledUntil is until when nothing is called, as the platform took no more; zero where it never did, and it may
	// be over.
	ThrottledUntil time.Time
	// BreakerOpenUntil is until when nothing is called because the last calls failed; zero while they don't. When it is
	// over one call tries.
	BreakerOpenUntil time.Time
	// ClockOffset is how far the platform's clock is ahead of ours.
	ClockOffset time.Duration
	// Failures is how many calls in a row failed: without an answer, or with a 5xx that is not about one task.
	Failures int
}

// Client is one application's connection to the platform. It is for concurrent use.
type Client struct {
	endpoint    string
	appID       string
	secret      func() ([]byte, error)
	callbackKey string
	clock       clock.WithTicker
	observe     func(Call)
	// http makes all calls but creations, which have a transport like this one each.
	http      *http.Client
	transport *http.Transport
	// timeout is how long an exchange may take.
	timeout  time.Duration
	limiter  *limiter
	breaker  *breaker
	tokens   *tokenHolder
	redactor *redactor

	mu     sync.Mutex
	offset clockOffset
}

// New returns a client, which calls nothing yet. The error says which options are wrong.
func New(o Options) (*Client, error) {
	endpoint, err := o.validate()
	if err != nil {
		return nil, err
	}
	c := &Client{
		endpoint: endpoint, appID: o.AppID, secret: o.Secret, callbackKey: o.CallbackKey, clock: o.Clock,
		observe: o.Observe, timeout: callTimeout, breaker: &breaker{}, redactor: &redactor{},
	}
	if c.callbackKey == "" {
		c.callbackKey = CallbackKeyREST
	}
	if c.clock == nil {
		c.clock = clock.RealClock{}
	}
	if c.observe == nil {
		c.observe = func(Call) {}
	}
	c.transport = newTransport(&o)
	c.http = newHTTPClient(c.transport)
	c.limiter = newLimiter(c.clock, o.CallsPerMinute, o.QuietUntil)
	c.tokens = &tokenHolder{clock: c.clock, readSecret: c.readSecret, login: c.login}
	return c, nil
}

// Redact adds values that must never be in a text, beside the secret and the tokens, which the client knows: the
// callback URL and its path. The last 64 are kept.
func (c *Client) Redact(values ...[]byte) { c.redactor.addNamed(values...) }

// SetLimit changes how many calls are made in a minute: 1–6,000.
func (c *Client) SetLimit(callsPerMinute int) {
	c.limiter.setLimit(max(1, min(callsPerMinute, maxCallsPerMinute)))
}

// Corrected says that what the platform is called with was corrected: where it is left alone because the last calls
// failed, one call tries at once.
func (c *Client) Corrected() { c.breaker.tryNow() }

// Status returns how the connection is.
func (c *Client) Status() Status {
	c.mu.Lock()
	s := Status{ClockOffset: c.offset.value}
	c.mu.Unlock()
	now := c.clock.Now()
	s.Contended = c.tokens.isContended()
	s.ThrottledUntil = c.limiter.throttledUntil()
	_, s.BreakerOpenUntil, s.Failures = c.breaker.state(now)
	return s
}

// request is a call to be made.
type request struct {
	name        string
	priority    Priority
	method      string
	path        string // escaped
	query       url.Values
	contentType string
	body        []byte
	// posting is of a call that is made once, whatever comes; nil: it is not one.
	posting *posting
	// read reads an answer of success; optional. What it can't read is a failure of the call.
	read func(body []byte) *Error
}

// errStale is the end of a wait at which the call's token was not the current one any more.
var errStale = errors.New("the token ended while the call waited for its turn")

// maxStale is how many times a call waits anew because its token ended meanwhile.
const maxStale = 5

// call makes a call with a token. If the platform refuses that, it logs in and makes the call once more: whatever the
// call would have done, a refused one did not do it. A posting is made once: to make it again is the caller's decision.
func (c *Client) call(ctx context.Context, r request) (status int, body []byte, err error) {
	refused := false
	for range maxStale {
		t, err := c.tokens.get(ctx)
		if err != nil {
			return 0, nil, err
		}
		status, body, err = c.exchange(ctx, r, &t)
		switch {
		case errors.Is(err, errStale):
		case KindOf(err) != TokenInvalid:
			if err == nil {
				c.tokens.accepted(t)
			}
			return status, body, err
		default:
			c.tokens.refuse(t)
			if refused || r.posting != nil {
				return 0, nil, err
			}
			refused = true
		}
	}
	return 0, nil, c.fail(&Error{
		Kind: TokenInvalid, Call: r.name, Err: errStale,
		Message: "tokens end before it is the call's turn: raise callsPerMinute, or call less",
	})
}
