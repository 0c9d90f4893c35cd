// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// wave is what a task has beyond others that comes from Git: the platform is asked for it, and its devices report
// there. Its operation is the name of the package, by which it is told from the tasks of other waves.
type wave struct {
	// closes is when createBefore is, counted from the beginning of the epoch.
	closes time.Duration
	// made is the task that the platform has, once that was looked at.
	made string
}

// What becomes of waves beyond what becomes of other tasks, too.
const (
	kindClosing kind = "closing" // createBefore passes while faults strike
	kindExpired kind = "expired" // createBefore had passed before
)

// waveKinds are all that become of waves, with how many of 100 are of each.
//
//nolint:gochecknoglobals // A constant table.
var waveKinds = []kindShare{
	{kindDeclared, 35}, {kindRecreated, 25}, {kindRenamed, 25}, {kindClosing, 10}, {kindExpired, 5},
}

const (
	// waveInterval is how far apart waves begin, on average.
	waveInterval = 5 * time.Second
	// waveOpen is how long after the epoch most waves may still be created.
	waveOpen = time.Hour
)

// planWaves makes the waves of an epoch, numbered from a number on.
func planWaves(rng *rand.Rand, prefix string, number int, duration time.Duration) []*task {
	var waves []*task
	for range duration / waveInterval {
		t := &task{
			number: number + len(waves), kind: drawKind(rng, waveKinds), maxFailed: -1, wave: &wave{closes: waveOpen},
		}
		t.operation = fmt.Sprintf("%s-wave-%03d-%s", prefix, len(waves), t.kind)
		t.start = time.Duration(rng.Float64() * 0.7 * float64(duration))
		t.length = time.Duration((0.05 + 0.2*rng.Float64()) * float64(duration))
		switch t.kind {
		case kindClosing:
			t.wave.closes = t.start + time.Duration(rng.Float64()*float64(duration-t.start))
		case kindExpired:
			t.wave.closes = t.start - time.Minute
		}
		for i := range 1 + rng.IntN(4) {
			t.devices[0] = append(t.devices[0], fmt.Sprintf("%s-d%d", t.operation, i))
		}
		waves = append(waves, t)
	}
	return waves
}

// askFor makes a spec one that asks the platform for the task.
func (l *life) askFor(spec *v1alpha1.FirmwareUpgradeSpec) {
	spec.OperationID, spec.AppID = "", l.system.platform.AppID()
	spec.Devices, spec.ExpectedDevices = nil, nil
	spec.Task = &v1alpha1.TaskRequest{
		PackageID: l.operation, Devices: l.devices[0], CreateBefore: metav1.Time{Time: l.closes()},
	}
}

// closes is when nothing is created for a wave any more, as its spec has it: to the second.
func (l *life) closes() time.Time { return l.began.Add(l.wave.closes).Truncate(time.Second) }

// taskID is the id of the task that the platform has or pretends to have; empty where a wave has none.
func (l *life) taskID() string {
	if l.wave != nil {
		return l.wave.made
	}
	return l.operation
}
