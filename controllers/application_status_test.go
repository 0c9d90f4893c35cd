// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/tls"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/link"
)

// While a new connection has not called yet, what the one before found stands if it was good and the spec is the same.
func TestStatusStandsUntilTheFirstAnswer(t *testing.T) {
	good := link.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonTokenValid}
	connecting := link.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonConnecting}
	refused := link.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWrongCredentials}
	of := func(c link.Condition) *link.State { return &link.State{Connected: c, Subscribed: c, Receiving: c} }
	for name, c := range map[string]struct {
		before, now link.Condition
		changed     bool
		want        string
	}{
		"it worked":           {before: good, now: connecting, want: v1alpha1.ReasonTokenValid},
		"another spec":        {before: good, now: connecting, changed: true, want: v1alpha1.ReasonConnecting},
		"it did not work":     {before: refused, now: connecting, want: v1alpha1.ReasonConnecting},
		"the answer is bad":   {before: good, now: refused, want: v1alpha1.ReasonWrongCredentials},
		"it was not answered": {before: connecting, now: connecting, want: v1alpha1.ReasonConnecting},
	} {
		t.Run(name, func(t *testing.T) {
			app := newApplication("meters", "an-app")
			app.Generation = 1
			app.Status = applicationStatus(app, of(c.before), nil, time.Unix(0, 0))
			if c.changed {
				app.Generation++
			}
			next := applicationStatus(app, of(c.now), nil, time.Unix(60, 0))
			if got := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionConnected); got.Reason != c.want {
				t.Errorf("got %s, want %s", got.Reason, c.want)
			}
		})
	}
}

// Only another certificate is another one.
func TestSameCertificate(t *testing.T) {
	of := func(parts ...string) *tls.Certificate {
		c := &tls.Certificate{}
		for _, part := range parts {
			c.Certificate = append(c.Certificate, []byte(part))
		}
		return c
	}
	for _, c := range []struct {
		a, b *tls.Certificate
		want bool
	}{
		{nil, nil, true}, {nil, of("a"), false}, {of("a"), nil, false}, {of("a"), of("a"), true}, {of("a"), of("b"), false},
		{of("a", "ca"), of("a"), false},
	} {
		if got := sameCertificate(c.a, c.b); got != c.want {
			t.Errorf("%v and %v: got %v", c.a, c.b, got)
		}
	}
}
