// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// Files end with a line feed, and so do the values that kubectl makes of them. What can't be used is another problem
// than what is not there.
func TestReadCredentials(t *testing.T) {
	const url = "https://me.example.com:443/v1.0.0/messageReceiver/x"
	for name, c := range map[string]struct {
		data   map[string]string
		reason string
	}{
		"line-feeds": {data: map[string]string{keySecret: "s\r\n", keyCallbackURL: url + "\n"}},
		"no-secret":  {data: map[string]string{keyCallbackURL: url}, reason: v1alpha1.ReasonSecretInvalid},
		"blank":      {data: map[string]string{keySecret: "\n", keyCallbackURL: url}, reason: v1alpha1.ReasonSecretInvalid},
		"missing":    {reason: v1alpha1.ReasonSecretNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			ns := harness.NewNamespace(t, k8s)
			if c.data != nil {
				of := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, StringData: c.data}
				if err := k8s.Create(t.Context(), of); err != nil {
					t.Fatal(err)
				}
			}
			app := newApplication("meters", "an-app")
			app.Spec.Northbound.CredentialsRef.Name = "s"
			read, err := readCredentials(t.Context(), k8s, ns, app)
			if c.reason != "" {
				if p, ok := errors.AsType[*secretProblem](err); !ok || p.reason != c.reason {
					t.Errorf("want %s, got %v", c.reason, err)
				}
				return
			}
			if err != nil || string(read.secret) != "s" || read.callback.URL != url || read.callbackErr != nil {
				t.Errorf("read %+v, error %v", read, err)
			}
		})
	}
}
