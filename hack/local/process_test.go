// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// notedBy waits until the script of a test has written its file: until then a signal might come too early for it.
func notedBy(t *testing.T, path string) {
	t.Helper()
	eventually(t, "the script runs", func(context.Context) error {
		_, err := os.Stat(path)
		return err
	})
}

func TestProcessStop(t *testing.T) {
	cases := map[string]struct {
		script  string
		timeout time.Duration
		wantErr string
	}{
		"ends well": {
			script:  `trap 'exit 0' TERM; touch "$0"; while :; do sleep 0.01; done`,
			timeout: 20 * time.Second,
		},
		"ends badly": {
			script:  `trap 'echo told you; exit 3' TERM; touch "$0"; while :; do sleep 0.01; done`,
			timeout: 20 * time.Second,
			wantErr: "told you",
		},
		"does not listen": {
			script:  `trap '' TERM; echo deaf; touch "$0"; while :; do sleep 0.01; done`,
			timeout: 50 * time.Millisecond,
			wantErr: "did not end in time and was killed; its last output:\ndeaf",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			noted := filepath.Join(t.TempDir(), "noted")
			p, err := StartProcess("script", "/bin/sh", []string{"-c", tc.script, noted}, nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			notedBy(t, noted)
			ctx, cancel := context.WithTimeout(t.Context(), tc.timeout)
			defer cancel()
			err = p.Stop(ctx)
			if tc.wantErr == "" && err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("got %v, want an error with %q", err, tc.wantErr)
			}
			if !gone(p.PID()) {
				t.Error("it runs after Stop")
			}
		})
	}
}

func TestProcessThatEndsIsNotReady(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	p, err := StartProcess("script", "/bin/sh", []string{"-c", "echo no such flag; exit 2"}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	defer client.CloseIdleConnections()
	err = p.waitReady(t.Context(), client, server.URL)
	if err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("got %v, want an error with its output", err)
	}
}

func TestTailKeepsTheNewest(t *testing.T) {
	var got tail
	for range 3 {
		_, _ = got.Write([]byte(strings.Repeat("x", tailBytes-1)))
	}
	_, _ = got.Write([]byte("end"))
	if s := got.String(); len(s) != tailBytes || !strings.HasSuffix(s, "xend") {
		t.Errorf("got %d bytes that end in %q, want %d that end in %q", len(s), s[len(s)-4:], tailBytes, "xend")
	}
}

func TestStartManagerRefuses(t *testing.T) {
	cases := map[string]struct {
		options ManagerOptions
		want    string
	}{
		"no config": {options: ManagerOptions{}, want: "a Config is required"},
		"no binary": {
			options: ManagerOptions{Config: &rest.Config{}, Binary: filepath.Join(t.TempDir(), "manager")},
			want:    "run `make build`",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := StartManager(t.Context(), tc.options)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestOneOperatorAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	held, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("a second lock: got %v, want a sentence", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	held, err = lock(dir)
	if err != nil {
		t.Fatalf("after it was unlocked: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestManagerLeavesNoKubeconfig(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	noted := filepath.Join(t.TempDir(), "noted")
	binary := filepath.Join(t.TempDir(), "manager")
	script := "#!/bin/sh\ntouch '" + noted + "'\nexec sleep 60\n"
	if err := os.WriteFile(binary, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := StartManager(t.Context(), ManagerOptions{Config: &rest.Config{Host: "x"}, Binary: binary, ReadyTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	notedBy(t, noted)
	if m.Ready(t.Context()) {
		t.Error("ready, although nobody serves /readyz")
	}
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestNotStopped holds that the error of a start tells whether everything was stopped again.
func TestNotStopped(t *testing.T) {
	t.Setenv(envAssets, t.TempDir()) // so that no control plane starts
	for name, stays := range map[string]bool{"everything is stopped": false, "something stays": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if stays {
				write(t, filepath.Join(dir, "kubeconfig", "file"), "", 0o600) // a folder is not removed as a file is
			}
			_, err := StartOperator(t.Context(), OperatorOptions{Dir: dir})
			if err == nil || errors.Is(err, ErrNotStopped) != stays {
				t.Errorf("got %v; want an error that is ErrNotStopped: %t", err, stays)
			}
		})
	}
}
