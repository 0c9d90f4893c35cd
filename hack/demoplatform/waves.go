// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local/console"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

const (
	lostPushes = 0.1

	canary, mainWave = "meters-1.7-canary", "meters-1.7"
	// mainGroup is the device group of the main wave.
	mainGroup   = "north"
	mainDevices = 200
	// silence is how long the platform takes to answer the creation in whose middle the operator is killed.
	silence = 20 * time.Second
)

func canaryDevices() []string { return []string{"meter-0001", "meter-0002", "meter-0003"} }

// canaryFates let the canary succeed, so that the main wave follows.
func canaryFates() map[string]northbound.Fate {
	fates := map[string]northbound.Fate{}
	for _, id := range canaryDevices() {
		fates[id] = northbound.Succeeds
	}
	return fates
}

// manifest is a wave, as it is in Git.
func (s *stage) manifest(name, targets, policy string) string {
	return fmt.Sprintf(`apiVersion: fwupgrade.io/v1alpha1
kind: FirmwareUpgrade
metadata:
  name: %s
  namespace: default
spec:
  appId: %q
  targetVersion: "1.6"
  settleSeconds: 0
  task:
    packageId: firmware-1.6
    %s
    createBefore: %q
  failurePolicy:
    maxFailed: %s
`, name, s.platform.AppID(), targets, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339), policy)
}

// playWaves has the tasks of two waves created, the second one when the first is Ready.
func (s *stage) playWaves(ctx context.Context) error {
	s.out.Title("A canary from Git, in the middle of whose creation the operator is killed")
	err := s.platform.SetFaults(northbound.Faults{
		PushLost: northbound.Fault{Share: lostPushes},
		AnswerSilent: northbound.Fault{
			Next: 1, Delay: northbound.Duration(silence), Calls: []northbound.Call{northbound.CallCreate},
		},
	})
	if err != nil {
		return err
	}
	devices := "devices: [" + strings.Join(canaryDevices(), ", ") + "]"
	if err := s.apply(ctx, canary, s.manifest(canary, devices, "0")); err != nil {
		return err
	}
	if err := s.killInCreation(ctx); err != nil {
		return err
	}
	err = s.finish(ctx, canary, len(canaryDevices()), "the new leader finds the task, and the canary is Ready")
	if err != nil {
		return err
	}
	s.out.Title("The main wave, now that the canary is Ready")
	groups := "deviceGroups: {names: [" + mainGroup + "], deviceType: WaterMeter, model: NB-600, manufacturerName: Acme}"
	if err := s.apply(ctx, mainWave, s.manifest(mainWave, groups, `"10%"`)); err != nil {
		return err
	}
	const what = "the leader has led for six minutes, the task is created, the devices report"
	if err := s.finish(ctx, mainWave, mainDevices, what); err != nil {
		return err
	}
	if err := s.kubectl(ctx, "get", "firmwareupgrades"); err != nil {
		return err
	}
	if r := s.platform.Report(); r.Tasks.Created != 2 || r.Tasks.Duplicates != 0 {
		return fmt.Errorf("want two tasks of two waves and no duplicate, the platform has %+v", r.Tasks)
	}
	s.out.Styled(console.Green, "✓ 2 waves, 2 tasks on the platform")
	return nil
}

// apply writes a manifest to a file, and applies it.
func (s *stage) apply(ctx context.Context, name, manifest string) error {
	file := filepath.Join(logs, name+".yaml")
	if err := os.WriteFile(filepath.Join(s.dir, file), []byte(manifest), 0o600); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	for line := range strings.Lines(manifest) {
		s.out.Line("  " + strings.TrimRight(line, "\n"))
	}
	return s.kubectl(ctx, "apply", "-f", file)
}

// killInCreation kills the operator when the platform has created a task and has not answered yet.
func (s *stage) killInCreation(ctx context.Context) error {
	ended := s.out.Step("the leader has led for six minutes, and asks the platform")
	posts, err := s.platform.AwaitCreations(ctx, 1)
	ended(err == nil)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	ended = s.out.Step("the operator is killed before the answer comes, and another one starts")
	err = s.operator.ReplaceManager(ctx)
	ended(err == nil)
	if err != nil {
		return fmt.Errorf("replace the operator: %w", err)
	}
	s.out.Line("The platform created task " + posts[0].OperationID + ", which nobody knows yet.")
	return s.kubectl(ctx, "get", "firmwareupgradetaskrecords", "--all-namespaces")
}

// finish waits until a wave is Ready, and compares it with the platform's truth.
func (s *stage) finish(ctx context.Context, name string, devices int, what string) error {
	fwu := &v1alpha1.FirmwareUpgrade{}
	err := s.await(ctx, what, func() (string, error) {
		err := s.api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, fwu)
		switch {
		case err != nil:
			return "", err
		case meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionReady):
			return "", nil
		}
		return cmp.Or(fwu.Status.Progress, fwu.Status.Reason, "nothing is told yet"), nil
	})
	if err != nil {
		return err
	}
	truth, known := s.platform.Truth(fwu.Status.OperationID)
	if !known {
		return fmt.Errorf("the platform does not know the task of %s: %q", name, fwu.Status.OperationID)
	}
	counted := fwu.Status.Devices
	if counted.Succeeded != int64(truth.Counts.Success) || counted.Failed != int64(truth.Counts.Fail) ||
		counted.Succeeded+counted.Failed != int64(devices) {
		return fmt.Errorf("of %s counted are %+v, true is %+v", name, counted, truth.Counts)
	}
	s.out.Styled(console.Green, fmt.Sprintf("✓ %s: %d devices = %d succeeded + %d failed, as the platform has it",
		name, devices, counted.Succeeded, counted.Failed))
	return nil
}
