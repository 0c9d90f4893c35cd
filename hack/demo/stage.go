// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
)

const (
	// settleTimeout is how long after the last push the status may take to be complete, every Event announced; the
	// settleSeconds of the sample are part of it.
	settleTimeout = 45 * time.Second
	pollInterval  = 200 * time.Millisecond
	// countTimeout is how long after an interrupt the status may take to count what was stored.
	countTimeout = 5 * time.Second
	// watchGrace lets kubectl print what it was sent last.
	watchGrace = 300 * time.Millisecond
)

// What is shown of the status, as templates that kubectl fills in.
const (
	conditionsTemplate = `{{range .status.conditions}}` +
		`{{printf "%-12s %-6s %-20s %s\n" .type .status .reason .message}}{{end}}`
	causesTemplate = `{{range .status.details.causes}}{{printf "%3v  %s\n" .count .cause}}{{end}}`
)

// stage shows what kubectl says about one FirmwareUpgrade.
type stage struct {
	dir, kubectl, kubeconfig string
	name, namespace          string
	reader                   client.Reader
	// pushed is how pushing ended, counted how many devices the status had with a result; nil and 0 before.
	pushed  *platform.Report
	counted int64
}

func newStage(dir, kubeconfig string, fwu *v1alpha1.FirmwareUpgrade) (*stage, error) {
	kubectl, err := local.Asset("kubectl")
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), eventsv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register the API types: %w", err)
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &stage{
		dir: dir, kubectl: kubectl, kubeconfig: kubeconfig, name: fwu.Name, namespace: fwu.Namespace, reader: reader,
	}, nil
}

// play shows the whole upgrade and compares its end with the plan.
func (s *stage) play(ctx context.Context, sample string, plan *platform.Plan, callbackURL string) error {
	title("Declaring the upgrade, as Git would")
	if err := s.show(ctx, "apply", "-f", sample); err != nil {
		return err
	}
	title(fmt.Sprintf("The platform pushes %d notifications of %d devices, %d a second",
		plan.Len(), plan.Options().Devices, pushRate))
	want := expectedOf(plan)
	if err := s.push(ctx, plan, callbackURL, want); err != nil {
		return err
	}
	title("The upgrade has finished")
	if err := s.show(ctx, "wait", "--for=condition=Finished", "firmwareupgrade/"+s.name, "--timeout=30s"); err != nil {
		return err
	}
	if err := s.show(ctx, "get", "firmwareupgrades"); err != nil {
		return err
	}
	title("Its conditions")
	if err := s.print(ctx, "get", "firmwareupgrade", s.name, "-o", "go-template="+conditionsTemplate); err != nil {
		return err
	}
	title("Why devices failed")
	if err := s.print(ctx, "get", "firmwareupgrade", s.name, "-o", "go-template="+causesTemplate); err != nil {
		return err
	}
	title("What was announced")
	if err := s.show(ctx, "events", "--for", "firmwareupgrade/"+s.name); err != nil {
		return err
	}
	title("Every count against what was pushed")
	return s.check(ctx, want)
}

// push pushes the plan while kubectl shows how the status follows, until it is complete.
func (s *stage) push(ctx context.Context, plan *platform.Plan, callbackURL string, want counts) error {
	watch := s.command(ctx, "get", "firmwareupgrades", s.name, "--watch")
	if err := watch.Start(); err != nil {
		return fmt.Errorf("start kubectl: %w", err)
	}
	defer func() {
		// It watches until it is told to stop, so how it ends says nothing.
		_ = watch.Process.Signal(syscall.SIGTERM)
		_ = watch.Wait()
	}()
	report, err := platform.Push(ctx, plan, platform.PushOptions{URL: callbackURL, Rate: pushRate})
	if err != nil {
		return err
	}
	s.pushed = report
	if ctx.Err() != nil {
		s.awaitCounted(ctx)
		return context.Cause(ctx)
	}
	if !report.Complete || report.Sent != report.Notifications {
		return fmt.Errorf("not every push was answered 200 at once: %v", report.Answers)
	}
	// What is still missing is told by the comparison at the end.
	_ = wait.PollUntilContextTimeout(ctx, pollInterval, settleTimeout, true, func(ctx context.Context) (bool, error) {
		got, err := s.counts(ctx)
		s.counted = got.Succeeded + got.Failed
		return err == nil && want.diff(got) == "", nil
	})
	select {
	case <-ctx.Done():
	case <-time.After(watchGrace):
	}
	return nil
}

// awaitCounted reads how many devices the status has with a result, until it has all whose results were answered 200;
// also where ctx is over.
func (s *stage) awaitCounted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTimeout)
	defer cancel()
	stored := s.pushed.Counts[0].Succeeded + s.pushed.Counts[0].Failed
	// What can't be read in time is told as it was read last.
	_ = wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		if got, err := s.counts(ctx); err == nil {
			s.counted = got.Succeeded + got.Failed
		}
		return s.counted >= stored, nil
	})
}

// soFar tells what had been pushed when the demo was interrupted. What was answered 200 is stored; what the interrupt
// broke off, the platform would push again.
func (s *stage) soFar() string {
	if s == nil || s.pushed == nil {
		return "before anything was pushed"
	}
	r := s.pushed
	return fmt.Sprintf("when %d of %d notifications had been pushed: %d were answered 200, so they are stored, and %d "+
		"had no answer yet; the status counted %d devices", r.Sent, r.Notifications, r.Delivered, r.Sent-r.Delivered,
		s.counted)
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
	fmt.Printf("%d devices = %d succeeded (%d of them retried) + %d failed; %d causes; %d failures announced: "+
		"all as pushed\n",
		got.Expected+got.Unexpected, got.Succeeded, got.Recovered, got.Failed, len(got.Causes), got.Announced)
	return nil
}

// counts reads the status and the Events.
func (s *stage) counts(ctx context.Context) (counts, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := s.reader.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: s.name}, fwu); err != nil {
		return counts{}, fmt.Errorf("read the status: %w", err)
	}
	events := &eventsv1.EventList{}
	if err := s.reader.List(ctx, events, client.InNamespace(s.namespace)); err != nil {
		return counts{}, fmt.Errorf("read the Events: %w", err)
	}
	return countsOf(fwu, events.Items)
}

// show prints a kubectl command and what it answers.
func (s *stage) show(ctx context.Context, args ...string) error {
	fmt.Println("$ kubectl " + strings.Join(args, " "))
	return s.print(ctx, args...)
}

// print prints what a kubectl command answers.
func (s *stage) print(ctx context.Context, args ...string) error {
	if err := s.command(ctx, args...).Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w", args[0], err)
	}
	return nil
}

func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.kubectl, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

func title(text string) { fmt.Printf("\n── %s\n", text) }
