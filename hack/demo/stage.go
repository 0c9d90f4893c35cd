// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/hack/simulator/platform"
)

// stage shows what becomes of one FirmwareUpgrade.
type stage struct {
	out                      *console.Console
	dir, kubectl, kubeconfig string
	name, namespace          string
	reader                   client.Reader
	// pushed is how pushing ended, counted how many devices the status had with a result; nil and 0 before.
	pushed  *platform.Report
	counted int64
}

func newStage(out *console.Console, dir, kubeconfig string, fwu *v1alpha1.FirmwareUpgrade) (*stage, error) {
	kubectl, err := local.Asset("kubectl")
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1 // no limit of the client's own
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), eventsv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register the API types: %w", err)
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &stage{
		out: out, dir: dir, kubectl: kubectl, kubeconfig: kubeconfig, name: fwu.Name, namespace: fwu.Namespace,
		reader: reader,
	}, nil
}

// play shows the whole upgrade and compares its end with the plan.
func (s *stage) play(ctx context.Context, plan *platform.Plan, callbackURL string) error {
	s.out.Title("Declaring the upgrade, as Git would")
	if err := s.show(ctx, "apply", "-f", sample); err != nil {
		return err
	}
	want := expectedOf(plan)
	if err := s.push(ctx, plan, callbackURL, want); err != nil {
		return err
	}
	if err := s.tellEnd(ctx); err != nil {
		return err
	}
	s.out.Title("Every count against what was pushed")
	return s.check(ctx, want)
}

// check compares the status and the Events with what was pushed.
func (s *stage) check(ctx context.Context, want counts) error {
	got, err := s.counts(ctx)
	if err != nil {
		return err
	}
	if diff := want.diff(got); diff != "" {
		return fmt.Errorf("the status differs from what was pushed (-pushed +status):\n%s", diff)
	}
	s.out.Styled(console.Green, fmt.Sprintf("✓ %d devices = %d succeeded + %d failed, and the causes, all as pushed",
		got.Expected+got.Unexpected, got.Succeeded, got.Failed))
	s.out.Styled(console.Green, fmt.Sprintf("✓ %d failures announced = %d devices that failed for good + %d that "+
		"succeeded when tried again", got.Announced, got.Failed, got.Recovered))
	return nil
}

// status reads the FirmwareUpgrade.
func (s *stage) status(ctx context.Context) (*v1alpha1.FirmwareUpgrade, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := s.reader.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: s.name}, fwu); err != nil {
		return nil, fmt.Errorf("read the status: %w", err)
	}
	return fwu, nil
}

// events reads the Events about all FirmwareUpgrades.
func (s *stage) events(ctx context.Context) ([]eventsv1.Event, error) {
	events := &eventsv1.EventList{}
	if err := s.reader.List(ctx, events, client.InNamespace(s.namespace)); err != nil {
		return nil, fmt.Errorf("read the Events: %w", err)
	}
	return events.Items, nil
}

// counts reads the status and the Events.
func (s *stage) counts(ctx context.Context) (counts, error) {
	fwu, err := s.status(ctx)
	if err != nil {
		return counts{}, err
	}
	events, err := s.events(ctx)
	if err != nil {
		return counts{}, err
	}
	return countsOf(fwu, events)
}

// show prints a kubectl command, as one would type it, and what it answers.
func (s *stage) show(ctx context.Context, args ...string) error {
	s.out.Styled(console.Bold, "$ kubectl "+strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, s.kubectl, args...)
	cmd.Dir = s.dir
	// kubectl finds its plugin in the PATH.
	path := filepath.Join(s.dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "PATH="+path)
	var printed, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &failed
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", args[0], err, strings.TrimSpace(failed.String()))
	}
	for line := range strings.Lines(printed.String()) {
		s.out.Line(strings.TrimRight(line, " \n"))
	}
	return nil
}
