// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/hack/simulator/platform"
)

// Whoever interrupts the demo while it pushes is told that he did so, and how many results were pushed, answered and
// counted; nothing reads like lost data. The exit code is that of an interrupt.
func TestInterruptedWhilePushing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	answers := 0
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not see that the client goes
		answers++
		if answers > 3 {
			interrupt()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	plan, err := platform.NewPlan(platform.PlanOptions{Devices: 10, Tasks: 1, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	report, err := platform.Push(ctx, plan, platform.PushOptions{URL: server.URL, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code := end(console.New(&out, console.Options{Unicode: true}), &stage{pushed: report, counted: 3}, nil, true)
	const want = "You stopped the demo when 4 of 10 notifications had been pushed: 3 were answered 200, so they are\n" +
		"stored, and 1 had no answer yet; the status counted 3 devices.\n" +
		"The operator, kube-apiserver and etcd were stopped. Their logs are in bin/demo.\n"
	if code != 130 || out.String() != want {
		t.Errorf("exit code %d, want 130; it says %q", code, out.String())
	}
}

func TestEnd(t *testing.T) {
	failure := errors.New("the status differs")
	cases := map[string]struct {
		stage       *stage
		err         error
		interrupted bool
		code        int
		want        []string
	}{
		"as it should be":               {stage: &stage{}, code: 0, want: []string{"make run", "docs/tutorial.md"}},
		"a failure":                     {stage: &stage{}, err: failure, code: 1, want: []string{"the status differs", logs}},
		"interrupted at the start":      {interrupted: true, code: 130, want: []string{"You stopped the demo before anything"}},
		"interrupted before the pushes": {stage: &stage{}, interrupted: true, code: 130, want: []string{"before anything"}},
		"interrupted, and not stopped": {
			interrupted: true, err: failure, code: 130, want: []string{"You stopped the demo", "the status differs"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := end(console.New(&out, console.Options{}), c.stage, c.err, c.interrupted); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("want %q in %q", want, out.String())
				}
			}
			if stopped := strings.Contains(out.String(), "kube-apiserver and etcd were stopped"); stopped !=
				(c.interrupted && c.err == nil) {
				t.Errorf("that everything was stopped: %t, in %q", stopped, out.String())
			}
		})
	}
}

// TestInterruptedAtTheStart holds that an interrupt is no error, but that something stays behind is.
func TestInterruptedAtTheStart(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", t.TempDir()) // so that no control plane starts
	for name, stays := range map[string]bool{"everything is stopped": false, "something stays": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if stays {
				// A folder is not removed as a file is.
				if err := os.MkdirAll(filepath.Join(dir, "kubeconfig", "folder"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			ctx, interrupt := context.WithCancel(t.Context())
			interrupt()
			_, err := run(ctx, console.New(io.Discard, console.Options{}), dir)
			if (err != nil) != stays || stays && !errors.Is(err, local.ErrNotStopped) {
				t.Errorf("got %v; want an error that says what stays: %t", err, stays)
			}
		})
	}
}
