// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leaks returns the value that a text tells, as it is or escaped in some way.
func leaks(text string, values []string) string {
	texts := map[string]bool{text: true}
	for range 3 {
		for t := range texts {
			query, _ := url.QueryUnescape(t)
			path, _ := url.PathUnescape(t)
			inJSON, _ := strconv.Unquote(`"` + strings.ReplaceAll(t, `\/`, "/") + `"`)
			texts[query], texts[path], texts[inJSON], texts[html.UnescapeString(t)] = true, true, true, true
		}
	}
	for t := range texts {
		for _, value := range values {
			if strings.Contains(t, value) {
				return value
			}
		}
	}
	return ""
}

// told returns every text of an error: of itself, of its causes, and as it is printed.
func told(err error) (texts []string) {
	for ; err != nil; err = errors.Unwrap(err) {
		texts = append(texts, err.Error(), fmt.Sprintf("%v %+v %q", err, err, err))
		if e, ok := err.(*Error); ok { //nolint:errorlint // each of the chain
			texts = append(texts, e.Message, e.Code, e.Call, string(e.Kind))
		}
	}
	return texts
}

// TestNoSecrets has a platform say the secret, the tokens and the callback URL wherever it can, in every spelling, and
// looks for them in everything that the client returns.
func TestNoSecrets(t *testing.T) {
	const path = "/v1.0.0/messageReceiver/pa55word-in-the-path"
	values := []string{
		testSecret, testCallback, path, "pa55word-in-the-path", "token-1-of-the-platform", "token-2-of-the-platform",
	}
	said := map[string]string{}
	for _, value := range values {
		all := spellings(value)
		for _, name := range []string{"itself", `JSON with \/`, "query", "twice", "every character"} {
			said[name] += " " + all[name]
		}
	}
	for name, text := range said {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(always(http.StatusOK, `{"accessToken":"token-1-of-the-platform","expiresIn":999999}`), nil)
			p.newToken()
			c := connect(t, p)
			c.must("", c.Login(t.Context()))
			c.redactor.addToken("token-2-of-the-platform") // is known, too: the last four are
			looked := map[string]bool{}
			look := func(where string, err error, results ...any) {
				t.Helper()
				texts := told(err)
				for _, result := range append(results, c.Status(), c.calls[len(c.calls)-1]) {
					inJSON, _ := json.Marshal(result)
					texts = append(texts, fmt.Sprintf("%+v", result), string(inJSON))
				}
				for _, told := range texts {
					if looked[told] {
						continue
					}
					looked[told] = true
					if value := leaks(told, values); value != "" {
						t.Errorf("%s: %q tells %q", where, told, value)
					}
				}
			}
			inJSON, _ := json.Marshal("say " + text + " and more")
			for where, answer := range map[string]http.HandlerFunc{
				"refusal":  always(400, fmt.Sprintf(`{"error_code":%s,"error_desc":%s}`, inJSON, inJSON)),
				"callback": always(400, fmt.Sprintf(`{"error_code":"100222","error_desc":%s}`, inJSON)),
				"throttle": always(429, fmt.Sprintf(`{"error_desc":%s}`, inJSON)),
				"failure":  always(500, fmt.Sprintf(`{"error_desc":%s}`, inJSON)),
				"no JSON":  always(200, "<html>"+text+"</html>"),
				"type":     always(200, fmt.Sprintf(`{"data":%s,"operationId":[%s]}`, inJSON, inJSON)),
				"redirect": func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Location"] = []string{strings.ReplaceAll(text, "\n", "")}
					w.WriteHeader(http.StatusFound)
				},
				"header": func(w http.ResponseWriter, _ *http.Request) {
					hijack(w, "HTTP/1.1 200 "+text+"\r\nContent-Length: -1\r\n\r\n")
				},
				"status": func(w http.ResponseWriter, _ *http.Request) { hijack(w, text+"\r\n\r\n") },
				"data": always(200, fmt.Sprintf(`{"operationId":%[1]s,"status":%[1]s,"targets":{"devices":[%[1]s],"model":%[1]s,
					"deviceType":%[1]s,"manufacturerName":%[1]s,"deviceGroups":[%[1]s]},"policy":{"executeType":%[1]s},"extendPara":
					{"fileVersion":%[1]s},"data":[{"operationId":%[1]s,"status":%[1]s,"subOperationId":%[1]s,"deviceId":%[1]s,
					"detailInfo":%[1]s}],"totalCount":1}`, inJSON)),
			} {
				p.set(nil, answer)
				c.clock.Step(11 * time.Minute)
				tasks, err := c.Tasks(t.Context(), TaskFilter{}, PriorityRound)
				look(where+": Tasks", err, tasks)
				c.clock.Step(11 * time.Minute)
				task, err := c.Task(t.Context(), "op-1", PriorityRound)
				look(where+": Task", err, task)
				c.clock.Step(11 * time.Minute)
				page, err := c.SubTasks(t.Context(), "op-1", "", 0, PriorityRound)
				look(where+": SubTasks", err, page)
				c.clock.Step(11 * time.Minute)
				id, err := c.CreateTask(t.Context(), requested(), nil)
				look(where+": CreateTask", err, id)
				c.clock.Step(11 * time.Minute)
				look(where+": Subscribe", c.Subscribe(t.Context(), "fwUpgradeResultNotify", testCallback))
				c.clock.Step(11 * time.Minute)
				_, err = c.Subscriptions(t.Context(), "fwUpgradeResultNotify")
				look(where+": Subscriptions", err)
				another := connect(t, p)
				another.redactor.addToken("token-1-of-the-platform")
				another.redactor.addToken("token-2-of-the-platform")
				p.set(answer, nil)
				look(where+": Login", another.Login(t.Context()))
			}
		})
	}
}

// hijack answers with bytes that may be no HTTP.
func hijack(w http.ResponseWriter, answer string) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = connection.Write([]byte(answer))
	_ = connection.Close()
}

// TestNoSecretsOfOthers holds the same for errors that are not the platform's.
func TestNoSecretsOfOthers(t *testing.T) {
	values := []string{testSecret, testCallback}
	check := func(t *testing.T, err error) {
		t.Helper()
		if err == nil {
			t.Fatal("no error")
		}
		for _, text := range told(err) {
			if value := leaks(text, values); value != "" {
				t.Errorf("%q tells %q", text, value)
			}
		}
	}
	t.Run("Secret", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p, func(o *Options) {
			o.Secret = func() ([]byte, error) { return nil, fmt.Errorf("callback %s is in the way", testCallback) }
		})
		check(t, c.Login(t.Context()))
	})
	t.Run("ClientCertificate", func(t *testing.T) {
		p := startPlatform(t, func(_ *platform, config *tls.Config) { config.ClientAuth = tls.RequireAnyClientCert })
		c := connect(t, p, func(o *Options) {
			o.ClientCertificate = func() (*tls.Certificate, error) { return nil, errors.New(testSecret) }
		})
		check(t, c.Login(t.Context()))
	})
	t.Run("ready", func(t *testing.T) {
		p := startPlatform(t)
		c := connect(t, p)
		_, err := c.CreateTask(t.Context(), requested(), func() error { return errors.New(testSecret) })
		check(t, err)
	})
	t.Run("the names of a certificate", func(t *testing.T) {
		p := startPlatform(t, func(p *platform, config *tls.Config) {
			template := &x509.Certificate{DNSNames: []string{"pa55word-in-the-path.example.com", "another"}}
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			config.Certificates = []tls.Certificate{p.authority.issue(template)}
		})
		c := connect(t, p, func(o *Options) { o.ServerName = "platform.example.com" })
		err := c.Login(t.Context())
		if !strings.Contains(err.Error(), "[redacted].example.com") {
			t.Errorf("says %q", err)
		}
	})
}
