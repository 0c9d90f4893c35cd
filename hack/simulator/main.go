// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command simulator plays the IoT platform: it pushes the notifications of some firmware upgrade tasks to a callback,
// and honors the answers as the platform does. As simulator serve it is a platform that clients can call: it serves the
// northbound API, runs the tasks that they create, and pushes to the callbacks that they subscribe.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"fwupgrade.io/operator/hack/simulator/platform"
)

const (
	exitUsage      = 2
	exitIncomplete = 3
	progressEvery  = 100 * time.Millisecond
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 when everything was delivered, 3 when something was not. That of serve is its own.
func run(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == "serve" {
		code, err := serve(ctx, args[1:])
		if errors.Is(err, pflag.ErrHelp) {
			return 0
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "simulator:", err)
		}
		return code
	}
	o, err := parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	var report *platform.Report
	if err == nil {
		report, err = simulate(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulator:", err)
		return exitUsage
	}
	if !report.Complete {
		return exitIncomplete
	}
	return 0
}

// simulate makes the plan, pushes it and writes the reports.
func simulate(ctx context.Context, o options) (*platform.Report, error) {
	plan, err := platform.NewPlan(o.plan)
	if err != nil {
		return nil, err
	}
	if o.devicesFile != "" {
		if err := writeDevices(o.devicesFile, plan); err != nil {
			return nil, err
		}
	}
	if o.push.TLS, err = o.tlsConfig(); err != nil {
		return nil, err
	}
	finish := showProgress(&o.push, plan.Len())
	report, err := platform.Push(ctx, plan, o.push)
	finish()
	if err != nil {
		return nil, err
	}
	// Where the JSON goes to standard output, it is to be read by a program, and the table to the other stream.
	var text io.Writer = os.Stdout
	if o.json == "-" {
		text = os.Stderr
	}
	if err := report.WriteText(text); err != nil {
		return nil, err
	}
	return report, writeJSON(o.json, report)
}

// showProgress adds a progress bar to the options where standard error is a terminal. The returned function ends it.
func showProgress(o *platform.PushOptions, notifications int) (finish func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func() {}
	}
	bar := progressbar.NewOptions(notifications,
		progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionSetDescription("pushing"),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("notifications"),
		progressbar.OptionThrottle(progressEvery),
		progressbar.OptionClearOnFinish(),
	)
	// A bar that can't be drawn is no reason to stop.
	o.Progress = func(settled int) { _ = bar.Set(settled) }
	return func() { _ = bar.Finish() }
}

// writeDevices writes the ids of all devices, one a line, task by task.
func writeDevices(path string, plan *platform.Plan) error {
	var ids []byte
	for device := range plan.Options().Devices {
		ids = append(ids, plan.DeviceID(device)...)
		ids = append(ids, '\n')
	}
	if err := os.WriteFile(path, ids, 0o644); err != nil {
		return fmt.Errorf("write the devices: %w", err)
	}
	return nil
}

func writeJSON(path string, report *platform.Report) error {
	switch path {
	case "":
		return nil
	case "-":
		return report.WriteJSON(os.Stdout)
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := errors.Join(report.WriteJSON(file), file.Close()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
