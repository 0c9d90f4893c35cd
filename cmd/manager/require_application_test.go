// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// bothRefused is said where two rules say which namespaces may claim what.
const bothRefused = "--require-application and --applications-file both say which namespaces may claim what: " +
	"remove one " +
	"of the two. A webhook that runs alone may have the file, for its secrets"

// applicationsFile returns an applications file, as the flag that names it.
func applicationsFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "applications.yaml")
	const text = "applications:\n- appId: app\n  namespaces: [fleet]\n  secretsFile: secrets\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := filepath.Join(filepath.Dir(path), "secrets")
	if err := os.WriteFile(secrets, []byte("a-secret-of-sixteen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--applications-file=" + path
}

// Two rules of who may claim what are refused before an API server is looked for, unless the file is a webhook's alone.
func TestTwoRulesOfClaims(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nowhere")
	file := applicationsFile(t)
	const require = "--require-application"
	cases := map[string]struct {
		args []string
		want string
	}{
		"controllers":                   {[]string{"--components=controllers", file, require}, bothRefused},
		"both components":               {[]string{"--allow-anonymous", file, require}, bothRefused},
		"the flag at the webhook":       {[]string{"--components=webhook", file, require}, "nothing heeds " + require},
		"the flag turned off":           {[]string{"--components=controllers", file, require + "=false"}, "find the API server"},
		"controllers with the flag":     {[]string{"--components=controllers", require}, "find the API server"},
		"controllers with the file":     {[]string{"--components=controllers", file}, "find the API server"},
		"the webhook with the file":     {[]string{"--components=webhook", file}, "find the API server"},
		"both components with the flag": {[]string{"--allow-anonymous", require}, "find the API server"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), c.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want a refusal with %q, got %v", c.want, err)
			}
		})
	}
}

// The binary refuses the two together; with --require-application alone it has IoTApplications say who may claim what.
func TestRequireApplication(t *testing.T) {
	withoutStore(t)
	namespace := harness.NewNamespace(t, k8s)
	m, out := launch(t, admin, "controllers", "--operator-namespace="+namespace, "--require-application",
		applicationsFile(t))
	contains(t, refused(t, m, out), "manager: "+bothRefused)

	m, _ = launch(t, admin, "controllers", "--operator-namespace="+namespace, "--leader-elect=false",
		"--require-application")
	await(t, m)
	fwu := wrappers.MakeFirmwareUpgrade("claims", namespace).App("app-of-" + namespace).Operation("op").Expected(1).Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	awaitPermitted(t, fwu, false)
	app := &v1alpha1.IoTApplication{
		ObjectMeta: metav1.ObjectMeta{Name: "app-of-" + namespace},
		Spec: v1alpha1.IoTApplicationSpec{
			AppID: "app-of-" + namespace, Namespaces: []string{namespace}, Suspend: true,
			Northbound: v1alpha1.Northbound{
				Endpoint: "https://127.0.0.1:8743", CredentialsRef: v1alpha1.SecretReference{Name: "none"},
			},
		},
	}
	if err := k8s.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k8s.Delete(context.WithoutCancel(t.Context()), app); err != nil {
			t.Error(err)
		}
	})
	awaitPermitted(t, fwu, true)
	stop(t, m)
}

// awaitPermitted waits until a FirmwareUpgrade may claim its task, or may not.
func awaitPermitted(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, want bool) {
	t.Helper()
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		ready := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || (ready.Reason != v1alpha1.ReasonNotPermitted) != want {
			return "Ready is " + describe(ready)
		}
		return ""
	})
}

func describe(c *metav1.Condition) string {
	if c == nil {
		return "not there"
	}
	return string(c.Status) + " for " + c.Reason + ": " + c.Message
}
