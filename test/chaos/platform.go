// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

const (
	application = "chaos"
	// platformSpeed is how many times faster than real ones the platform's devices are: an upgrade takes seconds.
	platformSpeed  = 60
	callsPerMinute = 6000
	// blacklisted is for how long the platform does not push to a webhook that did not answer.
	blacklisted = 5 * time.Second

	// creationGrace is how long an attempt to create a task of which nothing was found counts as perhaps made. It is
	// longer than all that can pass until the list shows what was asked for: until the platform is asked (10 s), while
	// the leader is stopped then (25 s), and what follows.
	creationGrace = 90 * time.Second
	// createdLate is by how much the platform creates a task late, listedLate, by how much it lists one late. A new
	// leader waits for longer than the latter before it has anything created: see build.sh.
	createdLate, listedLate = 15 * time.Second, 8 * time.Second
	// connecting bounds how long it takes until the first task is created.
	connecting = 3 * time.Minute
)

// startPlatform runs the platform that is asked for tasks.
func (s *system) startPlatform(ctx context.Context, seed uint64) (err error) {
	s.platform, err = northbound.Start(context.WithoutCancel(ctx), northbound.Options{
		Seed: seed, Speed: platformSpeed, CallsPerMinute: callsPerMinute, TargetVersion: targetVersion,
		Push: northbound.PushOptions{BlacklistDuration: blacklisted},
	})
	return err
}

// controllersArgs are the further arguments of the controllers.
func (s *system) controllersArgs() []string {
	if s.platform == nil {
		return nil
	}
	return []string{
		"--platform-hosts=" + strings.TrimPrefix(s.platform.URL(), "https://"), "--creation-grace=" + creationGrace.String(),
	}
}

// connect declares the application, and waits until the operator has seen that the platform's list shows a task that it
// had created: from then on what the list does not show was not created.
func (s *system) connect(ctx context.Context) error {
	root, err := local.ModuleRoot()
	if err != nil {
		return err
	}
	for _, file := range []string{"role.yaml", "role_binding.yaml"} {
		file = filepath.Join(root, "config", "platform", file)
		if _, err := harness.Kubectl(ctx, s.kubeconfig, "apply", "--server-side", "-f", file); err != nil {
			return err
		}
	}
	first := &life{
		task:   &task{operation: "first", devices: [2][]string{{"first"}}, maxFailed: -1, wave: &wave{closes: waveOpen}},
		system: s, began: time.Now(),
	}
	for _, object := range append(s.declaration(), first.newUpgrade(fleets[0], "", 0)) {
		if err := s.create(ctx, object); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	return insist(ctx, func(ctx context.Context) error {
		app := &v1alpha1.IoTApplication{}
		if err := s.api.Get(ctx, client.ObjectKey{Name: application}, app); err != nil {
			return err
		}
		if app.Status.Search == nil {
			return fmt.Errorf("no created task was found in the platform's list yet; IoTApplication: %s", app.Status.Reason)
		}
		return nil
	})
}

// declaration is the IoTApplication and its Secrets. The platform pushes to the webhook whose clock is right.
func (s *system) declaration() []client.Object {
	secret := func(name string, data map[string]string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: local.OperatorNamespace, Name: name}, StringData: data,
		}
	}
	callback := "http://" + s.webhooks[0].callback + callbackPath + "/" + s.secret
	return []client.Object{
		secret("platform", map[string]string{"secret": s.platform.Secret(), "callback-url": callback}),
		secret("platform-ca", map[string]string{"ca.crt": string(s.platform.CA())}),
		&v1alpha1.IoTApplication{
			ObjectMeta: metav1.ObjectMeta{Name: application},
			Spec: v1alpha1.IoTApplicationSpec{
				AppID: s.platform.AppID(), Namespaces: fleets[:], Tasks: v1alpha1.TasksCreate, CallsPerMinute: callsPerMinute,
				Notifications: []v1alpha1.Notification{v1alpha1.NotificationResult},
				Northbound: v1alpha1.Northbound{
					Endpoint: s.platform.URL(), CredentialsRef: v1alpha1.SecretReference{Name: "platform"},
					TLSRef: &v1alpha1.SecretReference{Name: "platform-ca"},
				},
			},
		},
	}
}

// report is what the platform's control answers to GET /_/report, nil where there is no platform.
func (s *system) report() *northbound.Report {
	if s.platform == nil {
		return nil
	}
	return s.platform.Report()
}

// attempts are how attempts to create a task ended, by what is recorded.
func (s *system) attempts(ctx context.Context) (map[string]int, error) {
	records := &storage.FirmwareUpgradeTaskRecordList{}
	if err := s.api.List(ctx, records, client.InNamespace(local.OperatorNamespace)); err != nil {
		return nil, fmt.Errorf("list the records of created tasks: %w", err)
	}
	ended := map[string]int{}
	for i := range records.Items {
		if of := records.Items[i].Spec.Outcome; of != nil {
			ended[fmt.Sprintf("%s/%s", of.Result, of.How)]++
		}
	}
	return ended, nil
}

// closePlatform ends the platform, and leaves its report beside the logs.
func (s *system) closePlatform() error {
	if s.platform == nil {
		return nil
	}
	err := s.platform.Close()
	report, encodeErr := json.MarshalIndent(s.platform.Report(), "", "  ")
	return errors.Join(err, encodeErr, os.WriteFile(filepath.Join(s.dir, "platform.json"), report, 0o600))
}
