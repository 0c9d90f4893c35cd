// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

// connecting is what the controllers may do in the operator's namespace with the component platform, beside what they
// may without: get a Secret by its name, and neither list nor watch them.
const connecting = "get /secrets"

// With the component platform the controllers may get Secrets of the operator's namespace, and nothing else is added:
// not for other namespaces, and not for the webhook.
func TestPlatformGrantsSecretsByName(t *testing.T) {
	admin(t, "apply", "--server-side", "--force-conflicts", "-k", overlay(t, "platform"))
	t.Cleanup(func() {
		_, err := harness.Kubectl(context.Background(), kubeconfig, "delete", "-n", operatorNamespace,
			"rolebinding/fwupgrade-platform-secrets", "role/fwupgrade-platform-secrets")
		must(t, err)
	})
	other := harness.NewNamespace(t, k8s)
	for account := range table() {
		for _, namespace := range []string{operatorNamespace, placeholderNamespace, other} {
			want := wanted(account, namespace)
			if account == controllersAccount && namespace == operatorNamespace {
				want = append(want, connecting)
				slices.Sort(want)
			}
			if diff := cmp.Diff(want, rulesOf(t, account, namespace)); diff != "" {
				t.Errorf("%s in %s (-want +rules):\n%s", account, namespace, diff)
			}
		}
	}
}

// startPlatform starts a platform, until the test ends.
func (op *operator) startPlatform(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var err error
	op.platform, err = northbound.Start(ctx, northbound.Options{})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := op.platform.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
}

// An application is connected, with Secrets of the operator's namespace.
func (op *operator) connects(t *testing.T) {
	t.Helper()
	for name, data := range map[string]map[string]string{
		"platform":    {"secret": op.platform.Secret(), "callback-url": op.callback()},
		"platform-ca": {"ca.crt": string(op.platform.CA())},
	} {
		must(t, op.k8s.Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}, StringData: data,
		}))
	}
	app := &v1alpha1.IoTApplication{
		ObjectMeta: metav1.ObjectMeta{Name: "connected"},
		Spec: v1alpha1.IoTApplicationSpec{
			AppID: op.platform.AppID(), Notifications: []v1alpha1.Notification{v1alpha1.NotificationResult},
			Northbound: v1alpha1.Northbound{
				Endpoint: op.platform.URL(), CredentialsRef: v1alpha1.SecretReference{Name: "platform"},
				TLSRef: &v1alpha1.SecretReference{Name: "platform-ca"},
			},
		},
	}
	must(t, op.k8s.Create(t.Context(), app))
	harness.Eventually(t, func() string {
		if err := op.k8s.Get(t.Context(), client.ObjectKeyFromObject(app), app); err != nil {
			return err.Error()
		}
		if !meta.IsStatusConditionTrue(app.Status.Conditions, v1alpha1.ConditionSubscribed) {
			return fmt.Sprintf("it is not subscribed: %+v", app.Status.Conditions)
		}
		return ""
	})
}
