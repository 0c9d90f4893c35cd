// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"net/http"
	"strings"
)

// authenticator decides whether a push is authentic, and for whom. Any one configured method that succeeds is enough:
// a secret as the path's next segment, or, on the bare path, a verified client certificate or nothing at all where
// anonymous pushes are allowed. A segment that is presented has to be a secret even then: a mistyped URL shall be seen.
type authenticator struct {
	// path is the callback path.
	path string
	// secrets is nil where none are configured.
	secrets *secrets
	// anonymous accepts the bare path from anybody.
	anonymous bool
}

// access is what the authenticator says of a request.
type access int

const (
	// accessOtherPath is a path that is not the receiver's.
	accessOtherPath access = iota
	// accessDenied is the callback path without valid credentials.
	accessDenied
	// accessGranted is the callback.
	accessGranted
	// accessSubPath is a path below the one of a valid secret: authentic, but nothing is served there.
	accessSubPath
)

// authenticate looks at the path as it was sent: two spellings of a path are two paths.
func (a *authenticator) authenticate(r *http.Request) (scope, access) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), a.path)
	switch {
	case !ok:
		return scope{}, accessOtherPath
	case rest == "":
		if a.anonymous || hasVerifiedCertificate(r) {
			return scope{}, accessGranted
		}
		return scope{}, accessDenied
	case rest[0] != '/':
		return scope{}, accessOtherPath
	}
	presented, _, below := strings.Cut(rest[1:], "/")
	if a.secrets == nil {
		return scope{}, accessDenied
	}
	granted, ok := a.secrets.lookup(presented)
	switch {
	case !ok:
		return scope{}, accessDenied
	case below:
		return granted, accessSubPath
	}
	return granted, accessGranted
}

// hasVerifiedCertificate says whether the sender proved to hold a certificate of a configured authority. Without a
// client CA file none is asked for, so none is verified.
func hasVerifiedCertificate(r *http.Request) bool {
	return r.TLS != nil && len(r.TLS.VerifiedChains) > 0
}
