// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
)

// TestCertificate lets a webhook serve a certificate that has expired, and renews it.
func TestCertificate(t *testing.T) {
	w := start(t, local.Options{})
	w.certificate(t, "2")
	w.kubectl(t, "-n", operatorNamespace, "create", "secret", "tls", "fwupgrade-callback-tls",
		"--cert=tls.crt", "--key=tls.key")
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	patch, err := os.ReadFile(filepath.Join(root, "config", "webhook", "tls", "deployment_patch.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.kubectl(t, "-n", operatorNamespace, "patch", "deployment", "fwupgrade-webhook", "--type=json", "-p", string(patch))
	w.awaitUp(t)
	w.certificate(t, "90")

	s := w.section(t, "The certificate")
	w.terminal.Set(t, "CALLBACK_URL", strings.Replace(w.url(), "http:", "https:", 1))
	s.run(t, "s_client")
	s.run(t, "diff")
	s.await(t, "s_client")
	s.run(t, "ping")
}

// certificate makes a certificate of a CA of its own for the callback, which lives for some days.
func (w *world) certificate(t *testing.T, days string) {
	t.Helper()
	for _, command := range []string{
		"[ -e ca.crt ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 " +
			"-subj '/CN=Example CA' -keyout ca.key -out ca.crt",
		"openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=upgrades.example.com " +
			"-addext subjectAltName=IP:127.0.0.1,DNS:upgrades.example.com -keyout tls.key -out tls.csr",
		"openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -out tls.crt -days " +
			days,
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
		cmd.Dir = w.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
}
