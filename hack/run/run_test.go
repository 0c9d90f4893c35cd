// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
)

func TestCallbackPort(t *testing.T) {
	cases := map[string]struct {
		value      string
		want       int
		wantFolder string
		wantErr    bool
	}{
		"default":    {value: "", want: defaultPort, wantFolder: "bin/run"},
		"set":        {value: "9000", want: 9000, wantFolder: "bin/run-9000"},
		"no number":  {value: "https", wantErr: true},
		"no port":    {value: "0", wantErr: true},
		"not a port": {value: "65536", wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := callbackPort(tc.value)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("got %d, %v", got, err)
			}
			if folder := folderOf(got); err == nil && folder != tc.wantFolder {
				t.Errorf("its folder is %s, want %s", folder, tc.wantFolder)
			}
		})
	}
}

// secret is in the callback's URL.
const secret = "SECRET-OF-THE-CALLBACK"

// newShell returns a shell whose files are written, in a folder with a quote and a blank in its name.
func newShell(t *testing.T, withPlugin bool) *shell {
	t.Helper()
	root := filepath.Join(t.TempDir(), "it's here")
	bin, assets := filepath.Join(root, "bin"), filepath.Join(root, "assets")
	s := &shell{root: root, folder: "bin/run", operator: &local.Operator{
		Kubeconfig: filepath.Join(bin, "run", "kubeconfig"), CallbackURL: "http://127.0.0.1:1/path/" + secret,
	}}
	for _, dir := range []string{filepath.Join(bin, "run"), assets} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	binaries := []string{filepath.Join(assets, "kubectl"), filepath.Join(bin, "simulator")}
	if withPlugin {
		binaries = append(binaries, filepath.Join(bin, plugin))
	}
	for _, path := range binaries {
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho this is \"$0\"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEnvIsSourced sources env as people do, twice, and runs what it brings.
func TestEnvIsSourced(t *testing.T) {
	s := newShell(t, true)
	script := `source bin/run/env; before=$PATH; source bin/run/env; [ "$before" = "$PATH" ] || echo longer
		echo "$KUBECONFIG"; echo "$CALLBACK_URL"; kubectl; simulator; kubectl-fwupgrade`
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = s.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	commands := filepath.Join(s.root, "bin/run/commands")
	want := []string{
		s.operator.Kubeconfig, s.operator.CallbackURL, "this is " + commands + "/kubectl",
		"this is " + commands + "/simulator", "this is " + commands + "/" + plugin,
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(string(out)), "\n")); diff != "" {
		t.Errorf("Unexpected output (-want,+got):\n%s", diff)
	}
	if err := s.remove(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(s.root, s.folder))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestNothingSecretIsReadable holds that only the owner can read the callback's URL.
func TestNothingSecretIsReadable(t *testing.T) {
	s := newShell(t, false)
	info, err := os.Stat(s.path(envFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("env has the mode %o, want 600", info.Mode().Perm())
	}
}

// TestTell holds that what is printed fits, has no secret, and names the plugin only where there is one.
func TestTell(t *testing.T) {
	for name, withPlugin := range map[string]bool{"with the plugin": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			s := newShell(t, withPlugin)
			s.tell(console.New(&out, console.Options{Unicode: true}))
			for line := range strings.SplitSeq(out.String(), "\n") {
				if len([]rune(line)) > 100 || strings.HasSuffix(line, "…") {
					t.Errorf("%d columns, or cut: %s", len([]rune(line)), line)
				}
			}
			if strings.Contains(out.String(), secret) {
				t.Error("the secret is printed")
			}
			if !strings.Contains(out.String(), "source bin/run/env\n") {
				t.Errorf("nothing to source in:\n%s", out.String())
			}
			if got := strings.Contains(out.String(), "kubectl fwupgrade"); got != withPlugin {
				t.Errorf("it names the plugin: %t, want %t", got, withPlugin)
			}
		})
	}
}

// TestFilesBelongTogether holds that the notification is complete and that the FirmwareUpgrade declares its task.
func TestFilesBelongTogether(t *testing.T) {
	var body map[string]string
	if err := json.Unmarshal([]byte(notification), &body); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"notifyType", "deviceId", "appId", "operationId", "subOperationId", "curVersion", "targetVersion", "sourceVersion",
		"status", "statusDesc", "upgradeTime",
	} {
		if body[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := yaml.UnmarshalStrict([]byte(upgrade), fwu); err != nil {
		t.Fatal(err)
	}
	if fwu.Spec.OperationID != body["operationId"] {
		t.Errorf("it declares %s, want %s", fwu.Spec.OperationID, body["operationId"])
	}
}

// TestInterruptedAtTheStart holds that an interrupt is no error, but that something stays behind is.
func TestInterruptedAtTheStart(t *testing.T) {
	addresses, err := local.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envPort, port)
	t.Setenv("KUBEBUILDER_ASSETS", t.TempDir()) // so that no control plane starts
	for name, stays := range map[string]bool{"everything is stopped": false, "something stays": true} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			t.Chdir(root)
			blocked := filepath.Join(root, "bin", "run-"+port)
			if stays {
				blocked = filepath.Join(blocked, "kubeconfig", "a folder is not removed as a file is")
			}
			err := errors.Join(os.WriteFile("go.mod", []byte("module fwupgrade.io/operator\n"), 0o600),
				os.MkdirAll(blocked, 0o700))
			if err != nil {
				t.Fatal(err)
			}
			ctx, interrupt := context.WithCancel(t.Context())
			interrupt()
			err = run(ctx, console.New(io.Discard, console.Options{}), nil)
			if (err != nil) != stays || stays && !errors.Is(err, local.ErrNotStopped) {
				t.Errorf("got %v; want an error that says what stays: %t", err, stays)
			}
		})
	}
}

// TestNothingStaysOfAFailedStart holds that no secret stays behind where not all files can be written.
func TestNothingStaysOfAFailedStart(t *testing.T) {
	s := newShell(t, true)
	if err := errors.Join(s.remove(), os.Mkdir(s.path(upgradeFile), 0o700)); err != nil {
		t.Fatal(err)
	}
	err := stay(t.Context(), console.New(io.Discard, console.Options{}), s)
	if err == nil || !strings.Contains(err.Error(), upgradeFile) {
		t.Errorf("got %v, want an error about %s", err, upgradeFile)
	}
	left, err := os.ReadDir(filepath.Join(s.root, s.folder))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
