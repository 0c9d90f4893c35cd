// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command run starts the embedded control plane and the operator on this machine, says how to use them, and stays up
// until it is interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
)

const (
	defaultPort = 18443
	envPort     = "CALLBACK_PORT"
)

const usage = `Starts a control plane and the operator on this machine and keeps them up until it is interrupted
(Ctrl-C). It needs what "make run" builds.

  local-run [flags of the manager]      the same: make run RUN_ARGS="[flags of the manager]"

The flags, such as --applications-file=FILE or --undeclared=Hold, are added to those that the
operator is started with; "bin/manager --help" lists them. The variable CALLBACK_PORT is the port on
which notifications are received, on 127.0.0.1: 18443 by default. The kubeconfig, what to source in
other terminals (env) and the logs are in bin/run, with another port in bin/run-PORT, so that several
can be up at the same time. But for the logs nothing is kept.
`

func main() {
	args := os.Args[1:]
	if slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "--help" || a == "help" }) {
		fmt.Print(usage)
		return
	}
	// A second signal, as make and the terminal may both send one, must not cut the first one's work short: the
	// context stays registered to the end.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, console.For(os.Stdout), args)
	stop()
	if err != nil {
		console.For(os.Stderr).Paragraph("run: "+err.Error(), 0)
		os.Exit(1)
	}
}

func run(ctx context.Context, out *console.Console, args []string) (err error) {
	port, err := callbackPort(os.Getenv(envPort))
	if err != nil {
		return err
	}
	root, err := local.ModuleRoot()
	if err != nil {
		return err
	}
	folder := folderOf(port)
	operator, err := start(ctx, out, local.OperatorOptions{
		Dir: filepath.Join(root, folder), CallbackPort: port, Args: args,
		WithoutControllerManager: !local.HasControllerManager(),
	})
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, local.ErrNotStopped) {
			return nil // interrupted before it was up; everything was stopped
		}
		return err
	}
	defer func() { err = errors.Join(err, stop(out, operator, folder)) }()
	return stay(ctx, out, &shell{root: root, folder: folder, operator: operator})
}

// stay says how to use the operator and waits for its end or an interrupt. What is secret does not stay behind, nor
// does a part of it that was written.
func stay(ctx context.Context, out *console.Console, s *shell) (err error) {
	defer func() { err = errors.Join(err, s.remove()) }()
	if err := s.write(); err != nil {
		return err
	}
	s.tell(out)
	manager := s.operator.Manager
	select {
	case <-ctx.Done():
		return nil
	case <-manager.Done():
		return fmt.Errorf("the operator ended by itself: %w; its log is %s/manager.log", manager.Err(), s.folder)
	}
}

func start(ctx context.Context, out *console.Console, o local.OperatorOptions) (*local.Operator, error) {
	out.Line("Starting a control plane and the operator")
	next, ended := out.Steps()
	o.Progress = next
	operator, err := local.StartOperator(ctx, o)
	ended(err == nil)
	if err == nil && o.WithoutControllerManager {
		out.Paragraph("There is no kube-controller-manager: a namespace that you delete stays in Terminating. "+
			"`make controlplane` builds one.", 0)
	}
	return operator, err
}

func stop(out *console.Console, operator *local.Operator, folder string) error {
	out.Line("")
	ended := out.Step("stopping the operator and the control plane")
	err := operator.Stop()
	ended(err == nil)
	if err == nil {
		out.Line("Everything was stopped. The logs are in " + folder + ".")
	}
	return err
}

// folderOf returns where an operator with this port keeps its files, below the module's root.
func folderOf(port int) string {
	if port == defaultPort {
		return "bin/run"
	}
	return "bin/run-" + strconv.Itoa(port)
}

// callbackPort returns the port that the environment variable says, or the default one.
func callbackPort(value string) (int, error) {
	if value == "" {
		return defaultPort, nil
	}
	port, err := strconv.Atoi(value)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%s is %q: set it to a port from 1 to 65535", envPort, value)
	}
	return port, nil
}
