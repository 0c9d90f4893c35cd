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
	"net/http"
	"net/url"
	"os"
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

func (s *session) newCallback(o *callbackOptions) (*callback, error) {
	text, err := s.callbackURL(o.urlFile)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, errors.New("the callback's URL is none: write https://host:port/path/secret") // not what it is
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: o.insecure, //nolint:gosec // Who asks for it, by a flag that says what it means.
	}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, fmt.Errorf("read the callback's CA: %w", err)
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

// callbackURL reads the URL from a file, or from the environment.
func (s *session) callbackURL(file string) (string, error) {
	from, name := s.Streams.In, "standard input"
	switch file {
	case "":
		text := strings.TrimSpace(s.Getenv(envCallbackURL))
		if text == "" {
			return "", errors.New("the callback's URL is missing: write it into a file for --callback-url-file, or set " +
				envCallbackURL)
		}
		return text, nil
	case "-":
	default:
		opened, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the callback's URL: %w", err)
		}
		defer func() { _ = opened.Close() }()
		from, name = opened, file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxURLBytes))
	if err != nil {
		return "", fmt.Errorf("read the callback's URL: %w", err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return "", fmt.Errorf("read the callback's URL: %s is empty", name)
	}
	return string(bytes.TrimSpace(text)), nil
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

// secrets are the parts of the URL that nobody may see, the longest first: all that follows the host, each part of the
// path that is long enough for a secret, and the credentials.
func (c *callback) secrets() []string {
	secrets := []string{c.url.String(), c.url.RequestURI(), c.url.Path}
	for _, part := range strings.Split(c.url.EscapedPath(), "/") {
		if len(part) >= minSecretBytes && part != "messageReceiver" {
			secrets = append(secrets, part)
		}
	}
	if password, has := c.url.User.Password(); has {
		secrets = append(secrets, password)
	}
	secrets = append(secrets, c.url.RawQuery)
	var some []string
	for _, secret := range secrets {
		if len(secret) >= minSecretBytes {
			some = append(some, secret)
		}
	}
	return some
}

// minSecretBytes is how short a part of the URL may be that is taken for a secret; the webhook asks for 16.
const minSecretBytes = 8
