// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"net/http"
	"testing"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

func TestLogin(t *testing.T) {
	f := start(t, northbound.Options{TokenLifetime: northbound.DefaultTokenLifetime})
	answer := f.tryLogin(f.Secret()).json(t)
	if answer["expiresIn"] != 3600.0 || answer["tokenType"] != "bearer" || answer["refreshToken"] == "" {
		t.Errorf("login: %v", answer)
	}
	if answer := f.tryLogin("wrong"); answer.status != http.StatusUnauthorized || answer.code() != "100208" {
		t.Errorf("wrong secret: %d %s", answer.status, answer.body)
	}
	if answer := f.tryLogin(""); answer.status != http.StatusBadRequest || answer.code() != "102202" {
		t.Errorf("no secret: %d %s", answer.status, answer.body)
	}
	report := f.Report()
	if len(report.Logins) != 4 || report.Calls.Logins != 2 || report.Logins[2].OK || report.Logins[2].Code != "100208" {
		t.Errorf("in the ledger: %+v", report.Logins)
	}
}

func TestOnlyTheNewestTokenIsValid(t *testing.T) {
	f := start(t, northbound.Options{})
	first := f.token
	f.login()
	second := f.token
	call := func(token string) reply {
		f.token = token
		return f.get(operationsPath)
	}
	if answer := call(second); answer.status != http.StatusOK {
		t.Errorf("the newest token: %d %s", answer.status, answer.body)
	}
	for range 3 {
		if answer := call(first); answer.status != http.StatusForbidden || answer.code() != "1010005" {
			t.Errorf("an older token: %d %s", answer.status, answer.body)
		}
	}
	if answer := call("never given out"); answer.code() != "1010005" {
		t.Errorf("another token: %d %s", answer.status, answer.body)
	}
	f.RevokeToken()
	call(second)
	calls := f.Report().Calls
	if calls.StaleToken != 4 || calls.StaleTokenAgain != 2 {
		t.Errorf("stale tokens: %d, again %d, want 4 and 2", calls.StaleToken, calls.StaleTokenAgain)
	}
	if logins := f.Report().Logins; !logins[len(logins)-1].Other {
		t.Errorf("the other holder's login is not in the ledger: %+v", logins)
	}
}

func TestTokenExpires(t *testing.T) {
	f := start(t, northbound.Options{TokenLifetime: time.Hour})
	f.pass(time.Hour - time.Second)
	if answer := f.get(operationsPath); answer.status != http.StatusOK {
		t.Errorf("before the hour is over: %d %s", answer.status, answer.body)
	}
	f.pass(time.Second)
	if answer := f.get(operationsPath); answer.code() != "1010005" {
		t.Errorf("after an hour: %d %s", answer.status, answer.body)
	}
	if f.Report().Calls.StaleToken != 1 {
		t.Error("an expired token is not counted as stale")
	}
}

func TestRefreshToken(t *testing.T) {
	f := start(t, northbound.Options{})
	token, _ := f.tryLogin(f.Secret()).json(t)["refreshToken"].(string)
	send := func(body string) reply {
		return f.send(http.MethodPost, refreshPath, body, http.Header{"Content-Type": {"application/json"}})
	}
	body := `{"appId":"` + f.AppID() + `","secret":"` + f.Secret() + `","refreshToken":"`
	if answer := send(body + `wrong"}`); answer.code() != "100208" {
		t.Errorf("a wrong refresh token: %s", answer.body)
	}
	f.token, _ = send(body + token + `"}`).json(t)["accessToken"].(string)
	if answer := f.get(operationsPath); answer.status != http.StatusOK {
		t.Errorf("the refreshed token: %d %s", answer.status, answer.body)
	}
	if answer := send(body + token + `"}`); answer.code() != "100208" {
		t.Errorf("a refresh token used twice: %s", answer.body)
	}
}

func TestLimit(t *testing.T) {
	f := start(t, northbound.Options{}) // the login is the first call
	f.pass(30 * time.Second)
	for n := range 99 {
		if answer := f.get(operationsPath); answer.status != http.StatusOK {
			t.Fatalf("call %d: %d %s", n+2, answer.status, answer.body)
		}
	}
	for range 5 {
		if answer := f.get(operationsPath); answer.status != http.StatusForbidden || answer.code() != "1010009" {
			t.Fatalf("call 101: %d %s", answer.status, answer.body)
		}
	}
	f.pass(30*time.Second - time.Nanosecond)
	if answer := f.get(operationsPath); answer.code() != "1010009" {
		t.Errorf("a moment before the login is a minute ago: %d %s", answer.status, answer.body)
	}
	f.pass(time.Nanosecond)
	if answer := f.get(operationsPath); answer.status != http.StatusOK {
		t.Errorf("a minute after the login: %d %s", answer.status, answer.body)
	}
	if answer := f.get(operationsPath); answer.code() != "1010009" {
		t.Errorf("one more than the login made room for: %d %s", answer.status, answer.body)
	}
	f.pass(30 * time.Second)
	if answer := f.get(operationsPath); answer.status != http.StatusOK {
		t.Errorf("when those of the 30th second are a minute ago: %d %s", answer.status, answer.body)
	}
	calls := f.Report().Calls
	if calls.Throttled != 7 || calls.MaxPerMinute != 107 || calls.Total != 109 {
		t.Errorf("in the ledger: %+v", calls)
	}
}
