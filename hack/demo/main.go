// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows a firmware upgrade from beginning to end: control plane and operator, a FirmwareUpgrade applied as
// Git would, the platform pushing results, and what kubectl says. It ends with an error if the status differs in any
// count from what was pushed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
)

const (
	// pushRate lets the demo be watched; the operator takes thousands a second.
	pushRate = 200
	// demoTimeout ends a demo that hangs.
	demoTimeout = 2 * time.Minute
	seed        = 42
	// exitInterrupted is the exit code of what was ended by an interrupt, as shells have it.
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	limited, cancel := context.WithTimeoutCause(ctx, demoTimeout,
		fmt.Errorf("it took longer than %s", demoTimeout))
	s, err := run(limited)
	interrupted := ctx.Err() != nil
	cancel()
	stop()
	os.Exit(end(os.Stderr, s, err, interrupted))
}

// end says how the demo ended and returns its exit code. Whoever interrupted it did so on purpose: that it is
// unfinished then is no failure of anything.
func end(w io.Writer, s *stage, err error, interrupted bool) int {
	if interrupted {
		fmt.Fprintf(w, "\nYou stopped the demo %s.\n", s.soFar())
	}
	if err != nil {
		fmt.Fprintln(w, "\ndemo:", err)
	}
	switch {
	case interrupted:
		return exitInterrupted
	case err != nil:
		return 1
	}
	return 0
}

// run plays the demo. The stage it returns tells how far it came; nil if nothing was shown. An interrupt is no error,
// but that something could not be stopped is.
func run(ctx context.Context) (_ *stage, err error) {
	root, err := local.ModuleRoot()
	if err != nil {
		return nil, err
	}
	sample := filepath.Join("config", "samples", "fwupgrade_v1alpha1_firmwareupgrade.yaml")
	declared, err := load(filepath.Join(root, sample))
	if err != nil {
		return nil, err
	}
	plan, err := platform.NewPlan(planOf(declared))
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "bin", "demo")
	title("Starting the control plane and the operator")
	operator, err := local.StartOperator(ctx, local.OperatorOptions{Dir: dir})
	if errors.Is(ctx.Err(), context.Canceled) && err != nil {
		return nil, nil // everything was stopped again
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, operator.Stop()) }()
	s, err := newStage(root, operator.Kubeconfig, declared)
	if err != nil {
		return nil, err
	}
	err = s.play(ctx, sample, plan, operator.CallbackURL)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return s, nil
	case ctx.Err() != nil: // which is why whatever it did last failed
		err = context.Cause(ctx)
	}
	if err != nil {
		return s, fmt.Errorf("%w\n(the logs are in %s)", err, dir)
	}
	return s, nil
}

// load reads the FirmwareUpgrade of a file.
func load(path string) (*v1alpha1.FirmwareUpgrade, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the sample: %w", err)
	}
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := yaml.UnmarshalStrict(content, fwu); err != nil {
		return nil, fmt.Errorf("read the sample %s: %w", path, err)
	}
	if fwu.Spec.ExpectedDevices == nil {
		return nil, fmt.Errorf("the sample %s needs spec.expectedDevices: so many devices are played", path)
	}
	return fwu, nil
}

// planOf returns what happens to the devices of a task: some fail, some of them are retried, some results come twice.
func planOf(fwu *v1alpha1.FirmwareUpgrade) platform.PlanOptions {
	return platform.PlanOptions{
		Devices:       int(*fwu.Spec.ExpectedDevices),
		Tasks:         1,
		Fail:          0.03,
		Retries:       0.2,
		Duplicates:    0.02,
		StateChanges:  0.05,
		Seed:          seed,
		AppID:         fwu.Spec.AppID,
		OperationID:   fwu.Spec.OperationID,
		TargetVersion: fwu.Spec.TargetVersion,
	}
}
