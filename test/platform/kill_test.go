// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// errDead is what a process that was killed gets from the API server.
var errDead = errors.New("this process was killed")

// kill is where a process of the controllers dies: at a request to the API server, before it is sent, or when it was
// handled and before the answer comes. From then on nothing goes out any more, neither to the API server nor to the
// platform, as of a process that SIGKILL ended. Each process has one of its own.
type kill struct {
	// at says whether a request is the one, by its method, its path and its body; after, that the API server handles it.
	at    func(method, path, body string) bool
	after bool

	once sync.Once
	dead chan struct{}
}

func newKill(at func(method, path, body string) bool, after bool) *kill {
	return &kill{at: at, after: after, dead: make(chan struct{})}
}

// now kills the process.
func (k *kill) now() { k.once.Do(func() { close(k.dead) }) }

func (k *kill) isDead() bool {
	select {
	case <-k.dead:
		return true
	default:
		return false
	}
}

// wrap makes the process die in what it asks the API server.
func (k *kill) wrap(next http.RoundTripper) http.RoundTripper { return &dyingTransport{k, next} }

type dyingTransport struct {
	kill *kill
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *dyingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.kill.isDead() {
		return nil, errDead
	}
	if r.Method == http.MethodGet || t.kill.at == nil {
		return t.next.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if !t.kill.at(r.Method, r.URL.Path, string(body)) {
		return t.next.RoundTrip(r)
	}
	if t.kill.after {
		if answer, err := t.next.RoundTrip(r); err == nil {
			_ = answer.Body.Close()
		}
	}
	t.kill.now()
	return nil, errDead
}

// leads is what the controllers are told of their lease: a process that was killed writes nothing to the platform.
func (w *world) leads() bool { return w.kill == nil || !w.kill.isDead() }

// writesOf is for requests that write a resource whose body has a text.
func writesOf(resource, text string) func(method, path, body string) bool {
	return func(_, path, body string) bool {
		return strings.Contains(path, resource) && strings.Contains(body, text)
	}
}
