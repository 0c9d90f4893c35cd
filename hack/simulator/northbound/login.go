// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"crypto/subtle"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokens are those that were ever given out. Documented: only the newest is valid.
type tokens struct {
	access, refresh string
	expires         time.Time
	stale           map[string]int // calls that came with a token that was valid once, by that token
}

func newTokens() tokens { return tokens{stale: map[string]int{}} }

// issue makes a new token, which ends the one before.
func (t *tokens) issue(expires time.Time) {
	if t.access != "" {
		t.stale[t.access] = 0
	}
	t.access, t.refresh, t.expires = randomKey(), randomKey(), expires
}

// valid tells whether a token is. Of one that was, it notes the call.
func (t *tokens) valid(token string, now time.Time) (ok, stale bool) {
	if t.access != "" && subtle.ConstantTimeCompare([]byte(token), []byte(t.access)) == 1 {
		if now.Before(t.expires) {
			return true, false
		}
		t.stale[t.access] = 0
		t.access = ""
	}
	calls, was := t.stale[token]
	if was {
		t.stale[token] = calls + 1
	}
	return false, was
}

// Tokens returns every access token that was given out.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := slices.Collect(maps.Keys(s.tokens.stale))
	if s.tokens.access != "" {
		given = append(given, s.tokens.access)
	}
	return given
}

// tokenBody is the answer to a login. Documented.
type tokenBody struct {
	AccessToken  string `json:"accessToken"`
	TokenType    string `json:"tokenType"`
	RefreshToken string `json:"refreshToken"`
	ExpiresIn    any    `json:"expiresIn"`
	Scope        string `json:"scope"`
}

// login is the authentication. Documented.
func (s *Server) login(c *call) answer {
	form, problem := parse(string(c.body), []string{"appId", "secret"})
	if problem != "" {
		return beyond(codeParameterMissing, problem)
	}
	if form.Get("appId") == "" || form.Get("secret") == "" {
		return refuse(codeParameterMissing)
	}
	if !s.known(form.Get("appId"), form.Get("secret")) {
		return refuse(codeWrongSecret)
	}
	return s.issueToken(c)
}

// refresh changes a refresh token for a new pair. Documented: it needs the secret, too.
func (s *Server) refresh(c *call) answer {
	var in struct {
		AppID        string `json:"appId"`
		Secret       string `json:"secret"`
		RefreshToken string `json:"refreshToken"`
	}
	if problem := c.decode(&in); problem != "" {
		return beyond(codeParameterMissing, problem)
	}
	if in.AppID == "" || in.Secret == "" || in.RefreshToken == "" {
		return refuse(codeParameterMissing)
	}
	if !s.known(in.AppID, in.Secret) || in.RefreshToken != s.tokens.refresh {
		return refuse(codeWrongSecret)
	}
	return s.issueToken(c)
}

func (s *Server) known(appID, secret string) bool {
	return appID == s.options.AppID && subtle.ConstantTimeCompare([]byte(secret), []byte(s.options.Secret)) == 1
}

func (s *Server) issueToken(c *call) answer {
	c.loggedIn = true
	s.tokens.issue(c.at.Add(s.options.TokenLifetime))
	seconds := int(s.options.TokenLifetime.Seconds())
	body := tokenBody{
		AccessToken: s.tokens.access, TokenType: "bearer", RefreshToken: s.tokens.refresh, ExpiresIn: seconds,
		Scope: "default",
	}
	if s.faults.current.ExpiresInAsString {
		body.ExpiresIn = strconv.Itoa(seconds)
	}
	return answer{status: http.StatusOK, body: body}
}

// loginOfAnother is what somebody else does with the same application's secret.
func (s *Server) loginOfAnother(now time.Time) {
	s.tokens.issue(now.Add(s.options.TokenLifetime))
	s.ledger.login(Login{Time: now, OK: true, Other: true})
}

// RevokeToken makes the present token invalid, as another holder does that logs in.
func (s *Server) RevokeToken() {
	now := s.lock()
	defer s.unlock()
	s.loginOfAnother(now)
}

// authorize checks the headers that every call but a login carries. Documented.
func (s *Server) authorize(c *call, r *http.Request) (answer, bool) {
	appID, authorization := r.Header.Get("app_key"), r.Header.Get("Authorization")
	token, isBearer := strings.CutPrefix(authorization, "Bearer ")
	if appID == "" || !isBearer {
		return beyond(c.endpoint.badCode, "a call without app_key or without Authorization: Bearer"), false
	}
	ok, stale := s.tokens.valid(token, c.at)
	if stale {
		s.ledger.staleToken(s.tokens.stale[token])
	}
	if !ok || appID != s.options.AppID {
		return refuse(codeInvalidToken), false
	}
	return answer{}, true
}
