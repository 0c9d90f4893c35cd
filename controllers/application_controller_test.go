// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// What no connection can be made of is said, and what to do about it; nothing is called then.
func TestApplicationThatCantConnect(t *testing.T) {
	startControllers(t, func(o *Options) { o.PlatformHosts = PlatformHosts{"iot.invalid:8743"} })
	ns := harness.NewNamespace(t, k8s)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "of-" + ns},
		StringData: map[string]string{"secret": "s", "callback-url": "https://me.example.com/v1.0.0/messageReceiver/x"},
	}
	if err := k8s.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change       func(*v1alpha1.IoTApplicationSpec)
		reason, says string
	}{
		"host": {func(s *v1alpha1.IoTApplicationSpec) { s.Northbound.Endpoint = "https://other.invalid:8743" },
			v1alpha1.ReasonEndpointNotAllowed, "--platform-hosts"},
		"secret": {func(s *v1alpha1.IoTApplicationSpec) { s.Northbound.CredentialsRef.Name = "missing" },
			v1alpha1.ReasonSecretNotFound, "missing"},
		"app-id": {func(s *v1alpha1.IoTApplicationSpec) { s.AppID = "café" },
			v1alpha1.ReasonInvalidSpec, "visible ASCII"},
		"suspended": {func(s *v1alpha1.IoTApplicationSpec) { s.Suspend = true },
			v1alpha1.ReasonSuspended, "nobody calls"},
	} {
		t.Run(name, func(t *testing.T) {
			app := newApplication(name+"-"+ns, "app-"+name+"-"+ns, ns)
			app.Spec.Northbound.CredentialsRef.Name = secret.Name
			c.change(&app.Spec)
			if err := k8s.Create(t.Context(), app); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, func() string {
				if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(app), app); err != nil {
					return err.Error()
				}
				got := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionConnected)
				if got == nil || got.Status != metav1.ConditionFalse || got.Reason != c.reason ||
					!strings.Contains(got.Message, c.says) {
					return fmt.Sprintf("want %s with %q, got %+v", c.reason, c.says, got)
				}
				return ""
			})
			if err := k8s.Delete(t.Context(), app); err != nil {
				t.Fatal(err)
			}
		})
	}
}
