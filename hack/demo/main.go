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

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/hack/simulator/platform"
)

const (
	// pushRate lets the demo be watched; the operator takes thousands a second.
	pushRate = 200
	// demoTimeout ends a demo that hangs.
	demoTimeout = 2 * time.Minute
	seed        = 42
	// Exit codes. That of an interrupt is what shells have for it.
	exitUsage       = 2
	exitInterrupted = 130
)

// logs is where the processes of the demo log, and sample what is declared; below the module's root.
const (
	logs   = "bin/demo"
	sample = "config/samples/fwupgrade_v1alpha1_firmwareupgrade.yaml"
)

const usage = `Shows a firmware upgrade of 1,000 devices from beginning to end, on this machine: starts a control
plane and the operator, declares the upgrade, plays the platform, shows what kubectl says and stops
everything again. It takes some half a minute. It needs what "make demo" builds, and takes no flags.

Exits with 0 when every count is as pushed, with 130 when it was interrupted, else with 1.
`

func main() {
	if code, done := parse(os.Args[1:], os.Stderr); done {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	limited, cancel := context.WithTimeoutCause(ctx, demoTimeout,
		fmt.Errorf("it took longer than %s", demoTimeout))
	out := console.For(os.Stdout)
	silence := context.AfterFunc(ctx, func() { out.Line("Interrupted: stopping everything …") })
	s, err := run(limited, out, "")
	interrupted := !silence()
	cancel()
	code := end(out, s, err, interrupted)
	stop()
	os.Exit(code)
}

// parse tells whether the arguments leave nothing to do, and with which exit code.
func parse(args []string, w io.Writer) (code int, done bool) {
	flags := pflag.NewFlagSet("local-demo", pflag.ContinueOnError)
	flags.SetOutput(w)
	flags.Usage = func() { fmt.Fprint(w, usage) }
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0, true
	case err != nil:
		fmt.Fprintf(w, "demo: %v, see --help\n", err)
		return exitUsage, true
	case flags.NArg() > 0:
		fmt.Fprintf(w, "demo: unexpected argument %q, see --help\n", flags.Arg(0))
		return exitUsage, true
	}
	return 0, false
}

// end says how the demo ended, and what to do next, and returns its exit code. Whoever interrupted it did so on
// purpose: that it is unfinished then is no failure of anything.
func end(out *console.Console, s *stage, err error, interrupted bool) int {
	if interrupted {
		out.Paragraph("You stopped the demo "+s.soFar()+".", 0)
	}
	if err != nil {
		out.Title("The demo failed")
		out.Paragraph(err.Error(), 0)
		out.Line("The logs of etcd, kube-apiserver and the operator are in " + logs + ".")
	}
	switch {
	case interrupted && err == nil:
		out.Line("The operator, kube-apiserver and etcd were stopped. Their logs are in " + logs + ".")
		return exitInterrupted
	case interrupted:
		return exitInterrupted
	case err != nil:
		return 1
	}
	out.Title("Everything was stopped again. What to do next:")
	out.Line("make run            keeps the control plane and the operator up, to play with")
	out.Line("docs/tutorial.md    goes from nothing to a gated second wave, in ten minutes")
	out.Line("bin/demo            has the logs")
	return 0
}

// run plays the demo in a folder, by default bin/demo. The stage it returns tells how far it came; nil if nothing was
// shown. An interrupt is no error, but that something could not be stopped is.
func run(ctx context.Context, out *console.Console, dir string) (_ *stage, err error) {
	root, err := local.ModuleRoot()
	if err != nil {
		return nil, err
	}
	declared, err := load(filepath.Join(root, sample))
	if err != nil {
		return nil, err
	}
	plan, err := platform.NewPlan(planOf(declared))
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = filepath.Join(root, logs)
	}
	operator, err := start(ctx, out, dir)
	if errors.Is(ctx.Err(), context.Canceled) && err != nil && !errors.Is(err, local.ErrNotStopped) {
		return nil, nil // everything was stopped again
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop(out, operator)) }()
	s, err := newStage(out, root, operator.Kubeconfig, declared)
	if err != nil {
		return nil, err
	}
	err = s.play(ctx, plan, operator.CallbackURL)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return s, nil
	case ctx.Err() != nil: // which is why whatever it did last failed
		err = context.Cause(ctx)
	}
	return s, err
}

// start starts the control plane and the operator. Nothing here deletes a namespace or counts a quota, so there is no
// kube-controller-manager.
func start(ctx context.Context, out *console.Console, dir string) (*local.Operator, error) {
	out.Title("Starting a control plane and the operator")
	next, ended := out.Steps()
	operator, err := local.StartOperator(ctx, local.OperatorOptions{
		Dir: dir, WithoutControllerManager: true, Progress: next,
	})
	ended(err == nil)
	return operator, err
}

func stop(out *console.Console, operator *local.Operator) error {
	out.Title("Stopping")
	ended := out.Step("the operator, kube-apiserver and etcd")
	err := operator.Stop()
	ended(err == nil)
	return err
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
		OperationID:   fwu.OperationID(),
		TargetVersion: fwu.Spec.TargetVersion,
	}
}
