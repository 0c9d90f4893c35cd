// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
)

// command runs a command in the root of the repository, without what a make around the test hands down.
func command(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "IMAGE", "VERSION"} {
		t.Setenv(variable, "")
		os.Unsetenv(variable)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = root
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// The image, install.yaml and the chart of a release name the same image.
func TestImageOfARelease(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"by default": {[]string{"VERSION=v0.1.0"}, "fwupgrade-operator:v0.1.0"},
		"named": {
			[]string{"VERSION=v0.1.0", "IMAGE=registry.example.com/a:v0.1.0"}, "registry.example.com/a:v0.1.0",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, "make", append([]string{"-n", "release-files"}, tc.args...)...)
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			images := 0
			for _, field := range strings.Fields(out) {
				key, image, _ := strings.Cut(field, "=")
				if key != "IMAGE" && key != "--image" {
					continue
				}
				images++
				if image != tc.want {
					t.Errorf("want %s, got %s", tc.want, field)
				}
			}
			if images < 4 {
				t.Errorf("only %d commands name the image:\n%s", images, out)
			}
		})
	}
}

// Otherwise the chart, whose tag is its version, would want an image that was not made.
func TestReleaseRefusesAnotherTag(t *testing.T) {
	// The check alone: nothing is built.
	out, err := command(t, "make", "-n", "release-files", "VERSION=v0.1.0", "IMAGE=a:v0.2.0")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.SplitSeq(out, "\n") {
		if strings.Contains(line, "has another tag than") {
			if _, err := command(t, "bash", "-c", line); err == nil {
				t.Error("a:v0.2.0 is released as v0.1.0")
			}
			return
		}
	}
	t.Errorf("nothing checks the tag:\n%s", out)
}

// The archives of the plugin do not depend on the umask.
func TestArchiveWithoutUmask(t *testing.T) {
	const script = `set -euo pipefail
source <(sed -n '/^pack() {/,/^}/p' hack/release.sh)
umask "$1"
mkdir "$2/files"
cp LICENSE "$2/files/"
install -m "$3" LICENSE "$2/files/program"
SOURCE_DATE_EPOCH=1700000000 pack "$2/archive" "$2/files"`
	var archives [2][]byte
	for i, arguments := range [][]string{{"022", "755"}, {"077", "700"}} {
		folder := t.TempDir()
		if out, err := command(t, "bash", "-c", script, "pack", arguments[0], folder, arguments[1]); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var err error
		if archives[i], err = os.ReadFile(filepath.Join(folder, "archive")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two umasks gave two archives")
	}
}
