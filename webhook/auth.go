// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"net/http"
	"strings"
)

// authenticator decides whether a push is authentic, and for whom. Any one configured method that succeeds is enough:
// a secret as the path's next segment, or, on the bare path, a verified client certificate or nothing at all where
// anonymous pushes are allowed. The bare path may have a slash after it. A segment that is presented has to be a secret
// even then: a mistyped URL shall be seen. What follows the secret after a slash says nothing.
type authenticator struct {
	// path is the callback path.
	path string
	// secrets is nil where none are configured.
	secrets *secrets
	// clientCAs is nil where client certificates are not asked for.
	clientCAs *clientCAs
	// refused is told why a client certificate does not count.
	refused func(err error)
	// anonymous accepts the bare path from anybody.
	anonymous bool
}

// access is what the authenticator says of a request.
type access int

const (
	// accessOtherPath is a path that is not the receiver's.
	accessOtherPath access = iota
	// accessWithoutCredentials is the bare callback path, where nothing else makes the push authentic.
	accessWithoutCredentials
	// accessDenied is the callback path and something that is not a valid secret.
	accessDenied
	// accessGranted is the callback.
	accessGranted
)

// authenticate looks at the path as it was sent: two spellings of a path are two paths.
func (a *authenticator) authenticate(r *http.Request) (scope, access) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), a.path)
	switch {
	case !ok:
		return scope{}, accessOtherPath
	case rest == "" || rest == "/":
		if a.anonymous || a.certified(r) {
			return scope{}, accessGranted
		}
		return scope{}, accessWithoutCredentials
	case rest[0] != '/':
		return scope{}, accessOtherPath
	}
	presented, _, _ := strings.Cut(rest[1:], "/")
	if a.secrets == nil {
		return scope{}, accessDenied
	}
	granted, ok := a.secrets.lookup(presented)
	if !ok {
		return scope{}, accessDenied
	}
	granted.used.Add(1)
	return granted.scope, accessGranted
}

// certified says whether the sender proved to hold a certificate of a configured authority. One of another authority is
// no certificate. It is looked at again with each push: authorities change while connections are open.
func (a *authenticator) certified(r *http.Request) bool {
	if a.clientCAs == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	err := a.clientCAs.verify(r.TLS.PeerCertificates)
	if err != nil {
		a.refused(err)
	}
	return err == nil
}
