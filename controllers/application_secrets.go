// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/link"
)

// Keys of the Secrets that an IoTApplication names.
const (
	keySecret      = "secret"
	keyCallbackURL = "callback-url"
	keyCA          = "ca.crt"
)

// Secrets of applications are read in the operator's namespace alone, each by its name: nobody lists or watches them.
// The right to get them is in config/platform, for installations that connect a platform.

// credentials are what the Secrets of an IoTApplication hold. They are never logged and never in an error.
type credentials struct {
	secret []byte
	// callback is what to subscribe; callbackErr says what is wrong with it.
	callback    link.Callback
	callbackErr error
	// rootCAs are nil for those of the system, certificate is nil where none is shown.
	rootCAs     *x509.CertPool
	certificate *tls.Certificate
	// caVersion tells one ca.crt from another one: its hash, as a renewed client certificate in the same Secret needs no
	// new connection.
	caVersion string
}

// secretProblem says what is missing in a Secret, for people.
type secretProblem struct{ reason, text string }

func (p *secretProblem) Error() string { return p.text }

func invalidSecret(format string, args ...any) error {
	return &secretProblem{v1alpha1.ReasonSecretInvalid, fmt.Sprintf(format, args...)}
}

func missingSecret(format string, args ...any) error {
	return &secretProblem{v1alpha1.ReasonSecretNotFound, fmt.Sprintf(format, args...)}
}

// readCredentials reads the Secrets. An error that is a *secretProblem is for people to mend.
func readCredentials(
	ctx context.Context, c client.Reader, namespace string, app *v1alpha1.IoTApplication,
) (*credentials, error) {
	of, err := readSecret(ctx, c, namespace, app.Spec.Northbound.CredentialsRef.Name)
	if err != nil {
		return nil, err
	}
	read := &credentials{secret: bytes.TrimSpace(of.Data[keySecret])}
	if len(read.secret) == 0 {
		return nil, invalidSecret("Secret %s in %s has no key %s, or an empty one: put the application's "+
			"secret there", of.Name, namespace, keySecret)
	}
	read.callback = link.Callback{URL: string(bytes.TrimSpace(of.Data[keyCallbackURL])), Version: of.ResourceVersion}
	read.callbackErr = checkCallback(read.callback.URL, of.Name)
	if ref := app.Spec.Northbound.TLSRef; ref != nil {
		if err := read.addTLS(ctx, c, namespace, ref.Name); err != nil {
			return nil, err
		}
	}
	return read, nil
}

// addTLS reads the client certificate and the authorities.
func (r *credentials) addTLS(ctx context.Context, c client.Reader, namespace, name string) error {
	of, err := readSecret(ctx, c, namespace, name)
	if err != nil {
		return err
	}
	if ca := of.Data[keyCA]; len(ca) > 0 {
		sum := sha256.Sum256(ca)
		r.rootCAs, r.caVersion = x509.NewCertPool(), hex.EncodeToString(sum[:])
		if !r.rootCAs.AppendCertsFromPEM(ca) {
			return invalidSecret("%s of Secret %s holds no certificate in PEM", keyCA, name)
		}
	}
	certificate, key := of.Data[corev1.TLSCertKey], of.Data[corev1.TLSPrivateKeyKey]
	if len(certificate) == 0 && len(key) == 0 {
		if r.rootCAs == nil {
			return invalidSecret("Secret %s has neither %s and %s nor %s", name, corev1.TLSCertKey,
				corev1.TLSPrivateKeyKey, keyCA)
		}
		return nil
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil { // its text names no key material
		return invalidSecret("%s and %s of Secret %s are no certificate with its key: %v", corev1.TLSCertKey,
			corev1.TLSPrivateKeyKey, name, err)
	}
	r.certificate = &pair
	return nil
}

// checkCallback says what is wrong with a callback's URL, without showing it.
func checkCallback(callbackURL, secret string) error {
	problem := func(what string) error {
		return fmt.Errorf("%s of Secret %s %s: it is the callback's whole URL, as in "+
			"https://host:443/v1.0.0/messageReceiver/SECRET", keyCallbackURL, secret, what)
	}
	u, err := url.Parse(callbackURL)
	switch {
	case callbackURL == "":
		return problem("is missing or empty")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return problem("is no URL")
	case u.Port() == "" || u.Path == "" || u.Path == "/":
		return problem("has no port or no path, which the platform refuses")
	}
	return nil
}

// readSecret reads a Secret of the operator's namespace.
func readSecret(ctx context.Context, c client.Reader, namespace, name string) (*corev1.Secret, error) {
	of := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, of)
	switch {
	case apierrors.IsNotFound(err):
		return nil, missingSecret("there is no Secret %s in the operator's namespace %s", name, namespace)
	case apierrors.IsForbidden(err):
		return nil, missingSecret("the operator may not get Secret %s in %s", name, namespace)
	case err != nil:
		return nil, fmt.Errorf("get Secret %s: %w", name, err)
	}
	return of, nil
}
