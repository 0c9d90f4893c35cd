// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-fwupgrade is the kubectl plugin `kubectl fwupgrade`.
package main

import (
	"cmp"
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime/pkg/log"

	"fwupgrade.io/operator/internal/cli"
)

// linkedVersion is set by the linker (-X main.linkedVersion=v0.1.0).
var linkedVersion string //nolint:gochecknoglobals // the linker sets variables of a package only

func main() {
	// The libraries would log what the commands say themselves.
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
	// Whoever closes the output ends the command, which then removes its files.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Options{
		Streams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Clock:   clock.RealClock{},
		Getenv:  os.Getenv,
		Version: version(),
	})
	stop()
	os.Exit(code)
}

// version is what the linker was told, else what the toolchain found in the repository.
func version() string {
	found := ""
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		found = info.Main.Version
	}
	return cmp.Or(linkedVersion, found, "unknown")
}
