// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeGo builds an empty binary, and says what go may say: two packages, a line that takes longer than the script waits
// for one, and an end without a newline.
const fakeGo = `#!/bin/sh
[ "$2" = -v=false ] || printf 'example.com/a\nexample.com/b\n'
printf 'go: downloading '
sleep 1.2
printf 'example.com/c v1\ngo: the end'
while [ "$1" != -o ]; do shift; done
: >"$2"
`

// TestBuildSaysWhatGoSays holds that hack/controlplane/build.sh shows whole lines, and once what is to come; and that
// an old bash, such as that of macOS, builds, too.
func TestBuildSaysWhatGoSays(t *testing.T) {
	const introduction = "" +
		"Building the control plane, once. It takes some 3 GB of disk, most of it in the caches of Go.\n" +
		"One that is there already is used instead: KUBEBUILDER_ASSETS=folder make ...\n"
	const said = "      go: downloading example.com/c v1\n      go: the end\n"
	cases := map[string]struct {
		number  string
		hasEtcd bool
		bash    string
		want    string
	}{
		"the first": {number: "1/4", hasEtcd: true, want: introduction + "[1/4] binary: a while on two cores the first time\n" + said},
		"a further": {number: "4/4", hasEtcd: true, want: "[4/4] binary: a while on two cores the first time\n" + said},
		"the only":  {number: "4/4", want: introduction + "[4/4] binary: a while on two cores the first time\n" + said},
		"an old bash": {
			number: "4/4", hasEtcd: true, bash: "3",
			want: "[4/4] binary: a while on two cores the first time\n" +
				strings.ReplaceAll(strings.TrimSpace(said), "\n      ", "\n"),
		},
	}
	root, err := ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "hack", "controlplane", "build.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, script := t.TempDir(), string(content)
			if tc.bash != "" {
				script = strings.ReplaceAll(script, "BASH_VERSINFO[0]", tc.bash)
			}
			write(t, filepath.Join(dir, "build.sh"), script, 0o700)
			write(t, filepath.Join(dir, "path", "go"), fakeGo, 0o700)
			if tc.hasEtcd {
				write(t, filepath.Join(dir, "etcd"), "", 0o700)
			}
			cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "build.sh"), filepath.Join(dir, "binary"),
				"example.com/a", tc.number, "a while", "-s -w")
			cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "path")+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			got := regexp.MustCompile(` *built in .*\n`).ReplaceAllString(string(out), "")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Unexpected output (-want,+got):\n%s", diff)
			}
		})
	}
}
