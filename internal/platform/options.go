// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

const (
	// maxCallsPerMinute is the highest limit that can be set. The platform's own default is 100 (documented), which it
	// raises on request.
	maxCallsPerMinute = 6000
	// maxAppIDBytes bounds an appId, as everywhere in the operator.
	maxAppIDBytes = 256
)

// How the body of a subscription spells the key of the callback URL.
const (
	// CallbackKeyREST is the key of the REST manual (documented), and the default.
	CallbackKeyREST = "callbackUrl"
	// CallbackKeySDK is the key that the platform's own SDKs send (from SDK code, and documented for the SDKs).
	CallbackKeySDK = "callbackurl"
)

// Options say to which platform a Client connects, as which application, and how often it may call.
type Options struct {
	// Endpoint is https://host or https://host:port; without a port it is 443. The platform's own is 8743 (documented).
	Endpoint string
	// ServerName is the name that the platform's certificate must have, where that is not the endpoint's host.
	ServerName string
	// AppID is the application: 1–256 characters of ASCII, without blanks.
	AppID string
	// Secret returns the application's secret. It is asked before each call, so that another one is noticed, and must not
	// block.
	Secret func() ([]byte, error)
	// RootCAs are the authorities that the platform's certificate is verified with; nil: the system's, or those that
	// are built in where the system has none.
	RootCAs *x509.CertPool
	// ClientCertificate returns the certificate for mutual TLS; optional. It is asked at every handshake, which is
	// before every call, so that a renewed certificate is followed.
	ClientCertificate func() (*tls.Certificate, error)
	// CallsPerMinute is how many calls are made in any sliding minute at most, logins included: 1–6,000.
	CallsPerMinute int
	// QuietUntil is the time before which nothing is called; optional. A new leader sets it, as the calls of the last
	// one are still in the platform's window.
	QuietUntil time.Time
	// CallbackKey is CallbackKeyREST, the default, or CallbackKeySDK.
	CallbackKey string
	// Clock is optional; without it the real one is used.
	Clock clock.WithTicker
	// Observe is told of every call that was made, when it has ended; optional. It must not block.
	Observe func(Call)
}

// validate returns what every URL begins with. Errors name the field, and never what it holds: that could be a
// password.
func (o *Options) validate() (endpoint string, err error) {
	endpoint, err = validateEndpoint(o.Endpoint)
	errs := []error{err}
	if o.AppID == "" || len(o.AppID) > maxAppIDBytes || !isHeaderValue(o.AppID) {
		errs = append(errs, fmt.Errorf("appId: must be 1–%d visible ASCII characters", maxAppIDBytes))
	}
	if o.Secret == nil {
		errs = append(errs, errors.New("secret: is required"))
	}
	if o.CallsPerMinute < 1 || o.CallsPerMinute > maxCallsPerMinute {
		errs = append(errs, fmt.Errorf("callsPerMinute: must be 1–%d, not %d", maxCallsPerMinute, o.CallsPerMinute))
	}
	if strings.ContainsAny(o.ServerName, ":/ ") && net.ParseIP(o.ServerName) == nil {
		errs = append(errs, errors.New("serverName: must be a host name without a scheme, port or path"))
	}
	switch o.CallbackKey {
	case "", CallbackKeyREST, CallbackKeySDK:
	default:
		errs = append(errs, fmt.Errorf("callbackKey: must be %s or %s", CallbackKeyREST, CallbackKeySDK))
	}
	return endpoint, errors.Join(errs...)
}

func validateEndpoint(text string) (string, error) {
	const form = "endpoint: must be https://host or https://host:port"
	u, err := url.Parse(text)
	switch {
	case err != nil: // whose text has the URL
		return "", errors.New(form)
	case u.Scheme != "https":
		return "", errors.New(form + ": no other scheme is used")
	case u.User != nil:
		return "", errors.New(form + ", without a user")
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		return "", errors.New(form + ", without a path, not even a slash, and without a query")
	case u.Hostname() == "" || u.Opaque != "" || strings.HasSuffix(u.Host, ":"):
		return "", errors.New(form)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", errors.New(form + ": a port is 1–65535")
		}
	}
	return "https://" + u.Host, nil
}

// isHeaderValue says whether a text can stand in a header as it is: it is ASCII that can be seen, and has no blanks.
func isHeaderValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
