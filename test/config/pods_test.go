// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The processes have a user and a group of their own whatever the image says, and a start is given a moment before it
// is asked for anything, so that it tells no Warning.
func TestPodsOfBothDeployments(t *testing.T) {
	for _, name := range []string{webhookAccount, controllerAccount} {
		t.Run(name, func(t *testing.T) {
			var d appsv1.Deployment
			must(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, &d))
			pod := d.Spec.Template.Spec
			const nonroot = 65532
			s := pod.SecurityContext
			if s == nil || s.RunAsUser == nil || *s.RunAsUser != nonroot || s.RunAsGroup == nil || *s.RunAsGroup != nonroot {
				t.Errorf("runs as %+v", s)
			}
			if probe := pod.Containers[0].StartupProbe; probe == nil || probe.InitialDelaySeconds < 1 {
				t.Errorf("the start is probed by %+v", probe)
			}
		})
	}
}

// The Service says what its port speaks: HTTP and, with the component tls, HTTPS.
func TestServiceSaysItsProtocol(t *testing.T) {
	for want, components := range map[string][]string{"http": nil, "https": {"webhook/tls"}} {
		t.Run(want, func(t *testing.T) {
			service := callbackService(t, render(t, overlay(t, components)))
			if got := service.Spec.Ports[0].AppProtocol; got == nil || *got != want {
				t.Errorf("want %s, got %v", want, got)
			}
		})
	}
}

// callbackService finds the Service of the callback.
func callbackService(t *testing.T, documents []string) *corev1.Service {
	t.Helper()
	i := slices.IndexFunc(documents, func(document string) bool { return strings.Contains(document, "\nkind: Service\n") })
	if i < 0 {
		t.Fatal("there is no Service")
	}
	service := &corev1.Service{}
	must(t, yaml.UnmarshalStrict([]byte(documents[i]), service))
	return service
}
