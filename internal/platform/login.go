// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// loginPath is documented, as is the form that it takes.
const loginPath = "/iocm/app/sec/v1.1.0/login"

// maxTokenBytes is how long a token may be. It is never cut. The documented ones have 32 bytes or so, and what every
// text is searched for must not be as long as a hostile platform likes.
const maxTokenBytes = 4 << 10

// Login makes sure that there is a valid token. Every other call does so, too.
func (c *Client) Login(ctx context.Context) error {
	_, err := c.tokens.get(ctx)
	return err
}

// login gets a token by appId and secret, and how long it lives; 0 where the platform did not say.
func (c *Client) login(ctx context.Context, secret []byte) (value string, lifetime time.Duration, err error) {
	var answer wireLogin
	_, _, err = c.exchange(ctx, request{
		name: CallLogin, priority: PriorityLogin, method: http.MethodPost, path: loginPath, contentType: contentForm,
		body: []byte(url.Values{"appId": {c.appID}, "secret": {string(secret)}}.Encode()),
		read: func(body []byte) *Error {
			if err := json.Unmarshal(body, &answer); err != nil {
				return c.unreadable(CallLogin, err)
			}
			return c.checkToken(string(answer.AccessToken))
		},
	}, nil)
	if err != nil {
		return "", 0, err
	}
	const longest = 30 * 24 * time.Hour // of a number that is no lifetime
	if seconds := answer.ExpiresIn; seconds.known {
		lifetime = time.Duration(min(seconds.value, int64(longest/time.Second))) * time.Second
	}
	return string(answer.AccessToken), lifetime, nil
}

// checkToken returns why a token can't be used. One that can is redacted from now on.
func (c *Client) checkToken(value string) *Error {
	if value != "" && len(value) <= maxTokenBytes && isHeaderValue(value) && !strings.Contains(value, `\`) { // RFC 6750
		c.redactor.addToken(value)
		return nil
	}
	return c.fail(&Error{
		Kind: Unexpected, Call: CallLogin,
		Message: "the platform's answer has no accessToken that can be used: is this the northbound API's address?",
	})
}

// readSecret returns the secret, which is redacted from now on.
func (c *Client) readSecret() ([]byte, error) {
	secret, err := c.secret()
	if err == nil && len(secret) > 0 {
		c.redactor.addSecret(secret)
		return bytes.Clone(secret), nil
	}
	message := "the secret is empty: put the application's secret there"
	if err != nil {
		message = "the secret can't be read: " + err.Error()
	}
	return nil, c.fail(&Error{Kind: SecretUnreadable, Call: CallLogin, Message: message, Err: err})
}
