// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demoplatform shows the connection to the platform from beginning to end: a control plane, the operator and
// the simulator's platform, an IoTApplication applied as Git would, the callback subscribed by the operator, and an
// upgrade of 1,000 devices of which every tenth push is lost. Then two waves whose tasks the operator has created: the
// canary, in the middle of whose creation the operator is killed, and the main wave when the canary is Ready. It ends
// with an error if the status differs in any count from the platform's own truth, or if there is a second task.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

const (
	// demoTimeout ends a demo that hangs.
	demoTimeout = 25 * time.Minute
	// speed is how many times faster than real ones the devices are: an upgrade takes a quarter of a minute.
	speed   = 20
	devices = 1000
	seed    = 42
	// logs is where the processes log, below the module's root.
	logs = "bin/demo-platform-logs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	limited, cancel := context.WithTimeoutCause(ctx, demoTimeout, fmt.Errorf("it took longer than %s", demoTimeout))
	out := console.For(os.Stdout)
	err := run(limited, out)
	if limited.Err() != nil && ctx.Err() == nil {
		err = errors.Join(context.Cause(limited), err)
	}
	cancel()
	stop()
	if err != nil {
		out.Title("The demo failed")
		out.Paragraph(err.Error(), 0)
		out.Line("The logs of etcd, kube-apiserver and the operator are in " + logs + ".")
		os.Exit(1)
	}
}

// run plays the demo and stops everything again.
func run(ctx context.Context, out *console.Console) (err error) {
	root, err := local.ModuleRoot()
	if err != nil {
		return err
	}
	platform, err := northbound.Start(ctx, northbound.Options{
		Seed: seed, Speed: speed,
		Devices: northbound.DeviceOptions{
			Fail: 0.03, UpgradeTime: 3 * time.Minute, Spread: 5 * time.Minute, Fates: canaryFates(),
		},
		Faults: northbound.Faults{PushLost: northbound.Fault{Share: lostPushes}},
		Groups: map[string]int{mainGroup: mainDevices},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, platform.Close()) }()
	out.Title("Starting a control plane, the operator and a platform")
	next, ended := out.Steps()
	operator, err := local.StartOperator(ctx, local.OperatorOptions{
		Dir: filepath.Join(root, logs), WithoutControllerManager: true, Progress: next,
		Args: []string{"--platform-hosts=" + hostOf(platform.URL())},
	})
	ended(err == nil)
	if err != nil {
		return err
	}
	defer func() {
		out.Title("Stopping")
		ended := out.Step("the operator, kube-apiserver and etcd")
		stopped := operator.Stop()
		ended(stopped == nil)
		err = errors.Join(err, stopped)
	}()
	s, err := newStage(out, root, operator, platform)
	if err != nil {
		return err
	}
	return s.play(ctx)
}
