// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// envAs says what the binary of the tests is to be instead.
const envAs = "KUBECTL_FWUPGRADE_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(envAs) {
	case "plugin":
		main()
	case "stuck":
		ctx, stop := interrupted()
		defer stop()
		fmt.Println("ready")
		<-ctx.Done()
		fmt.Println("interrupted")
		select {}
	default:
		os.Exit(m.Run())
	}
}

// start starts the binary of the tests as something else. It is killed if it does not end.
func start(t *testing.T, as string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), envAs+"="+as)
	return cmd
}

// ended is the state in which a process ended.
func ended(t *testing.T, cmd *exec.Cmd) *os.ProcessState {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	return cmd.ProcessState
}

// A signal ends a command that reads what never comes.
func TestInterruptEndsARead(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := start(t, "plugin", "rejected", "replay", "--callback-url-file", pipe)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		write, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits until the command reads
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Error(err)
		}
		if state := ended(t, cmd); state.ExitCode() != 130 {
			t.Errorf("%v: it ended by %v", signal, state)
		}
		if err := write.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A second signal ends a process that is stuck.
func TestSecondInterruptKills(t *testing.T) {
	cmd := start(t, "stuck")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"ready", "interrupted"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
		if want == "ready" {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The first one may be under way to its end still, so that it is sent until it works.
	stopped := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for ticker := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-stopped:
				ticker.Stop()
				return
			case <-ticker.C:
				_ = cmd.Process.Signal(os.Interrupt) // it may have ended
			}
		}
	}()
	state := ended(t, cmd)
	close(stopped)
	<-sent
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended by %v", state)
	}
}
