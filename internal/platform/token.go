// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// defaultLifetime is a token's where the platform does not say (documented).
	defaultLifetime = time.Hour
	// contentionTimes is how many tokens have to end before their time, within contentionWindow, to say that somebody
	// else logs in. A token that lives for so long says that nobody does any more.
	contentionTimes  = 3
	contentionWindow = 10 * time.Minute
	// backoffFirst and backoffMax are how far logins are apart while they are refused, or of no use.
	backoffFirst = time.Minute
	backoffMax   = 15 * time.Minute
)

// token is what calls are authorized by.
type token struct {
	// generation numbers the logins.
	generation int64
	value      string
	// secret is what was logged in with.
	secret   []byte
	loggedIn time.Time
	renewAt  time.Time
	expires  time.Time
}

// tokenHolder has the one token of the application: of several the platform takes only the newest (documented), so that
// whoever logs in ends the others'.
//
//	absent → loggingIn → valid(generation) → absent
//
// Any number of callers share a login. A token is renewed when four fifths of its life are over, and when the secret
// has changed: who resets it wants to know whether the new one is right. One that is refused is dropped, unless there
// is a newer one. Refused logins are 1, 2, 4, 8 and then 15 minutes apart, but made at once with another secret. So are
// logins while somebody else logs in as well, as two that log in whenever their token was ended would do so for ever.
type tokenHolder struct {
	clock      clock.PassiveClock
	readSecret func() ([]byte, error)
	login      func(ctx context.Context, secret []byte) (value string, lifetime time.Duration, err error)

	mu      sync.Mutex
	current token
	flight  *flight
	// lastLogin is when the last login was answered, delay how long after it the next one may be made.
	lastLogin time.Time
	delay     time.Duration
	// held is why there is a delay; refused is the secret that was refused, or whose tokens were ended.
	held    *Error
	refused []byte
	// ended are the times at which tokens were refused before their time.
	ended     []time.Time
	contended bool
}

// flight is a login that is being made.
type flight struct {
	done chan struct{}
	err  error
}

// get returns a valid token, and logs in where there is none.
func (h *tokenHolder) get(ctx context.Context) (token, error) {
	for {
		secret, err := h.readSecret()
		h.mu.Lock()
		isOf := err != nil || bytes.Equal(secret, h.current.secret) // one that can't be read at present need not be another
		if t := h.current; t.value != "" && isOf && h.clock.Now().Before(t.renewAt) {
			h.mu.Unlock()
			return t, nil
		}
		f := h.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			h.flight = f
			h.mu.Unlock()
			return h.fly(ctx, f)
		}
		h.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return token{}, canceled(CallLogin, ctx.Err())
		}
		if f.err != nil && KindOf(f.err) != Canceled { // which is another caller's
			return token{}, f.err
		}
	}
}

// fly logs in for all who wait.
func (h *tokenHolder) fly(ctx context.Context, f *flight) (token, error) {
	f.err = h.logIn(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flight = nil
	close(f.done)
	return h.current, f.err
}

func (h *tokenHolder) logIn(ctx context.Context) error {
	secret, err := h.readSecret()
	if err != nil {
		return err
	}
	if err := h.onHold(secret); err != nil {
		return err
	}
	value, lifetime, err := h.login(ctx, secret)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock.Now()
	if err != nil {
		h.loginFailed(now, secret, err)
		return err
	}
	if lifetime <= 0 {
		lifetime = defaultLifetime
	}
	h.lastLogin = now
	h.current = token{
		generation: h.current.generation + 1, value: value, secret: secret, loggedIn: now,
		renewAt: now.Add(lifetime / 5 * 4), expires: now.Add(lifetime),
	}
	h.refused = nil
	if !h.contended {
		h.delay, h.held = 0, nil
	}
	return nil
}

// onHold returns why no login may be made yet.
func (h *tokenHolder) onHold(secret []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	until := h.lastLogin.Add(h.delay)
	another := h.refused != nil && !bytes.Equal(h.refused, secret)
	if h.held == nil || another || !h.clock.Now().Before(until) {
		return nil
	}
	return h.held
}

// loginFailed drops the token, which the platform may have ended, where the login may have reached it. An answer that
// would be the same the next time delays the next login; what the limiter and the breaker see, they delay.
func (h *tokenHolder) loginFailed(now time.Time, secret []byte, err error) {
	failure, ok := errors.AsType[*Error](err)
	if !ok || failure.Kind == BreakerOpen || failure.Kind == Canceled && !failure.sent {
		return
	}
	h.current.value = ""
	if failure.HTTPStatus == 0 || failure.HTTPStatus >= http.StatusInternalServerError || failure.Kind == Throttled {
		return
	}
	h.lastLogin = now
	h.refused = secret
	h.hold(failure)
}

// hold delays the next login for twice as long as the last one.
func (h *tokenHolder) hold(why *Error) {
	h.delay = max(backoffFirst, min(2*h.delay, backoffMax))
	h.held = why
}

// isCurrent says whether a token may still be used.
func (h *tokenHolder) isCurrent(t token) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current.value != "" && h.current.generation == t.generation && h.clock.Now().Before(t.expires)
}

// refuse is told that the platform refused a token. If it is the current one it is dropped; if that was before its
// time, somebody else may have logged in.
func (h *tokenHolder) refuse(t token) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock.Now()
	if h.current.value == "" || h.current.generation != t.generation {
		return
	}
	h.current.value = ""
	if !now.Before(t.expires) {
		return
	}
	h.ended = slices.DeleteFunc(h.ended, func(at time.Time) bool { return now.Sub(at) >= contentionWindow })
	h.ended = append(h.ended, now)
	if h.contended || len(h.ended) >= contentionTimes {
		h.contended, h.refused = true, t.secret
		h.hold(&Error{
			Kind: TokenContended, Call: CallLogin,
			Message: "the token was ended again and again before its time: somebody else logs in with this appId, " +
				"such as another cluster or a script. Only one may: find it and stop it",
		})
	}
}

// accepted is told that the platform took a token. One that has lived for long says that nobody else logs in.
func (h *tokenHolder) accepted(t token) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock.Now()
	if h.contended && h.current.generation == t.generation && now.Sub(t.loggedIn) >= contentionWindow {
		h.contended, h.ended, h.delay, h.held = false, nil, 0, nil
	}
}

// isContended says whether somebody else logs in.
func (h *tokenHolder) isContended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.contended
}
