// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

const (
	application = "meters"
	upgrade     = "meters-1.6"
	// lookEvery is how often the status is looked at.
	lookEvery = time.Second
)

// stage shows what becomes of one application and one upgrade.
type stage struct {
	out             *console.Console
	dir, kubectlBin string
	operator        *local.Operator
	platform        *northbound.Server
	api             client.Client
}

func newStage(
	out *console.Console, dir string, operator *local.Operator, platform *northbound.Server,
) (*stage, error) {
	kubectl, err := local.Asset("kubectl")
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register the API types: %w", err)
	}
	api, err := client.New(operator.Cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &stage{out: out, dir: dir, kubectlBin: kubectl, operator: operator, platform: platform, api: api}, nil
}

// play connects the application, upgrades its devices, and compares the end with the platform's truth.
func (s *stage) play(ctx context.Context) error {
	s.out.Title("Connecting the application, as Git would")
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.await(ctx, "the operator subscribes the callback", func() (string, error) {
		app := &v1alpha1.IoTApplication{}
		if err := s.api.Get(ctx, client.ObjectKey{Name: application}, app); err != nil {
			return "", err
		}
		if meta.IsStatusConditionTrue(app.Status.Conditions, v1alpha1.ConditionReady) {
			return "", nil
		}
		return cmp.Or(app.Status.Reason, "nothing is told yet"), nil
	}); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "get", "iotapplications"); err != nil {
		return err
	}
	return s.upgrade(ctx)
}

// upgrade upgrades the devices, and compares every count with the platform's truth.
func (s *stage) upgrade(ctx context.Context) error {
	s.out.Title("An upgrade of 1,000 devices, of which every tenth push is lost")
	operation, err := s.platform.CreateTask(northbound.TaskSpec{Count: devices})
	if err != nil {
		return fmt.Errorf("create the task: %w", err)
	}
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: upgrade},
		Spec: v1alpha1.FirmwareUpgradeSpec{
			OperationID: operation, AppID: s.platform.AppID(), TargetVersion: "1.6",
			FailurePolicy: &v1alpha1.FailurePolicy{MaxFailed: intstr.FromString("5%")},
		},
	}
	if err := s.api.Create(ctx, fwu); err != nil {
		return fmt.Errorf("declare the upgrade: %w", err)
	}
	if err := s.awaitUpgrade(ctx, "the devices report", fwu, func() bool {
		p := fwu.Status.Platform
		return synced(fwu).Reason == v1alpha1.ReasonRepairing || p != nil && p.Repaired > 0
	}); err != nil {
		return err
	}
	s.tellSynced(fwu)
	if err := s.awaitUpgrade(ctx, "the operator asks for what is missing", fwu, func() bool {
		return meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionFinished) &&
			synced(fwu).Status == metav1.ConditionTrue
	}); err != nil {
		return err
	}
	s.tellSynced(fwu)
	if err := s.kubectl(ctx, "get", "firmwareupgrades"); err != nil {
		return err
	}
	s.out.Title("Every count against the platform's own truth")
	if err := s.check(fwu, operation); err != nil {
		return err
	}
	return s.playWaves(ctx)
}

// awaitUpgrade shows a step until it is done, and how far the devices are where it is not.
func (s *stage) awaitUpgrade(ctx context.Context, what string, fwu *v1alpha1.FirmwareUpgrade, done func() bool) error {
	return s.await(ctx, what, func() (string, error) {
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(fwu), fwu); err != nil || done() {
			return "", err
		}
		return cmp.Or(fwu.Status.Progress, "nothing is told yet"), nil
	})
}

// tellSynced says what comparing with the platform's figures has found.
func (s *stage) tellSynced(fwu *v1alpha1.FirmwareUpgrade) {
	c, repaired := synced(fwu), int64(0)
	if p := fwu.Status.Platform; p != nil {
		repaired = p.Repaired
	}
	text := fmt.Sprintf("Synced is %s (%s), %d results were asked for", c.Status, c.Reason, repaired)
	if c.Message != "" {
		text += ": " + c.Message
	}
	s.out.Paragraph(text, 2)
}

// synced is the condition Synced; empty where there is none yet.
func synced(fwu *v1alpha1.FirmwareUpgrade) metav1.Condition {
	if c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionSynced); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// check compares the status with the platform's truth.
func (s *stage) check(fwu *v1alpha1.FirmwareUpgrade, operation string) error {
	truth, known := s.platform.Truth(operation)
	if !known {
		return errors.New("the platform does not know the task")
	}
	counted, p := fwu.Status.Devices, fwu.Status.Platform
	lost := s.platform.Report().Pushes.Lost
	switch {
	case counted.Succeeded != int64(truth.Counts.Success) || counted.Failed != int64(truth.Counts.Fail) ||
		counted.Succeeded+counted.Failed != devices:
		return fmt.Errorf("counted are %+v, true is %+v", counted, truth.Counts)
	case lost == 0 || p == nil || p.Repaired != int64(lost):
		return fmt.Errorf("%d pushes were lost, the status says %+v", lost, p)
	case !meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionReady):
		return errors.New("it is not Ready, though the failure policy allows what failed")
	}
	s.out.Styled(console.Green, fmt.Sprintf("✓ %d devices = %d succeeded + %d failed, as the platform has it",
		devices, counted.Succeeded, counted.Failed))
	s.out.Styled(console.Green, fmt.Sprintf("✓ %d pushes were lost, and as many results asked for", lost))
	s.out.Styled(console.Green, fmt.Sprintf("✓ Ready: %d failed, and the policy allows 5 %%", counted.Failed))
	return nil
}

// connect creates the Secrets and the IoTApplication.
func (s *stage) connect(ctx context.Context) error {
	secret := func(name string, data map[string]string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: local.OperatorNamespace, Name: name}, StringData: data,
		}
	}
	for _, object := range []client.Object{
		secret("meters-platform", map[string]string{
			"secret": s.platform.Secret(), "callback-url": s.operator.CallbackURL,
		}),
		secret("meters-ca", map[string]string{"ca.crt": string(s.platform.CA())}),
		&v1alpha1.IoTApplication{
			ObjectMeta: metav1.ObjectMeta{Name: application},
			Spec: v1alpha1.IoTApplicationSpec{
				AppID: s.platform.AppID(), Namespaces: []string{metav1.NamespaceDefault}, Tasks: v1alpha1.TasksCreate,
				Notifications: []v1alpha1.Notification{v1alpha1.NotificationResult},
				Northbound: v1alpha1.Northbound{
					Endpoint: s.platform.URL(), CredentialsRef: v1alpha1.SecretReference{Name: "meters-platform"},
					TLSRef: &v1alpha1.SecretReference{Name: "meters-ca"},
				},
			},
		},
	} {
		if err := s.api.Create(ctx, object); err != nil {
			return fmt.Errorf("create %s: %w", object.GetName(), err)
		}
	}
	return nil
}

// await shows a step until look finds nothing missing any more.
func (s *stage) await(ctx context.Context, what string, look func() (missing string, err error)) error {
	ended := s.out.Step(what)
	for {
		missing, err := look()
		if err == nil && missing == "" {
			ended(true)
			return nil
		}
		select {
		case <-ctx.Done():
			ended(false)
			return fmt.Errorf("%s: %s: %w", what, missing, errors.Join(err, context.Cause(ctx)))
		case <-time.After(lookEvery):
		}
	}
}

// kubectl prints a command, as one would type it, and what it answers.
func (s *stage) kubectl(ctx context.Context, args ...string) error {
	s.out.Styled(console.Bold, "$ kubectl "+strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, s.kubectlBin, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.operator.Kubeconfig)
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

func hostOf(url string) string { return strings.TrimPrefix(url, "https://") }
