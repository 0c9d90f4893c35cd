// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/go-logr/logr"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return fmt.Errorf("find the manager: %w", err)
	}
	temporary := o.logs == ""
	if temporary {
		o.logs, err = os.MkdirTemp("", "fwupgrade-chaos-")
	} else {
		err = os.MkdirAll(o.logs, 0o755)
	}
	if err != nil {
		return fmt.Errorf("make a folder for the logs: %w", err)
	}
	r, err := runEpochs(ctx, o, o.logs)
	if err != nil {
		return fmt.Errorf("seed %d, logs in %s: %w", o.seed, o.logs, err)
	}
	r.print(os.Stdout)
	switch {
	case r.failed == nil && temporary:
		return os.RemoveAll(o.logs)
	case r.failed == nil:
		return nil
	}
	platform := ""
	if o.platform {
		platform = " PLATFORM=1"
	}
	fmt.Printf("\nThe run failed. Again: make chaos SEED=%d%s CHAOS_ARGS=\"--only-epoch=%d --epoch=%s --rate=%g "+
		"--fault-every=%s\"\nIts logs are in %s.\n", o.seed, platform, r.failed.number, o.epoch, o.rate, o.faultEvery,
		o.logs)
	if o.shrink > 0 {
		r.failed.faults = shrink(ctx, o, r.failed)
	}
	fmt.Println("The faults with which it fails:")
	for _, f := range r.failed.faults {
		fmt.Println("  ", f)
	}
	return fmt.Errorf("%d problems", len(r.problems))
}

// runEpochs runs epochs until the time is over, or one of them fails.
func runEpochs(ctx context.Context, o *options, dir string) (_ *runReport, err error) {
	began := time.Now()
	history, err := os.Create(filepath.Join(dir, "history.log"))
	if err != nil {
		return nil, fmt.Errorf("make the log of the run: %w", err)
	}
	defer func() { err = errors.Join(err, history.Close()) }()
	log := func(format string, args ...any) {
		line := fmt.Sprintf("%s %s\n", time.Now().UTC().Format("15:04:05.000"), fmt.Sprintf(format, args...))
		fmt.Fprint(os.Stderr, line)
		fmt.Fprint(history, line)
	}
	log("seed %d, logs in %s", o.seed, dir)
	s, err := startSystem(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var background sync.WaitGroup
	defer background.Wait()
	running, end := context.WithCancel(ctx)
	defer end()
	background.Go(func() { s.watchWebhooks(running) })
	for _, slot := range s.slots() {
		background.Go(func() { slot.supervise(running) })
	}
	r := newReport(o)
	for number := max(0, o.only); ; number++ {
		e := planEpoch(o, number)
		if len(o.keep) > 0 {
			e.faults = slices.DeleteFunc(e.faults, func(f fault) bool { return !slices.Contains(o.keep, f.number) })
		}
		outcome, err := e.run(ctx, s, log)
		if err != nil {
			return nil, err
		}
		outcome.problems = append(outcome.problems, s.checkProcesses()...)
		r.add(e, outcome, s)
		if len(outcome.problems) > 0 || o.only >= 0 || time.Since(began) > o.duration || ctx.Err() != nil {
			break
		}
		s.clear(ctx, outcome.lives)
	}
	r.took = time.Since(began)
	r.gap, r.endings = longestBeyond(s.gaps, s.allOutages()), s.endings()
	r.platform = s.report()
	r.attempts, err = s.attempts(context.WithoutCancel(ctx))
	return r, err
}
