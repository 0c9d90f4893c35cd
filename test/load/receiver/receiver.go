// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package receiver runs the receivers that the operator is compared with. Each takes pushes over the same HTTP server
// and decodes them with the same decoder; they differ in how they keep a result. They authenticate nobody: for the
// benchmark only.
package receiver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Path is the callback's path.
const Path = "/v1.0.0/messageReceiver"

// options are the flags: those of the manager that hack/local sets, and two more.
type options struct {
	kubeconfig, callback, metrics, health, namespace, way string
}

// runner serves the callback until ctx ends and calls ready once it listens.
type runner func(ctx context.Context, o *options, config *rest.Config, ready func()) error

// ways are the receivers, by name.
func ways() map[string]runner {
	return map[string]runner{
		WayObject:  runObjects,
		WayInline:  runInline,
		WayWebhook: runWebhook,
		WayFloor:   runFloor,
		WayDecode:  runDecoding,
	}
}

// Run runs the receiver that the arguments name until ctx ends.
func Run(ctx context.Context, args []string) error {
	o := &options{}
	fs := pflag.NewFlagSet("receiver", pflag.ContinueOnError)
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file")
	fs.StringVar(&o.callback, "callback-bind-address", "", "address on which pushes are received")
	fs.StringVar(&o.metrics, "metrics-bind-address", "", "not used")
	fs.StringVar(&o.health, "health-probe-bind-address", "", "address of /readyz")
	fs.StringVar(&o.namespace, "operator-namespace", "", "where results are stored")
	fs.StringVar(&o.way, "way", "", "how results are kept")
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	run, ok := ways()[o.way]
	if !ok {
		return fmt.Errorf("--way=%s is not known: name one of %s", o.way, strings.Join(names(), ", "))
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1
	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	group.Go(func() error { return run(ctx, o, config, func() { close(ready) }) })
	group.Go(func() error { return serveHealth(ctx, o.health, ready) })
	return group.Wait()
}

func names() []string {
	var all []string
	for name := range ways() {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
