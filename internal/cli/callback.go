// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"fwupgrade.io/operator/internal/result"
)

const (
	// pushTimeout is what the platform waits for an answer, too.
	pushTimeout = 15 * time.Second
	// maxAnswerBytes is how much of an answer is read.
	maxAnswerBytes = 4 << 10
	// maxURLBytes is how long the callback's URL may be.
	maxURLBytes = 8 << 10
	// envCallbackURL is where the URL is where no file names it.
	envCallbackURL = "CALLBACK_URL"
)

// callbackOptions say where the callback is.
type callbackOptions struct {
	urlFile, caFile string
	insecure        bool
}

// callback pushes to the operator's webhook. Its URL is a secret: no error and no answer that it returns has it.
type callback struct {
	url    *url.URL
	client *http.Client
}

func (s *session) newCallback(ctx context.Context, o *callbackOptions) (*callback, error) {
	text, err := s.callbackURL(ctx, o.urlFile)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, errors.New("the callback's URL is not a URL: write https://host:port/path/secret") // not what it is
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: o.insecure, //nolint:gosec // Who asks for it, by a flag that says what it means.
	}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, fmt.Errorf("read the callback's CA: %w", withoutPath(err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the callback's CA: %s has no certificate as PEM", o.caFile)
		}
	}
	return &callback{url: parsed, client: &http.Client{
		Timeout:   pushTimeout,
		Transport: &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1},
		// The webhook does not redirect: who does is somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// callbackURL reads the URL from a file, or from the environment. What may be the URL instead of a file's name is not
// printed either.
func (s *session) callbackURL(ctx context.Context, file string) (string, error) {
	from, name := s.Streams.In, "standard input"
	switch {
	case file == "":
		text := strings.TrimSpace(s.Getenv(envCallbackURL))
		if text == "" {
			return "", errors.New("the callback's URL is missing: write it into a file for --callback-url-file, or set " +
				envCallbackURL)
		}
		return text, nil
	case strings.Contains(file, "://"):
		return "", errors.New("--callback-url-file is a URL: write the URL into a file, and name that")
	case file != "-":
		opened, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the callback's URL from a file: %w", withoutPath(err))
		}
		defer func() { _ = opened.Close() }()
		from, name = opened, "the file"
	}
	text, err := io.ReadAll(io.LimitReader(interruptible(ctx, from), maxURLBytes+1))
	if err != nil {
		return "", fmt.Errorf("read the callback's URL from %s: %w", name, withoutPath(err))
	}
	if len(text) > maxURLBytes {
		return "", fmt.Errorf("read the callback's URL: %s is longer than %d bytes", name, maxURLBytes)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return "", fmt.Errorf("read the callback's URL: %s is empty", name)
	}
	return string(bytes.TrimSpace(text)), nil
}

// withoutPath is an error of a file without the name that was given for it.
func withoutPath(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func (c *callback) close() { c.client.CloseIdleConnections() }

// pushAnswer is what became of a push.
type pushAnswer struct {
	// status is the code of the answer; 0 where there was none.
	status int
	// result is what the webhook says of a push that it answered 200, else empty.
	result string
	// sentence says more, for people.
	sentence string
}

// String is one line.
func (a pushAnswer) String() string {
	text := "no answer"
	if a.status != 0 {
		text = fmt.Sprint(a.status)
	}
	text += " " + cmp.Or(a.result, "failed")
	if a.sentence != "" {
		text += ": " + a.sentence
	}
	return text
}

// final says whether every other push would be answered alike: nobody is there, or the URL is wrong.
func (a pushAnswer) final() bool {
	switch a.status {
	case 0, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	case http.StatusOK:
		return a.result == "" // not the operator's webhook
	}
	return a.status >= http.StatusMultipleChoices && a.status < http.StatusBadRequest
}

// post posts a body and reads the answer.
func (c *callback) post(ctx context.Context, body []byte, encoding string) pushAnswer {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return pushAnswer{sentence: c.withoutSecret(err)}
	}
	request.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return pushAnswer{sentence: c.withoutSecret(err)}
	}
	defer func() { _ = response.Body.Close() }()
	answer := pushAnswer{status: response.StatusCode}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		answer.sentence = c.withoutSecret(err)
		return answer
	}
	var said struct{ Result, Reason, Error string }
	if json.Unmarshal(text, &said) != nil || said.Result == "" && said.Error == "" {
		answer.sentence = "the answer is not the operator's: does the URL lead to its webhook?"
		return answer
	}
	if answer.status == http.StatusOK {
		answer.result = c.redact(said.Result)
	}
	answer.sentence = c.redact(cmp.Or(said.Reason, said.Error))
	return answer
}

// withoutSecret is an error without the URL that the standard library puts into it.
func (c *callback) withoutSecret(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	return c.redact(err.Error())
}

// redact leaves the secret out of a text that somebody else wrote.
func (c *callback) redact(text string) string {
	text = result.Clean(text, maxAnswerBytes)
	for _, secret := range c.secrets() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// secrets are the parts of the URL that nobody may see, the longest first so that none leaves a rest of another: all
// that follows the host, each part of the path and of the query, and the credentials, if long enough for a secret.
func (c *callback) secrets() []string {
	password, _ := c.url.User.Password()
	secrets := []string{
		c.url.String(), c.url.RequestURI(), c.url.Path, c.url.RawQuery, c.url.User.Username(), password,
	}
	separates := func(r rune) bool { return strings.ContainsRune("/?&=;", r) }
	for _, part := range strings.FieldsFunc(c.url.RequestURI(), separates) {
		secrets = append(secrets, part)
		for _, unescape := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
			if plain, err := unescape(part); err == nil {
				secrets = append(secrets, plain)
			}
		}
	}
	secrets = slices.DeleteFunc(secrets, func(secret string) bool {
		return len(secret) < minSecretBytes || secret == "messageReceiver"
	})
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return secrets
}

// minSecretBytes is how short a part of the URL may be that is taken for a secret; the webhook asks for 16.
const minSecretBytes = 8
