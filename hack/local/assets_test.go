// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAsset holds that the binaries of two control planes are not mixed: the API server of one version with the kubectl
// of another, without a word.
func TestAsset(t *testing.T) {
	root := t.TempDir()
	own, other := filepath.Join(root, "bin", "controlplane"), filepath.Join(root, "other")
	write(t, filepath.Join(root, "go.mod"), "module "+modulePath+"\n", 0o600)
	for _, name := range []string{"etcd", "kubectl", controllerManagerName} {
		write(t, filepath.Join(own, name), "", 0o700)
	}
	write(t, filepath.Join(other, "etcd"), "", 0o700)
	t.Chdir(root)
	cases := map[string]struct {
		assets, name string
		want         string
		wantErr      string
	}{
		"not set":              {name: "kubectl", want: filepath.Join(own, "kubectl")},
		"not set, not built":   {name: "kube-apiserver", wantErr: "kube-apiserver is not in " + own + ": "},
		"set":                  {assets: other, name: "etcd", want: filepath.Join(other, "etcd")},
		"set, relative":        {assets: "other", name: "etcd", want: filepath.Join(other, "etcd")},
		"set, but lacks it":    {assets: other, name: "kubectl", wantErr: "kubectl is not in " + other + ": "},
		"what is never in one": {assets: other, name: controllerManagerName, want: filepath.Join(own, controllerManagerName)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv(envAssets, tc.assets)
			got, err := Asset(tc.name)
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.HasPrefix(err.Error(), tc.wantErr) {
				t.Errorf("got the error %v, want one that begins with %q", err, tc.wantErr)
			}
		})
	}
}

// write writes a file, with its folders.
func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
