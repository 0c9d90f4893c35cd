// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command load measures how many results a second the operator stores, next to other ways of storing them: one run, on
// one machine, the sides taking turns, so that what disturbs the machine disturbs all of them. It ends with an error if
// a side lost or invented a result or if a status is wrong. It is what `make bench` runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"fwupgrade.io/operator/test/load/receiver"
	"fwupgrade.io/operator/test/load/statuscost"
)

// envReceiver, when set, makes this binary the receiver of a side: a process of its own, so that its CPU time is.
const envReceiver = "FWUPGRADE_LOAD_RECEIVER"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if os.Getenv(envReceiver) != "" {
		return receiver.Run(ctx, args)
	}
	if len(args) > 0 {
		switch args[0] {
		case commandScale:
			return runScale(ctx, args[1:])
		case commandCampaign:
			return runCampaign(ctx, args[1:])
		case statuscost.Command:
			return statuscost.Run(ctx, args[1:], os.Stdout, os.Stderr)
		}
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	report, err := measureAll(ctx, o, os.Stderr)
	if report == nil || report.empty() {
		return err
	}
	// What was measured before something went wrong is shown too.
	return errors.Join(err, report.writeTable(os.Stdout), report.writeFile(o.jsonFile))
}
