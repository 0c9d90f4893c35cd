// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager runs the firmware upgrade operator: the webhook that receives the platform's notifications, the
// controllers that turn them into status and Events, or both.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, problems(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.version {
		_, err := fmt.Fprintln(out, thisBuild())
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	if err := noticeDeadPeers(); err != nil {
		return err
	}
	return start(ctx, o)
}

// problems says why the process ends: in a line, or in a line for each where several things are wrong.
func problems(err error) string {
	text := err.Error()
	if !strings.Contains(text, "\n") {
		return "manager: " + text
	}
	return "manager:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
}
