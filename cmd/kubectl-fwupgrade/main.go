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
	ctx, stop := interrupted()
	code := cli.Run(ctx, os.Args[1:], cli.Options{
		Streams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Clock:   clock.RealClock{},
		Getenv:  os.Getenv,
		Version: version(),
	})
	stop()
	os.Exit(code)
}

// interrupted ends with the first signal to end. The second one ends the process, in case that it is stuck.
func interrupted() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// version is what the linker was told, else what the toolchain found in the repository.
func version() string {
	found := ""
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		found = info.Main.Version
	}
	return cmp.Or(linkedVersion, found, "unknown")
}
