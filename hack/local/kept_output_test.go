// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// TestOutputIsKept holds that what a manager prints is in the folder that was asked for, with the secrets that it was
// given in a file of their own.
func TestOutputIsKept(t *testing.T) {
	dir, kept := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	t.Setenv(envLogDir, kept)
	binary := filepath.Join(dir, "manager")
	write(t, binary, "#!/bin/sh\necho out\necho err >&2\n", 0o700)
	write(t, filepath.Join(dir, "paths"), "first\nsecond\n", 0o600)
	write(t, filepath.Join(dir, "app"), "third\n", 0o600)
	write(t, filepath.Join(dir, "apps.yaml"),
		"applications:\n- {appId: a, namespaces: [a], secretsFile: app}\n- {appId: b, namespaces: [b]}\n", 0o600)
	m, err := StartManager(t.Context(), ManagerOptions{
		Config: &rest.Config{Host: "x"}, Binary: binary, Dir: dir, ReadyTimeout: -1,
		Args: []string{
			"--callback-secrets-file=" + filepath.Join(dir, "paths"), "--applications-file=" + filepath.Join(dir, "apps.yaml"),
			"--callback-secrets-file=/nowhere",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-m.Done()
	for pattern, want := range map[string]string{
		"manager-*.log": "out\nerr\n", "manager-*.secrets": "first second third",
	} {
		found, err := filepath.Glob(filepath.Join(kept, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		content, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		got := string(content)
		if strings.HasSuffix(pattern, keptSecrets) {
			got = strings.Join(strings.Fields(got), " ")
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", pattern, got, want)
		}
	}
}
