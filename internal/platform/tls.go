// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	// The roots of Mozilla, for an image without any: crypto/x509 takes them only where the system has none. They are
	// imported where they are needed, so that no binary can forget to; others are given as Options.RootCAs.
	_ "golang.org/x/crypto/x509roots/fallback"
)

const (
	// connectTimeout is how long a connection, and then its TLS handshake, may take.
	connectTimeout = 10 * time.Second
	// maxHeaderBytes is how large the headers of an answer may be.
	maxHeaderBytes = 64 << 10
)

// newHTTPClient returns the client of one platform.
func newHTTPClient(transport *http.Transport) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newTransport returns what connects to one platform.
//
// Each call has a connection of its own. On one that was used before, Go's transport may send a GET a second time by
// itself when the first got no answer, past the limiter; and there a client certificate that was renewed would not be
// shown. A handshake for each call is cheap at the rates that the platform allows.
func newTransport(o *Options) *http.Transport {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, ServerName: o.ServerName}
	if o.ClientCertificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certificate, err := o.ClientCertificate()
			if err == nil && certificate == nil {
				err = errors.New("there is none")
			}
			if err != nil {
				return nil, &clientCertificateError{err}
			}
			return certificate, nil
		}
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // not from the environment: calls go to the endpoint and nowhere else
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    connectTimeout,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              &protocols,
	}
}

// clientCertificateError is the failure of Options.ClientCertificate.
type clientCertificateError struct{ err error }

func (e *clientCertificateError) Error() string {
	return "the client certificate can't be read: " + e.err.Error()
}
func (e *clientCertificateError) Unwrap() error { return e.err }

// certificateProblem says what is wrong with a certificate, and what to do, if that is what an error is about.
func certificateProblem(err error) (problem string, ok bool) {
	if e, ok := errors.AsType[*clientCertificateError](err); ok {
		return e.Error() + "; the platform demands one", true
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the platform's certificate is signed by an authority that is not trusted; add that authority's " +
			"certificate to the trusted ones (ca.crt): " + e.Error(), true
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the platform's certificate is another host's; correct the endpoint, or set serverName to a name " +
			"that the certificate has: " + e.Error(), true
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return invalidCertificate(e), true
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the platform's certificate can't be verified: " + e.Err.Error(), true
	}
	return refusedCertificate(err)
}

func invalidCertificate(e x509.CertificateInvalidError) string {
	if e.Reason != x509.Expired {
		return "the platform's certificate is not one for a server that can be verified; have it replaced: " + e.Error()
	}
	validity := ""
	if e.Cert != nil {
		validity = fmt.Sprintf(" (it is valid from %s to %s)",
			e.Cert.NotBefore.UTC().Format(time.RFC3339), e.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return "the platform's certificate has expired, or is not valid yet" + validity +
		"; have it renewed, or correct the clock of this node"
}

// refusedCertificate says that the platform did not take our certificate. crypto/tls has no type for that.
func refusedCertificate(err error) (string, bool) {
	operation, ok := errors.AsType[*net.OpError](err)
	if !ok || operation.Op != "remote error" || operation.Err == nil {
		return "", false
	}
	switch alert := operation.Err.Error(); {
	case strings.Contains(alert, "certificate required"):
		return "the platform demands a client certificate; give it one (tls.crt and tls.key)", true
	case strings.Contains(alert, "expired certificate"):
		return "the platform says that the client certificate has expired; renew it", true
	case strings.Contains(alert, "certificate"):
		return "the platform refuses the client certificate; give it one that the platform trusts: " + alert, true
	case strings.Contains(alert, "handshake failure"):
		return "the platform broke off the TLS handshake; it may want a client certificate or older TLS: " + alert, true
	}
	return "", false
}
