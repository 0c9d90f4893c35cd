// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOneLoginForMany(t *testing.T) {
	p := startPlatform(t)
	started, proceed := make(chan struct{}), make(chan struct{})
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		close(started) // twice would panic
		<-proceed
		_, _ = fmt.Fprintf(w, `{"accessToken":%q}`, p.newToken())
	}, nil)
	c := connect(t, p)
	c.patient()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := c.Tasks(t.Context(), TaskFilter{}, PriorityRound)
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-started
	time.Sleep(20 * time.Millisecond) // for others to log in as well, if they do
	close(proceed)
	all.Wait()
	if logins, lists := p.count(loginPath), p.count(operationsPath); logins != 1 || lists != 20 {
		t.Errorf("%d logins and %d lists, want 1 and 20", logins, lists)
	}
}

// TestLoginFailsForAll holds that those who wait for a login that fails do not log in again, one after the other.
func TestLoginFailsForAll(t *testing.T) {
	p := startPlatform(t)
	proceed := make(chan struct{})
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		<-proceed
		w.WriteHeader(http.StatusInternalServerError)
	}, nil)
	c := connect(t, p)
	results := make(chan error)
	for range 10 {
		go func() { results <- c.Login(t.Context()) }()
	}
	time.Sleep(20 * time.Millisecond) // for all to wait
	close(proceed)
	for range 10 {
		c.must(Unexpected, <-results)
	}
	if got := p.count(loginPath); got > 3 {
		t.Errorf("%d logins, want one, or a few where some came late", got)
	}
}

// TestChangedSecretLogsIn holds that a changed secret is used at once, whether it is right or not, and that the token
// of the old one is not used any more; one that can't be read for a moment changes nothing.
func TestChangedSecretLogsIn(t *testing.T) {
	p := startPlatform(t)
	secret, unreadable := testSecret, error(nil)
	c := connect(t, p, func(o *Options) {
		o.Secret = func() ([]byte, error) { return []byte(secret), unreadable }
	})
	for i, step := range []struct {
		secret     string
		unreadable error
		logins     int
	}{{testSecret, nil, 1}, {testSecret, errors.New("no such key"), 1}, {testSecret, nil, 1}, {testSecret + "2", nil, 2}} {
		secret, unreadable = step.secret, step.unreadable
		if err := c.list(); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		if got := p.count(loginPath); got != step.logins {
			t.Errorf("%d: %d logins, want %d", i, got, step.logins)
		}
	}
}

// TestLoginAbandoned holds that who waits for the login of a caller that gives up logs in by itself.
func TestLoginAbandoned(t *testing.T) {
	p := startPlatform(t)
	arrived := make(chan struct{}, 2)
	p.set(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		if len(p.seen()) == 1 {
			<-r.Context().Done()
			return
		}
		_, _ = fmt.Fprintf(w, `{"accessToken":%q}`, p.newToken())
	}, nil)
	c := connect(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	go func() { first <- c.Login(ctx) }()
	<-arrived
	go func() { second <- c.Login(t.Context()) }()
	time.Sleep(10 * time.Millisecond) // for it to wait
	cancel()
	c.must(Canceled, <-first)
	c.must("", <-second)
}

func TestRenewal(t *testing.T) {
	cases := map[string]struct {
		answer string
		life   time.Duration
	}{
		"a number":       {`"expiresIn":1000`, 1000 * time.Second},
		"a string":       {`"expiresIn":"1000"`, 1000 * time.Second},
		"with fraction":  {`"expiresIn":1000.0`, 1000 * time.Second},
		"another case":   {`"expiresin":1000`, 1000 * time.Second},
		"missing":        {`"scope":"default"`, time.Hour},
		"null":           {`"expiresIn":null`, time.Hour},
		"0":              {`"expiresIn":0`, time.Hour},
		"negative":       {`"expiresIn":-5`, time.Hour},
		"no number":      {`"expiresIn":"soon"`, time.Hour},
		"very long":      {`"expiresIn":999999999`, 30 * 24 * time.Hour},
		"no such number": {`"expiresIn":9223372036854775807`, time.Hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, `{"accessToken":%q,%s,"more":{"a":[1]}}`, p.newToken(), tc.answer)
			}, nil)
			c := connect(t, p)
			c.must("", c.Login(t.Context()))
			c.clock.Step(tc.life*4/5 - 2*time.Second)
			c.must("", c.list())
			if got := p.count(loginPath); got != 1 {
				t.Fatalf("%d logins before four fifths of its life", got)
			}
			c.clock.Step(time.Second)
			c.must("", c.list())
			if got := p.count(loginPath); got != 2 {
				t.Errorf("%d logins after four fifths of its life, want 2", got)
			}
			if got := p.count(operationsPath); got != 2 {
				t.Errorf("%d lists, want 2: none by a token that was ended", got)
			}
		})
	}
}

func TestTokensThatAreNone(t *testing.T) {
	for name, answer := range map[string]string{
		"none": `{}`, "null": `{"accessToken":null}`, "empty": `{"accessToken":""}`, "no JSON": `hello`,
		"backslashes":   `{"accessToken":"a\\b"}`,
		"a header more": `{"accessToken":"a\r\nX-Header: b"}`,
		"long":          `{"accessToken":"` + strings.Repeat("a", 9000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(always(http.StatusOK, answer), nil)
			c := connect(t, p)
			c.must(Unexpected, c.list())
			c.must(Unexpected, c.list())
			if got := len(p.seen()); got != 1 {
				t.Errorf("%d requests, want 1: the next login is later", got)
			}
		})
	}
}

// TestRefusedToken holds that a call whose token is refused logs in and is made once more, and that the second refusal
// is the end of it.
func TestRefusedToken(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"401":         always(http.StatusUnauthorized, ""),
		"403 1010005": always(http.StatusForbidden, `{"error_code":"1010005","error_desc":"invalid"}`),
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			c := connect(t, p)
			c.must("", c.list())
			refused := 0
			p.set(nil, func(w http.ResponseWriter, r *http.Request) {
				if refused++; refused == 1 {
					answer(w, r)
					return
				}
				_, _ = io.WriteString(w, `{"data":[],"totalCount":0}`)
			})
			c.must("", c.list())
			if logins, lists := p.count(loginPath), p.count(operationsPath); logins != 2 || lists != 3 {
				t.Errorf("%d logins and %d lists, want 2 and 3", logins, lists)
			}
			p.set(nil, answer)
			c.must(TokenInvalid, c.Subscribe(t.Context(), "fwUpgradeResultNotify", testCallback))
			if got := p.count(subscribePath); got != 2 {
				t.Errorf("%d subscriptions, want 2", got)
			}
		})
	}
	t.Run("another 403 is no refusal of the token", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		p.set(nil, always(http.StatusForbidden, `{"error_code":"1010020"}`))
		c.must(Refused, c.list())
		if got := p.count(loginPath); got != 1 {
			t.Errorf("%d logins, want 1", got)
		}
	})
}

// TestOldGeneration holds that a refusal of an old token does not end the newer one.
func TestOldGeneration(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	old, err := c.tokens.get(t.Context())
	c.must("", err)
	c.tokens.refuse(old)
	current, err := c.tokens.get(t.Context())
	c.must("", err)
	c.tokens.refuse(old)
	if !c.tokens.isCurrent(current) || c.tokens.isCurrent(old) || p.count(loginPath) != 2 {
		t.Errorf("after %d logins the newer token is not the current one", p.count(loginPath))
	}
}

// TestEndedWhileWaiting holds that a call whose token ended while it waited for its turn is not made with that.
func TestEndedWhileWaiting(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	ended, err := c.tokens.get(t.Context())
	c.must("", err)
	c.tokens.refuse(ended)
	r := request{name: CallListTasks, priority: PriorityRound, method: http.MethodGet, path: operationsPath}
	if _, _, err := c.exchange(t.Context(), r, &ended); !errors.Is(err, errStale) || p.count(operationsPath) > 0 {
		t.Errorf("got %v and %d lists", err, p.count(operationsPath))
	}
}

// TestNoCallDuringLogin holds that no call of ours carries a token that a login of ours has ended: while the platform
// handles a login it handles nothing else, and every token that comes is the newest.
func TestNoCallDuringLogin(t *testing.T) {
	p := startPlatform(t)
	var inFlight, overlaps, stale atomic.Int32
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		if inFlight.Add(1) > 1 {
			overlaps.Add(1)
		}
		token := p.newToken()
		time.Sleep(5 * time.Millisecond)
		inFlight.Add(-1)
		_, _ = fmt.Fprintf(w, `{"accessToken":%q,"expiresIn":10}`, token)
	}, func(w http.ResponseWriter, _ *http.Request) {
		inFlight.Add(1)
		time.Sleep(2 * time.Millisecond)
		inFlight.Add(-1)
		_, _ = io.WriteString(w, `{"data":[],"totalCount":0}`)
	})
	c := connect(t, p)
	c.patient()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				_, err := c.Tasks(t.Context(), TaskFilter{}, PriorityRound)
				if err != nil {
					t.Error(err)
				}
				c.clock.Sleep(2 * time.Second)
			}
		})
	}
	all.Wait()
	for _, call := range c.calls {
		if call.Outcome == string(TokenInvalid) {
			stale.Add(1)
		}
	}
	if overlaps.Load() > 0 || stale.Load() > 0 || p.count(loginPath) < 3 {
		t.Errorf("%d logins: %d beside other calls, %d calls with an ended token",
			p.count(loginPath), overlaps.Load(), stale.Load())
	}
}

// TestContention has another holder log in every 20 seconds, for two hours.
func TestContention(t *testing.T) {
	p := startPlatform(t)
	secret := testSecret
	c := connect(t, p, func(o *Options) { o.Secret = func() ([]byte, error) { return []byte(secret), nil } })
	start := c.clock.Now()
	var logins []time.Duration
	counted := 0
	step := func() error {
		err := c.list()
		if n := p.count(loginPath); n > counted {
			counted = n
			logins = append(logins, c.clock.Since(start))
		}
		return err
	}
	var contended time.Duration
	for c.clock.Since(start) < 2*time.Hour {
		p.newToken() // the other one's
		for range 20 {
			err := step()
			if kind := KindOf(err); kind != "" && kind != TokenContended {
				t.Fatal(err)
			}
			if contended == 0 && KindOf(err) == TokenContended {
				contended = c.clock.Since(start)
			}
		}
	}
	if contended == 0 || contended > 10*time.Minute || !c.Status().Contended {
		t.Fatalf("said after %s that somebody else logs in, status %+v", contended, c.Status())
	}
	// Until then three tokens may be lost, so that there may be four logins.
	var apart []time.Duration
	for i := 1; i < len(logins); i++ {
		if logins[i] > contended {
			apart = append(apart, (logins[i] - logins[i-1]).Round(time.Minute))
		}
	}
	want := "[1m0s 2m0s 4m0s 8m0s 15m0s 15m0s 15m0s 15m0s 15m0s 15m0s]"
	got := fmt.Sprint(apart[:min(10, len(apart))])
	if !strings.HasPrefix(want, strings.TrimSuffix(got, "]")) || len(apart) < 9 {
		t.Errorf("logins were %s apart, want %s", got, want)
	}
	// A secret that was changed meanwhile is logged in with at once: with the old one nobody can any more.
	before := p.count(loginPath)
	secret = "another-secret-of-the-application"
	c.must("", c.list())
	if got := p.count(loginPath) - before; got != 1 {
		t.Errorf("%d logins with another secret", got)
	}
	// The other one is gone.
	c.clock.Step(15 * time.Minute)
	for range 11 {
		c.clock.Step(time.Minute)
		c.must("", step())
	}
	if c.Status().Contended {
		t.Error("still says that somebody else logs in, after ten minutes with one token")
	}
	p.newToken()
	c.must("", step())
}

// TestExpiryIsNoContention holds that a token that is refused after its time says nothing about others.
func TestExpiryIsNoContention(t *testing.T) {
	h := &tokenHolder{clock: connect(t, startPlatform(t)).clock}
	for range 5 {
		h.current = token{generation: 1, value: "a", expires: h.clock.Now()}
		h.refuse(h.current)
	}
	if h.contended || h.current.value != "" {
		t.Errorf("holder %+v, want no token and no contention", h)
	}
}

// TestLossesFarApart holds that it takes three in ten minutes.
func TestLossesFarApart(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	for range 10 {
		c.must("", c.list())
		p.newToken()
		c.clock.Step(5 * time.Minute)
	}
	if c.Status().Contended {
		t.Error("two tokens in ten minutes are contention")
	}
}

func TestWrongSecret(t *testing.T) {
	p := startPlatform(t)
	p.set(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() == nil && strings.Contains(p.seen()[len(p.seen())-1].body, "right") {
			_, _ = fmt.Fprintf(w, `{"accessToken":%q}`, p.newToken())
			return
		}
		refuse(w, http.StatusUnauthorized, "100208", "AppId or secret is not right.")
	}, nil)
	secret := "wrong"
	c := connect(t, p, func(o *Options) { o.Secret = func() ([]byte, error) { return []byte(secret), nil } })
	start := c.clock.Now()
	var at []string
	for count := 0; c.clock.Since(start) < time.Hour; {
		e := c.failure(WrongCredentials, c.list())
		if e.Code != "100208" || e.Call != CallLogin {
			t.Fatalf("got %+v", e)
		}
		if n := p.count(loginPath); n > count {
			count = n
			at = append(at, c.clock.Since(start).Round(time.Minute).String())
		}
	}
	if got, want := strings.Join(at, " "), "0s 1m0s 3m0s 7m0s 15m0s 30m0s 45m0s"; got != want {
		t.Errorf("logins at %s, want %s", got, want)
	}
	secret = "wrong as well"
	c.must(WrongCredentials, c.list())
	c.must(WrongCredentials, c.list())
	if got := p.count(loginPath); got != len(at)+1 {
		t.Errorf("%d logins with another secret, want 1", got-len(at))
	}
	secret = "right"
	c.must("", c.list())
	if got := p.count(loginPath); got != len(at)+2 {
		t.Errorf("%d logins, want one more at once", got-len(at))
	}
}

func TestSecretUnreadable(t *testing.T) {
	p := startPlatform(t)
	notFound := errors.New("secret meters-platform not found")
	var secret []byte
	err := notFound
	c := connect(t, p, func(o *Options) { o.Secret = func() ([]byte, error) { return secret, err } })
	e := c.failure(SecretUnreadable, c.list())
	if !errors.Is(e, notFound) || !strings.Contains(e.Message, "meters-platform") {
		t.Errorf("got %+v, want the cause in it", e)
	}
	err = nil
	c.must(SecretUnreadable, c.list())
	secret = []byte(testSecret)
	c.must("", c.list())
	if got := p.count(loginPath); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}
