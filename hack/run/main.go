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
	"strconv"
	"syscall"

	"fwupgrade.io/operator/hack/local"
)

const (
	defaultPort = 18443
	envPort     = "CALLBACK_PORT"
)

func main() {
	// A second signal, as make and the terminal may both send one, must not cut the first one's work short: the
	// context stays registered to the end.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	port, err := callbackPort(os.Getenv(envPort))
	if err != nil {
		return err
	}
	root, err := local.ModuleRoot()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "bin", "run")
	fmt.Println("Starting the control plane and the operator …")
	operator, err := local.StartOperator(ctx, local.OperatorOptions{Dir: dir, CallbackPort: port})
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted before it was up; everything was stopped
		}
		return err
	}
	defer func() { err = errors.Join(err, operator.Stop()) }()
	if err := printUsage(os.Stdout, root, operator); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		fmt.Println("\nStopping …")
		return nil
	case <-operator.Manager.Done():
		return fmt.Errorf("the operator ended by itself: %w; its log is %s",
			operator.Manager.Err(), filepath.Join(dir, "manager.log"))
	}
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
